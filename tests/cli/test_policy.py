"""`hitl policy`: rules are checked, tested, explained and tried on what was recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import PASSWORD, CommandLine

CONFIGS = Path(__file__).parents[2] / "configs"
DENY_PYTHON = "rules:\n- {name: deny-python, match: {language: python}, then: deny}\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "rules"
    made.mkdir(mode=0o700)
    (made / "a.yaml").write_text(DENY_PYTHON)
    return made


def test_check_names_every_mistake_with_its_place(cli: CommandLine, directory: Path) -> None:
    assert cli.json("policy", "check", str(directory))["rules"] == ["deny-python"]
    (directory / "b.yaml").write_text("rules:\n- {name: b, then: ask, ask: {approvers: {nobody: 1}}}\n")
    refused = cli.run("policy", "check", str(directory))
    assert refused.exit_code == 1
    assert f"{directory / 'b.yaml'}:2: rules[0].ask.approvers names nobody" in refused.output
    assert "there are admin, approver" in refused.output


def test_the_default_rules_can_be_used_by_one_person(cli: CommandLine) -> None:
    checked = cli.json("policy", "check", str(CONFIGS / "policies"))
    assert checked["usable"]
    assert checked["people_checked"]


def test_a_table_of_cases_passes_or_ends_with_status_one(cli: CommandLine, directory: Path) -> None:
    table = directory.parent / "cases.yaml"
    case = {
        "name": "python",
        "action": {"type": "code_execution", "language": "python", "code": "1"},
        "risk": "low",
    }
    expected = {"verdict": "deny", "rule": "deny-python", "approvals": 0}
    table.write_text(json.dumps({"rules": "rules", "cases": [{**case, "expect": expected}]}))
    assert cli.json("policy", "test", str(table))["passed"] == 1
    table.write_text(json.dumps({"rules": "rules", "cases": [{**case, "expect": {"verdict": "ask"}}]}))
    failed = cli.run("policy", "test", str(table), COLUMNS="200")
    assert failed.exit_code == 1
    assert "verdict is deny, expected was ask" in " ".join(failed.output.split())
    assert "0 passed, 1 failed" in failed.output


def test_a_case_that_is_wrong_is_refused_with_its_line(cli: CommandLine, directory: Path) -> None:
    table = directory.parent / "cases.yaml"
    table.write_text("cases:\n- name: x\n  action: {type: shell_command}\n  expect: {verdict: ask}\n")
    refused = cli.run("policy", "test", str(table), "--rules", str(directory))
    assert refused.exit_code == 2
    assert f"{table}:3: cases[0].action.argv" in " ".join(refused.output.split())


def test_explain_reads_an_action_and_says_which_rule_and_why(cli: CommandLine, directory: Path) -> None:
    action = '{"type": "code_execution", "language": "python", "code": "print(1)"}'
    said = cli.run("policy", "explain", "--rules", str(directory), "--risk", "low", input=action)
    assert said.exit_code == 0, said.output
    assert said.output.startswith("deny  deny-python\nThe rule deny-python applies.")
    (directory / "action.yaml").write_text("type: generic\noperation: order.read\n")
    explained = cli.json(
        "policy", "explain", str(directory / "action.yaml"), "--rules", str(CONFIGS / "policies")
    )
    assert explained["votes"]
    nothing = cli.run("policy", "explain", "--risk", "lo", input=action)
    assert nothing.exit_code == 2


def test_simulate_says_what_would_have_happened(cli: CommandLine, directory: Path) -> None:
    first = cli.ask("print(1)")
    simulated = cli.json("policy", "simulate", "--rules", str(directory))
    assert simulated["replayed"] == 1
    assert simulated["counts"] == [{"before": "ask", "after": "deny", "requests": 1}]
    assert simulated["approvals_asked_for"] == 1
    assert simulated["approvals_that_would_be_asked_for"] == 0
    assert simulated["changed"][0]["request_id"] == first.request.request_id
    shown = cli.run("policy", "simulate", "--rules", str(directory))
    assert "1 requests replayed, 1 would go differently" in shown.output
    assert len(cli.json("pending", HITL_PASSWORD="correct horse battery")["requests"]) == 1, "nothing changed"


def test_broken_rules_stop_the_start_with_one_line_and_show_in_doctor(cli: CommandLine) -> None:
    directory = cli.home / "policies"
    directory.mkdir(mode=0o700)
    (directory / "a.yaml").write_text("rules:\n- {name: a, then: mabye}\n")
    ended = cli.process("serve", HITL_HTTP__PORT="0")
    assert ended.returncode == 2
    assert (
        len([line for line in ended.stderr.splitlines() if "a.yaml:2: rules[0].then has the value" in line])
        == 1
    )
    findings = json.loads(cli.run("doctor", "--json").stdout)["findings"]
    state = next(finding for finding in findings if finding["subject"] == "rules")
    assert state["state"] == "problem"
    assert "a.yaml:2" in state["detail"]


def test_the_default_rules_are_put_in_place_of_others_by_an_administrator_and_recorded(
    cli: CommandLine,
) -> None:
    rules = cli.home / "policies"
    rules.mkdir(mode=0o700)
    (rules / "mine.yaml").write_text(DENY_PYTHON)
    refused = cli.run("policy", "use", "default", HITL_PASSWORD="not the password")
    assert refused.exit_code != 0
    assert [file.name for file in rules.iterdir()] == ["mine.yaml"]

    used = cli.json("policy", "use", "default", HITL_PASSWORD=PASSWORD)

    assert {file.name for file in rules.iterdir()} == {file.name for file in (CONFIGS / "policies").iterdir()}
    assert [file.name for file in Path(used["kept"]).iterdir()] == ["mine.yaml"]
    assert cli.json("policy", "check")["usable"]
    recorded = cli.json("audit", "search", "--event", "rules.in_force")
    assert "deny-python" not in str(recorded)
    assert "harmless-programs" in str(recorded)
