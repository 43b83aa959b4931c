"""What an operator keeps in order: agents, people, keys, the audit log, tokens, the doctor."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest

from hitl_mcp.settings import read_settings
from hitl_mcp.wiring import build_application
from tests.cli.commands import PASSWORD, CommandLine


def approved_token(cli: CommandLine) -> str:
    request = cli.ask().request
    assert cli.with_password().run("approve", request.request_id, "--yes").exit_code == 0

    async def collect() -> str:
        async with build_application(read_settings({"HITL_HOME": str(cli.home)})) as application:
            return (await application.service.collect_token("builder", request.request_id)).token

    return asyncio.run(collect())


def test_an_agents_key_is_printed_once_and_works_until_it_is_revoked(cli: CommandLine) -> None:
    made = cli.json("agents", "add", "robot")
    assert made["agent"] == "robot"
    assert made["api_key"].startswith("hitl_agent_")
    assert made["api_key"] not in cli.run("agents", "list").output

    async def who() -> str | None:
        async with build_application(read_settings({"HITL_HOME": str(cli.home)})) as application:
            return await application.agents.authenticate(made["api_key"])

    assert asyncio.run(who()) == "robot"
    assert cli.run("agents", "revoke", "robot").exit_code == 0
    assert asyncio.run(who()) is None


def test_an_agent_that_is_there_already_is_refused(cli: CommandLine) -> None:
    assert cli.run("agents", "add", "builder").exit_code == 1
    assert cli.run("agents", "add", "no spaces!").exit_code == 2
    assert cli.run("agents", "revoke", "nobody").exit_code == 1


def test_who_may_decide_is_changed_by_an_administrator_alone(cli: CommandLine) -> None:
    assert cli.run("people", "add", "eve", HITL_INIT_PASSWORD="eve makes herself one").exit_code == 4
    wrong = {"HITL_PASSWORD": "not the password", "HITL_INIT_PASSWORD": "eve makes herself one"}
    assert cli.run("people", "add", "eve", **wrong).exit_code == 4
    ada = cli.with_password()
    made = ada.json("people", "add", "grace")
    assert made["roles"] == ["approver"]
    grace = {"HITL_PASSWORD": made["password"], "HITL_INIT_PASSWORD": "eve is added by grace"}
    assert cli.run("people", "add", "eve", "--as", "grace", **grace).exit_code == 4
    assert [entry["person"] for entry in cli.json("people", "list")["people"]] == ["ada", "grace"]


def test_a_suspended_person_decides_nothing_until_reinstated(cli: CommandLine) -> None:
    ada = cli.with_password()
    made = ada.json("people", "add", "grace")
    grace = cli.with_password(made["password"])
    request = cli.ask().request
    assert ada.run("people", "suspend", "grace").exit_code == 0
    assert grace.run("approve", request.request_id, "--yes", "--person", "grace").exit_code == 4
    assert ada.run("people", "reinstate", "grace").exit_code == 0
    assert grace.run("approve", request.request_id, "--yes", "--person", "grace").exit_code == 0


def test_accounts_are_linked_and_unlinked(cli: CommandLine) -> None:
    ada = cli.with_password()
    assert ada.run("people", "link", "slack", "U012", "ada").exit_code == 0
    entry = cli.json("people", "list")["people"][0]
    assert entry["accounts"] == [{"channel": "slack", "account": "U012"}]
    assert ada.run("people", "unlink", "slack", "U012").exit_code == 0
    assert cli.json("people", "list")["people"][0]["accounts"] == []
    assert ada.run("people", "link", "slack", "U012", "nobody").exit_code == 1


def test_a_key_whose_id_begins_with_a_dash_is_no_option(cli: CommandLine) -> None:
    key_id = "-yks4Y_E7EsBQFHOA9iBWWIRAZlQH8wb6EzqrFUmxP8"
    for words in (("revoke", key_id, "--yes"), ("revoke", "--yes", key_id), ("revoke", "-y", "--", key_id)):
        refused = cli.run("keys", *words)
        assert (refused.exit_code, key_id in refused.output + refused.stderr) == (1, True)
    assert cli.run("keys", "revoke", "--nothing").exit_code == 2


def test_rotation_keeps_the_old_public_key_and_revocation_drops_it(cli: CommandLine, tmp_path: Path) -> None:
    token = approved_token(cli)
    jwks = tmp_path / "jwks.json"

    def holds() -> int:
        jwks.write_text(json.dumps(cli.json("keys", "list")["jwks"]))
        return cli.run("token", "inspect", token, "--jwks", str(jwks)).exit_code

    old = cli.json("keys", "list")["keys"][0]["key_id"]
    assert holds() == 0
    new = cli.json("keys", "rotate", "--yes")["key_id"]
    assert new != old
    assert holds() == 0
    assert cli.run("keys", "revoke", old, "--yes").exit_code == 0
    assert holds() == 1
    assert cli.run("keys", "revoke", "nothing", "--yes").exit_code == 1
    events = [entry["event"] for entry in cli.json("audit", "tail")["entries"]]
    assert {"keys.rotated", "keys.revoked"} <= set(events)


def test_keys_are_not_rotated_without_being_asked_or_told(cli: CommandLine) -> None:
    before = cli.json("keys", "list")["keys"]
    assert cli.run("keys", "rotate").exit_code == 2
    assert cli.json("keys", "list")["keys"] == before


def test_a_token_is_explained_and_never_repeated(cli: CommandLine) -> None:
    token = approved_token(cli)
    shown = cli.run("token", "inspect", "-", input=token + "\n")
    assert shown.exit_code == 0, shown.output
    for part in ("builder", "hitl_action", "EdDSA", "cap+jwt", "unverified"):
        assert part in shown.output
    assert token.rpartition(".")[2] not in shown.output
    for wrong in ("", "abc", "a.b.c", "é.é.é", token.replace(".", "")):
        assert cli.run("token", "inspect", "-", input=wrong).exit_code == 2


def test_a_forged_token_does_not_hold(cli: CommandLine, tmp_path: Path) -> None:
    token = approved_token(cli)
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps(cli.json("keys", "list")["jwks"]))
    header, payload, signature = token.split(".")
    forged = f"{header}.{payload}.{signature[:-4]}AAAA"
    result = cli.run("token", "inspect", forged, "--jwks", str(jwks), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["verified"] is False


def test_the_log_verifies_here_and_elsewhere_with_public_keys_alone(cli: CommandLine, tmp_path: Path) -> None:
    approved_token(cli)
    assert cli.json("audit", "verify")["intact"] is True
    export, keys = tmp_path / "audit.jsonl", tmp_path / "keys.json"
    assert cli.run("audit", "export", "--output", str(export), "--keys", str(keys)).exit_code == 0
    elsewhere = CommandLine(tmp_path / "no-home-here")
    files = ("--file", str(export), "--keys", str(keys))
    assert elsewhere.json("audit", "verify", *files)["intact"] is True

    lines = export.read_text().splitlines()
    export.write_text("\n".join([*lines[:1], *lines[2:]]) + "\n")
    broken = elsewhere.run("audit", "verify", *files)
    assert broken.exit_code == 1
    assert "NOT INTACT" in broken.output
    export.write_text("not json\n")
    assert elsewhere.run("audit", "verify", *files).exit_code == 1


def test_an_edited_entry_is_found(cli: CommandLine) -> None:
    with sqlite3.connect(cli.home / "hitl.db") as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE audit_entries SET actor = 'somebody else' WHERE sequence = 1")
    database.close()
    report = cli.run("audit", "verify", "--json")
    assert report.exit_code == 1
    assert json.loads(report.stdout)["problems"][0]["sequence"] == 1


def test_the_doctor_finds_what_is_wrong_and_says_what_to_do(cli: CommandLine, tmp_path: Path) -> None:
    healthy = cli.run("doctor", "--json", HITL_EXECUTOR_URL="http://127.0.0.1:9")
    assert healthy.exit_code == 0, healthy.output
    assert json.loads(healthy.stdout)["healthy"] is True
    nothing = CommandLine(tmp_path / "nothing").run("doctor")
    assert nothing.exit_code == 1
    assert "hitl init" in nothing.output
    wrong = cli.run("doctor", HITL_HTTP__PORT="many")
    assert wrong.exit_code == 1
    assert "HITL_HTTP__PORT" in wrong.output
    assert PASSWORD not in healthy.output + wrong.output


@pytest.mark.parametrize(
    "command", [["people", "list"], ["agents", "list"], ["keys", "list"], ["audit", "tail"]]
)
def test_lists_fit_a_terminal_of_80_columns(cli: CommandLine, command: list[str]) -> None:
    result = cli.run(*command)
    assert result.exit_code == 0
    assert "\x1b" not in result.output
