"""Which rule decides, and what errors, thresholds and limits make of it."""

from __future__ import annotations

from datetime import datetime

import pytest

from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.terms import AgentFacts, RuleVerdict
from hitl_mcp.policies.rules import RuleSet
from tests.policies.writing import NOW, action, assessed, ruled, rules, subject

ALLOW_ALL_CODE = "{name: allow-code, match: {action: code_execution}, then: allow}"


def said(text: str, **about: object) -> tuple[str, str]:
    ruling = ruled(rules(text), subject(**about))  # type: ignore[arg-type]
    return ruling.rule, ruling.verdict.value


def test_without_any_rule_one_approver_is_asked() -> None:
    ruling = ruled(RuleSet())
    assert (ruling.rule, ruling.verdict) == ("ask-one-approver", RuleVerdict.ASK)
    assert ruling.terms.required_approvals == 1


def test_an_action_that_no_rule_is_about_is_asked() -> None:
    assert said(f"rules: [{ALLOW_ALL_CODE}]", what=action("generic")) == ("ask-one-approver", "ask")


def test_the_first_rule_that_matches_decides() -> None:
    text = """
        rules:
          - {name: ask-python, match: {language: python}, then: ask}
          - {name: allow-code, match: {action: code_execution}, then: allow}
        """
    assert said(text) == ("ask-python", "ask")
    assert said(text, what=action(language="bash")) == ("allow-code", "allow")


def test_a_denying_rule_of_a_later_file_wins_over_everything() -> None:
    given = rules(
        f"rules: [{ALLOW_ALL_CODE}]", z="rules: [{name: deny-python, match: {language: python}, then: deny}]"
    )
    assert ruled(given).rule == "deny-python"


def test_files_are_in_the_order_of_their_names() -> None:
    given = rules(
        "rules: [{name: from-a, match: {language: python, agent: 'b*'}, then: ask}]",
        b="rules: [{name: from-b, match: {language: python}, then: ask}]",
    )
    assert ruled(given).rule == "from-a"


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ("allow", ("ask-one-approver", "ask")),
        ("ask", ("doubtful", "ask")),
        ("deny", ("doubtful", "deny")),
    ],
)
@pytest.mark.parametrize(
    "condition", ["action.arguments.amount < 10", "1 / 0 == 1", "dyn('yes')", "code_length > int('x')"]
)
@pytest.mark.parametrize("field", ["when", "unless"])
def test_a_condition_that_cannot_be_decided_never_allows(
    then: str, expected: tuple[str, str], condition: str, field: str
) -> None:
    text = f"""
        rules:
          - name: doubtful
            match: {{agent: builder, {field}: "{condition}"}}
            then: {then}
        """
    assert said(text) == expected


def test_an_asking_rule_in_doubt_goes_before_a_later_rule_that_allows() -> None:
    text = """
        rules:
          - {name: doubtful, match: {when: "action.arguments.amount > 10"}, then: ask}
          - {name: allow-code, match: {action: code_execution}, then: allow}
        """
    assert said(text) == ("doubtful", "ask")


def test_an_asking_rule_in_doubt_does_not_replace_a_stricter_one() -> None:
    text = """
        rules:
          - {name: doubtful, match: {when: "action.arguments.amount > 10"}, then: ask}
          - {name: two, match: {action: code_execution}, then: ask, ask: {approvers: 2}}
        """
    assert said(text) == ("two", "ask")


def test_nothing_above_the_automatic_threshold_is_allowed_without_asking() -> None:
    text = f"""
        thresholds: {{automatic: low, ask: critical}}
        rules: [{ALLOW_ALL_CODE}]
        """
    assert said(text) == ("allow-code", "allow")
    assert said(text, risk="medium") == ("allow-code", "ask")


def test_without_thresholds_only_low_risk_is_automatic() -> None:
    assert said(f"rules: [{ALLOW_ALL_CODE}]", risk="medium") == ("allow-code", "ask")


def test_automatic_none_asks_always() -> None:
    assert said(f"thresholds: {{automatic: none, ask: critical}}\nrules: [{ALLOW_ALL_CODE}]") == (
        "allow-code",
        "ask",
    )


BLOCKING = """
    thresholds: {automatic: low, ask: high, blocked: critical}
    rules:
      - {name: opened, match: {risk: critical, language: sql}, then: ask, ask: {approvers: 2}}
      - {name: reaching, match: {risk: {at_least: high}, language: nodejs}, then: ask}
      - {name: asked, match: {language: python}, then: ask}
    """


