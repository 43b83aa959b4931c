# ruff: noqa: E501 - one line for each mistake and what is said about it
"""Rules that cannot be meant are refused at load, with file, line, value and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from hitl_mcp.policies.errors import PolicyRefused
from hitl_mcp.policies.loading import read_directory
from hitl_mcp.policies.people import KnownPeople
from tests.policies.writing import PEOPLE, refusals, rules


def one(text: str, people: KnownPeople = PEOPLE) -> str:
    found = refusals(text, people=people)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules:\n- name: a\n  then: maybe", "a.yaml:3: rules[0].then has the value 'maybe': should be"),
        ("rules:\n- name: a\n  then: ask\n  mtch: {}", "a.yaml:4: rules[0].mtch is not a field here; did you mean 'match'?"),
        ("rules:\n- then: ask", "a.yaml:2: rules[0].name is missing and required"),
        ("rules:\n- {name: a, then: ask}\n- {name: a, then: deny}", "a.yaml:3: rules[1].name 'a' is taken: the first rule of this name is a.yaml:2"),
        ("rules: []\nrules: []", "a.yaml:2: has the key 'rules' twice; the first is on line 1"),
        ("rules: [", "a.yaml:1: is not YAML: "),
        ("rules:\n- name: a\n  then: allow\n  match:\n    path:", "a.yaml:5: rules[0].match.path is empty; give it a value or leave it out"),
        ("x: &x 1\nrules: *x", "a.yaml:1: uses an alias"),
        ("- a", "a.yaml:1: must have `rules:`"),
        ("rules:\n- {name: ask-one-approver, then: ask}", "a.yaml:2: rules[0].name has the value 'ask-one-approver', which is the name of something built in"),
        ("rules:\n- {name: a, then: allow}", "a.yaml:2: rules[0].then has the value 'allow', and no match"),
        ("rules:\n- name: a\n  then: deny\n  ask: {approvers: 1}", "a.yaml:4: rules[0].ask means nothing in a rule that denies"),
        ("rules:\n- name: a\n  match: {when: 'execution_tim < 60'}\n  then: ask", "a.yaml:3: rules[0].match.when is no condition: at character 1, undeclared reference to 'execution_tim'"),
        ("rules:\n- name: a\n  match: {when: 'risk + 1'}\n  then: ask", "a.yaml:3: rules[0].match.when is of type int"),
        ("rules:\n- name: a\n  match: {when: \"risk == 'low'\"}\n  then: ask", "a.yaml:3: rules[0].match.when is no condition: at character 6, found no matching overload"),
        ("rules:\n- name: a\n  match: {action: code_execution, when: 'action.argv == []'}\n  then: ask", "a.yaml:3: rules[0].match.when names action.argv, which no action of type code_execution has"),
        ("rules:\n- name: a\n  match:\n    action: http_request\n    language: python\n  then: ask", "a.yaml:5: rules[0].match.language can never match"),
        ("rules:\n- name: a\n  match: {time: {from: 08:00, to: 08:00, time_zone: UTC}}\n  then: ask", "a.yaml:3: rules[0].match.time has the value"),
        ("rules:\n- name: a\n  match: {time: {days: mon, time_zone: Mars/Base}}\n  then: ask", "has the value 'Mars/Base': must be an IANA time zone"),
        ("rules:\n- name: a\n  match: {risk: {at_least: high, at_most: low}}\n  then: ask", "no level is at least high and at most low"),
        ("rules:\n- name: a\n  valid_until: '2030-01-02T11:59:59Z'\n  then: ask", "a.yaml:3: rules[0].valid_until has the value 2030-01-02T11:59:59+00:00, which is in the past"),
        ("rules:\n- name: a\n  valid_until: '2031-01-01T00:00'\n  then: ask", "must say its offset from UTC"),
        ("rules:\n- name: a\n  valid_from: '2032-01-01T00:00:00Z'\n  valid_until: '2031-01-01T00:00:00Z'\n  then: ask", "a.yaml:3: rules[0].valid_from has the value"),
        ("rules:\n- name: a\n  then: ask\n  ask:\n    timeout: 10m\n    escalation:\n    - {after: 15m, groups: [security]}", "a.yaml:7: rules[0].ask.escalation[0].after has the value 900 s, when the request has ended after 600 s"),
        ("rules:\n- name: a\n  then: ask\n  ask:\n    escalation:\n    - {after: 9m, groups: [security]}\n    - {after: 9m, groups: [platform]}", "a.yaml:7: rules[0].ask.escalation[1].after has the value 540 s, which is not after the level before it"),
        ("rules:\n- name: a\n  then: ask\n  ask: {timeout: 10m, reminders: [20m]}", "a.yaml:4: rules[0].ask.reminders[0] has the value 1200 s"),
        ("rules:\n- name: a\n  then: ask\n  ask: {on_timeout: approve}", "a.yaml:4: rules[0].ask.on_timeout has the value 'approve': should be 'deny' or 'UnsafeAutoApproveOnTimeout'"),
        ("rules:\n- name: a\n  then: ask\n  ask: {approvers: {securty: 1}}", "a.yaml:4: rules[0].ask.approvers names securty, which is no role or group that has anybody in it; there are admin, approver, platform, security"),
        ("rules:\n- name: a\n  then: ask\n  ask: {exclude: [zoe]}", "a.yaml:4: rules[0].ask.exclude names zoe, which is nobody who is known"),
        ("rules:\n- name: a\n  then: ask\n  ask:\n    escalation:\n    - {after: 9m, people: [zoe]}", "a.yaml:6: rules[0].ask.escalation[0].people names zoe"),
        ("rules:\n- name: a\n  then: ask\n  ask: {approvers: 5}", "a.yaml:4: rules[0].ask can never be met: it needs 5 different people"),
        ("rules:\n- name: a\n  then: ask\n  ask: {approvers: {security: 2, platform: 3}}", "a.yaml:4: rules[0].ask can never be met: it needs 5 different people, 3 of them from platform"),
        ("rules:\n- name: a\n  then: ask\n  ask: {stages: [{security: 2}, {platform: 1, approver: 2}]}", "a.yaml:4: rules[0].ask can never be met"),
        ("rules:\n- name: a\n  then: ask\n  ask: {approvers: {security: 2}, exclude: [ada]}", "a.yaml:4: rules[0].ask can never be met"),
        ("rules:\n- name: a\n  then: ask\n  ask: {stages: [{approver: 100}, {approver: 100}]}", "a.yaml:4: rules[0].ask needs 200 people; at most 50"),
        ("rules:\n- name: a\n  then: ask\n  ask: {like: b}", "a.yaml:4: rules[0].ask.like has like: b, and there are no terms of this name"),
        ("rules:\n- {name: a, then: ask}\n- {name: b, match: {language: python}, then: allow}", "a.yaml:3: rules[1].name 'b' is never reached: 'a' at a.yaml:2 decides every request"),
        ("rules:\n- {name: b, match: {path: 'docs/a.md'}, then: allow}\n- {name: a, match: {path: 'docs/**'}, then: deny}", "a.yaml:2: rules[0].name 'b' is never reached"),
        ("thresholds: {automatic: high, ask: medium, blocked: high}", "a.yaml:1: thresholds.automatic has the value high"),
        ("thresholds: {automatic: low, ask: medium, blocked: critical}", "a.yaml:1: thresholds.ask has the value medium with blocked: critical"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_meant_is_refused_with_its_place_and_reason(text: str, said: str) -> None:
    assert said in one(text)


def test_terms_that_lead_back_to_themselves_are_refused() -> None:
    text = "terms:\n  a: {like: b}\n  b: {like: a}\nrules:\n- {name: x, then: ask, ask: {like: a}}"
    found = refusals(text)
    assert found[0].startswith("a.yaml:2: terms.a.like has like: b, which leads back to itself: b -> a")
    assert len(found) == 3


def test_every_mistake_of_every_file_is_named_at_once() -> None:
    found = refusals("rules:\n- {name: a, then: mabye}", b="rules:\n- {nam: b, then: ask}")
    assert [each.partition(":")[0] for each in found] == ["a.yaml", "b.yaml", "b.yaml"]


def test_thresholds_may_stand_in_one_file_only() -> None:
    stated = "thresholds: {automatic: low, ask: critical}"
    assert refusals(stated, b=stated) == [
        "b.yaml:1: thresholds is stated in a.yaml already; keep one of them"
    ]


@pytest.mark.parametrize(
    "asked",
    [
        "approvers: 4",
        "approvers: {security: 1, platform: 3}",
        "approvers: {security: 2, platform: 2}",
        "stages: [{security: 2}, {platform: 2}]",
        "{stages: [{security: 2}, {platform: 3}], separate_stages: false}",
        "{approvers: {security: 3}, escalation: [{after: 5m, people: [cleo]}]}",
    ],
)
def test_a_quorum_that_the_people_can_just_fill_is_taken(asked: str) -> None:
    assert rules(
        f"rules: [{{name: a, then: ask, ask: {asked if asked[0] == '{' else '{' + asked + '}'}}}]"
    ).rules


def test_without_any_people_yet_nothing_is_refused_for_its_people() -> None:
    assert rules("rules: [{name: a, then: ask, ask: {approvers: {security: 2}}}]", people=KnownPeople()).rules


def test_a_rule_that_a_conditional_one_stands_before_is_reachable() -> None:
    text = """
        rules:
          - {name: a, match: {language: python, when: "code_length > 10"}, then: ask}
          - {name: b, match: {language: python}, then: ask}
          - {name: c, match: {language: [python, bash]}, then: ask}
          - {name: d, match: {path: "**/a.md"}, then: allow}
          - {name: e, match: {path: "**/*.md"}, then: ask}
        """
    assert len(rules(text).rules) == 5


@pytest.mark.parametrize(
    "text", ["a" * 100_000 + ": [", "[" * 5000, "x: " + "1" * 5000, "\x00", "!!python/object:os.system x"]
)
def test_hostile_text_is_refused_and_nothing_else(text: str) -> None:
    assert refusals(text)


def test_files_that_others_may_write_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("rules: []")
    (tmp_path / "a.yaml").chmod(0o664)
    assert read_directory(tmp_path)
    with pytest.raises(PolicyRefused, match="mode 0664: others may change the rules; run: chmod go-w"):
        read_directory(tmp_path, guarded=True)
    (tmp_path / "a.yaml").chmod(0o644)
    assert read_directory(tmp_path, guarded=True) == {str(tmp_path / "a.yaml"): "rules: []"}
