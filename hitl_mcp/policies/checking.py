"""What is wrong with rules that compile: times that never come, people who do not exist, seats that nobody
can fill, and rules that no request ever reaches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hitl_mcp.approvals.models import DEFAULT_TIMEOUT_SECONDS
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.approvals.terms import RuleVerdict, Terms
from hitl_mcp.policies.compiling import Compilation
from hitl_mcp.policies.coverage import covers
from hitl_mcp.policies.people import KnownPeople, unfillable
from hitl_mcp.policies.places import Path
from hitl_mcp.policies.rules import Rule

MAX_SEATS: Final = 50


def check(made: Compilation, known: KnownPeople) -> None:
    """Add what is wrong to `made.problems`."""
    for rule in made.rules:
        if rule.verdict is RuleVerdict.DENY:
            continue
        _check_times(made, rule)
        _check_people(made, rule, known)
    _check_reachable(made)


def _refuse(made: Compilation, rule: Rule, path: Path, reason: str) -> None:
    file, at = made.places[rule.name]
    made.refuse(file, (*at, *path), reason)


def _check_times(made: Compilation, rule: Rule) -> None:
    terms = rule.ask.terms
    end = terms.timeout_seconds or DEFAULT_TIMEOUT_SECONDS
    after = [level.after_seconds for level in terms.escalation]
    for index, (level, before) in enumerate(zip(after, [0, *after], strict=False)):
        path: Path = ("ask", "escalation", index, "after")
        if level >= end:
            _refuse(made, rule, path, f"has the value {level} s, when the request has ended after {end} s")
        elif level <= before:
            _refuse(made, rule, path, f"has the value {level} s, which is not after the level before it")
    for index, reminder in enumerate(terms.reminders):
        if reminder >= end:
            reason = f"has the value {reminder} s, when the request has ended after {end} s"
            _refuse(made, rule, ("ask", "reminders", index), reason)
    if terms.minimum_review_seconds >= end:
        reason = f"has the value {terms.minimum_review_seconds} s, when the request has ended after {end} s"
        _refuse(made, rule, ("ask", "minimum_review"), reason)


def _check_people(made: Compilation, rule: Rule, known: KnownPeople) -> None:
    terms = rule.ask.terms
    if terms.required_approvals > MAX_SEATS:
        reason = f"needs {terms.required_approvals} people; at most {MAX_SEATS} can be asked for"
        _refuse(made, rule, ("ask",), reason)
        return
    if not known.are_known:
        return
    unknown = [*_unknown(terms, known)]
    for path, kind, name in unknown:
        names = ", ".join(sorted(known.groups if kind == "group" else known.people)) or "none"
        what = "no role or group that has anybody in it" if kind == "group" else "nobody who is known"
        _refuse(made, rule, path, f"names {name}, which is {what}; there are {names}")
    impossible = None if unknown else unfillable(terms, known)
    if impossible is not None:
        _refuse(made, rule, ("ask",), impossible)


def _unknown(terms: Terms, known: KnownPeople) -> Iterable[tuple[Path, str, str]]:
    for stage in terms.stages:
        for quorum in stage.quorums:
            if not known.members(quorum.group):
                yield ("ask", "approvers"), "group", quorum.group
    for index, level in enumerate(terms.escalation):
        for group in level.groups:
            if not known.members(group):
                yield ("ask", "escalation", index, "groups"), "group", group
        for person in level.people:
            if person_key(person) not in known.people:
                yield ("ask", "escalation", index, "people"), "person", person
    for person in terms.excluded:
        if person_key(person) not in known.people:
            yield ("ask", "exclude"), "person", person


def _check_reachable(made: Compilation) -> None:
    for index, rule in enumerate(made.rules):
        deciders = [
            other
            for position, other in enumerate(made.rules)
            if position != index
            and (
                position < index or (other.verdict is RuleVerdict.DENY and rule.verdict is not other.verdict)
            )
            and (rule.verdict is not RuleVerdict.DENY or other.verdict is RuleVerdict.DENY)
        ]
        first = next((other for other in deciders if covers(other, rule)), None)
        if first is not None:
            _refuse(
                made,
                rule,
                ("name",),
                f"{rule.name!r} is never reached: {first.name!r} at {first.file}:{first.line} decides every "
                "request that it matches",
            )