@pytest.mark.parametrize(
    ("language", "risk", "expected"),
    [
        ("python", "high", ("asked", "ask")),
        ("python", "critical", ("blocked-by-risk", "deny")),
        ("bash", "critical", ("blocked-by-risk", "deny")),
        ("sql", "critical", ("opened", "ask")),
        ("nodejs", "high", ("reaching", "ask")),
        ("nodejs", "critical", ("blocked-by-risk", "deny")),
    ],
)
def test_blocked_levels_are_denied_unless_an_asking_rule_is_about_them_alone(
    language: str, risk: str, expected: tuple[str, str]
) -> None:
    assert said(BLOCKING, what=action(language=language), risk=risk) == expected


def test_the_agents_own_claim_is_not_enough_to_be_allowed() -> None:
    text = f"rules: [{ALLOW_ALL_CODE}]"
    assert said(text, risk=assessed("low", "claim")) == ("allow-code", "ask")
    assert said(text, risk=assessed("low", "claim", "patterns")) == ("allow-code", "allow")


AUTO = """
    rules:
      - name: code
        match: {action: code_execution}
        then: ask
        auto_approve: {when: execution_time < 60 && !network && agent.trusted}
    """


def test_an_asking_rule_approves_by_itself_when_its_condition_holds() -> None:
    trusted = AgentFacts("builder", trusted=True)
    assert said(AUTO, agent=trusted) == ("code", "allow")
    assert said(AUTO) == ("code", "ask")
    assert said(AUTO, agent=trusted, risk="medium") == ("code", "ask")
    slow = action(limits={"wall_seconds": 59.5})
    assert said(AUTO, agent=trusted, what=slow) == ("code", "ask"), "seconds are rounded up"


def test_a_short_justification_is_refused_with_what_to_do() -> None:
    text = "rules: [{name: say-why, match: {action: code_execution}, then: allow, require_justification: 30}]"
    ruling = ruled(rules(text))
    assert ruling.verdict is RuleVerdict.DENY
    assert "at least 30 characters; this one has 18" in ruling.explanation
    assert said(text, justification="to know the answer to everything") == ("say-why", "allow")


class Counted:
    """Implements `Counter` with fixed numbers; None fails."""

    def __init__(self, requests: int | None = 0, approvals: int | None = 0) -> None:
        self._requests, self._approvals = requests, approvals

    async def requests(self, agent: str, rule: str, *, since: datetime, most: int) -> int:
        if self._requests is None:
            raise OSError("the database is gone")
        return min(self._requests, most)

    async def busiest_approver(self, *, since: datetime) -> int:
        if self._approvals is None:
            raise OSError("the database is gone")
        return self._approvals


@pytest.mark.parametrize(("then", "verdict"), [("ask", "ask"), ("deny", "deny")])
@pytest.mark.parametrize("count", [30, 31, None])
def test_past_its_rate_limit_a_rule_asks_or_denies(then: str, verdict: str, count: int | None) -> None:
    given = rules(
        f"""
        rules:
          - name: allow-code
            match: {{action: code_execution}}
            then: allow
            rate_limit: {{requests_per_hour: 30, then: {then}}}
        """
    )
    assert ruled(given, counter=Counted(29)).verdict is RuleVerdict.ALLOW
    assert ruled(given, counter=Counted(count)).verdict.value == verdict


@pytest.mark.parametrize(("approvals", "assurance"), [(19, "chat"), (20, "session"), (None, "session")])
def test_a_tired_approver_needs_more_than_a_chat(approvals: int | None, assurance: str) -> None:
    given = rules("fatigue: {approvals_per_person_per_hour: 20}\nrules: [{name: all, then: ask}]")
    ruling = ruled(given, counter=Counted(0, approvals))
    assert ruling.terms.required_assurance is Assurance(assurance)


@pytest.mark.parametrize("stated", ["", "ask: {assurance: chat}"])
def test_high_risk_needs_a_session_whatever_the_rule_states(stated: str) -> None:
    given = rules(f"rules: [{{name: all, then: ask, {stated}}}]")
    for level in RiskLevel:
        wanted = Assurance.SESSION if level.rank >= 2 else Assurance.CHAT
        assert ruled(given, subject(risk=level)).terms.required_assurance is wanted


def test_the_owner_of_the_agent_can_be_excluded() -> None:
    given = rules("rules: [{name: all, then: ask, ask: {exclude: [agent_owner, dan]}}]")
    ruling = ruled(given, subject(agent=AgentFacts("builder", owner="Ada")))
    assert ruling.terms.excluded == ("dan", "ada")


def test_a_rule_holds_only_within_its_time() -> None:
    text = """
        rules:
          - {name: a, valid_from: '2030-01-02T12:00:00Z', valid_until: '2030-01-02T13:00:00Z', then: deny}
        """
    given = rules(text)
    hours = (11, 12, 13)
    found = [ruled(given, subject(now=NOW.replace(hour=hour))).verdict.value for hour in hours]
    assert found == ["ask", "deny", "ask"]


def test_a_disabled_rule_does_not_exist() -> None:
    assert said("rules: [{name: off, enabled: false, then: deny}]") == ("ask-one-approver", "ask")
