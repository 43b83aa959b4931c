"""The evaluation against a naive one over random rules, and that writing rules out loses nothing."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.terms import AgentFacts
from hitl_mcp.policies.compiling import compile_files
from hitl_mcp.policies.evaluation import choose
from hitl_mcp.policies.parsing import parse_file
from tests.policies.writing import NOW, action, ruled, rules, subject

# What a condition says of the subject of these tests: true, false, or nothing that can be decided.
CONDITIONS = {"1 == 1": True, "1 == 2": False, "1 / 0 == 1": None}
LANGUAGES = ("python", "bash", "sql")

rule_bodies = st.fixed_dictionaries(
    {
        "match": st.fixed_dictionaries(
            {"action": st.just("code_execution")},
            optional={
                "language": st.lists(st.sampled_from(LANGUAGES), min_size=1, max_size=3, unique=True),
                "risk": st.lists(
                    st.sampled_from(list(map(str, RiskLevel))), min_size=1, max_size=4, unique=True
                ),
                "agent": st.sampled_from(["builder", "b*", "other"]),
                "when": st.sampled_from(list(CONDITIONS)),
                "unless": st.sampled_from(list(CONDITIONS)),
            },
        ),
        "then": st.sampled_from(["allow", "ask", "deny"]),
    },
)
rule_lists = st.lists(rule_bodies, min_size=0, max_size=8).map(
    lambda bodies: [
        {"name": f"r{index}", **body}
        | ({"ask": {"approvers": 1 + index % 3}} if body["then"] == "ask" else {})
        for index, body in enumerate(bodies)
    ]
)


def holds(rule: dict[str, Any], language: str, risk: str) -> bool | None:
    """True, False, or None for in doubt."""
    match = rule["match"]
    if language not in match.get("language", LANGUAGES):
        return False
    if risk not in match.get("risk", list(RiskLevel)) or match.get("agent") == "other":
        return False
    when = CONDITIONS[match["when"]] if "when" in match else True
    unless = CONDITIONS[match["unless"]] if "unless" in match else False
    if when is False or unless is True:
        return False
    return None if when is None or unless is None else True


def naive(written: list[dict[str, Any]], language: str, risk: str) -> str | None:
    """The name of the rule that decides, by the four steps of `evaluation` and nothing else."""
    found = [(rule, holds(rule, language, risk)) for rule in written]
    for rule, held in found:
        if rule["then"] == "deny" and held is not False:
            return rule["name"]
    doubtful: list[dict[str, Any]] = []
    decided: dict[str, Any] | None = None
    for rule, held in found:
        if rule["then"] != "deny" and held is True:
            decided = rule
            break
        if rule["then"] == "ask" and held is None:
            doubtful.append(rule)
    if not doubtful:
        return decided["name"] if decided else None
    strictest = max(doubtful, key=lambda rule: rule["ask"]["approvers"])
    if decided and decided["then"] == "ask" and decided["ask"]["approvers"] >= strictest["ask"]["approvers"]:
        return decided["name"]
    return strictest["name"]


@settings(max_examples=60, deadline=None)
@given(rule_lists, st.sampled_from(LANGUAGES), st.sampled_from(list(map(str, RiskLevel))))
def test_the_rule_that_decides_is_the_one_that_a_naive_reading_finds(
    written: list[dict[str, Any]], language: str, risk: str
) -> None:
    # Unreachable rules are refused at load; the order is what is looked at here.
    compiled = compile_files([parse_file(yaml.safe_dump({"rules": written}), "a.yaml")], NOW)
    assert compiled.problems == []
    choice = choose(compiled.rule_set(), subject(action(language=language), risk=risk))
    assert (choice.rule.name if choice.rule else None) == naive(written, language, risk)


@settings(max_examples=40, deadline=None)
@given(rule_lists, st.sampled_from(LANGUAGES), st.sampled_from(list(map(str, RiskLevel))))
def test_nothing_is_allowed_unless_an_allowing_rule_holds_for_certain_at_low_risk(
    written: list[dict[str, Any]], language: str, risk: str
) -> None:
    compiled = compile_files([parse_file(yaml.safe_dump({"rules": written}), "a.yaml")], NOW).rule_set()
    ruling = ruled(compiled, subject(action(language=language), risk=risk))
    if ruling.verdict == "allow":
        assert risk == "low"
        decider = next(rule for rule in written if rule["name"] == ruling.rule)
        assert decider["then"] == "allow"
        assert holds(decider, language, risk) is True


@settings(max_examples=40, deadline=None)
@given(rule_lists)
def test_rules_written_out_and_read_again_are_the_same(written: list[dict[str, Any]]) -> None:
    first = parse_file(yaml.safe_dump({"rules": written}), "a.yaml").document
    out = yaml.safe_dump(first.model_dump(mode="json", by_alias=True, exclude_unset=True))
    assert parse_file(out, "a.yaml").document == first


def test_the_name_and_the_roles_of_an_agent_are_matched_in_any_spelling() -> None:
    given_rules = rules("rules: [{name: a, match: {agent_role: 'OPS', agent: 'BUILD*'}, then: deny}]")
    agent = AgentFacts("Builder", roles=("ops",))
    assert ruled(given_rules, subject(agent=agent)).verdict == "deny"
