"""Compiles parsed files into rules, and collects every mistake on the way with its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.terms import RuleVerdict
from hitl_mcp.policies.asking import NamedTerms, TermsRefused, ask_terms
from hitl_mcp.policies.conditions import ACTION_FIELDS, Condition, check_action_fields
from hitl_mcp.policies.documents import AskDocument, MatchDocument, RuleDocument, ThresholdsDocument
from hitl_mcp.policies.errors import ConditionRefused, PolicyProblem
from hitl_mcp.policies.matching import Match
from hitl_mcp.policies.parsing import ParsedFile
from hitl_mcp.policies.places import Path
from hitl_mcp.policies.rules import AskTerms, AutoApproval, RateLimit, Rule, RuleSet, Thresholds

RESERVED_NAMES: Final = frozenset(
    {"ask-one-approver", "blocked-by-risk", "rules-not-evaluated", "justification-too-short"}
)
ALL_TYPES: Final = frozenset(ACTION_FIELDS)
_TYPES_OF_FIELD: Final = {
    "language": frozenset({"code_execution", "package_addition"}),
    "package": frozenset({"code_execution", "package_addition"}),
    "profile": frozenset({"code_execution"}),
    "server": frozenset({"tool_call"}),
    "tool": frozenset({"tool_call"}),
    "operation": frozenset({"generic"}),
    "program": frozenset({"shell_command"}),
    "method": frozenset({"http_request"}),
    "host": frozenset({"code_execution", "http_request"}),
    "path": frozenset({"file_change"}),
}


@dataclass
class Compilation:
    """What came out of the files: rules where they could be made, and problems where not."""

    files: Sequence[ParsedFile]
    now: datetime
    rules: list[Rule] = field(default_factory=list[Rule])
    places: dict[str, tuple[ParsedFile, Path]] = field(default_factory=dict[str, tuple[ParsedFile, Path]])
    problems: list[PolicyProblem] = field(default_factory=list[PolicyProblem])
    thresholds: Thresholds = field(default_factory=Thresholds)

    def refuse(self, file: ParsedFile, path: Path, reason: str) -> None:
        self.problems.append(file.placed.problem(path, reason))

    def rule_set(self) -> RuleSet:
        fatigue = next((f.document.fatigue for f in self.files if f.document.fatigue is not None), None)
        return RuleSet(tuple(self.rules), self.thresholds, fatigue)


def compile_files(files: Sequence[ParsedFile], now: datetime) -> Compilation:
    """Compile all files together; `now` is what times are compared with."""
    made = Compilation(files, now)
    named = NamedTerms(_named_terms(made))
    _top_level(made)
    for file in files:
        for index, document in enumerate(file.document.rules):
            path: Path = ("rules", index)
            if document.name in made.places:
                other, at = made.places[document.name]
                first = other.placed.problem(at, "")
                made.refuse(
                    file,
                    (*path, "name"),
                    f"{document.name!r} is taken: the first rule of this name is {first.file}:{first.line}",
                )
                continue
            made.places[document.name] = (file, path)
            rule = _rule(made, named, file, path, document)
            if rule is not None and document.enabled:
                made.rules.append(rule)
    return made


def _named_terms(made: Compilation) -> dict[str, AskDocument]:
    documents: dict[str, AskDocument] = {}
    for file in made.files:
        for name, document in file.document.terms.items():
            if name in documents:
                made.refuse(file, ("terms", name), "is taken: there are terms of this name already")
            documents[name] = document
    named = NamedTerms(documents)
    for file in made.files:
        for name, document in file.document.terms.items():
            try:
                named.resolved(document)
            except TermsRefused as error:
                made.refuse(file, ("terms", name, "like"), str(error))
    return documents


def _top_level(made: Compilation) -> None:
    for name in ("thresholds", "fatigue"):
        stating = [file for file in made.files if getattr(file.document, name) is not None]
        for file in stating[1:]:
            made.refuse(file, (name,), f"is stated in {stating[0].placed.file} already; keep one of them")
    for file in made.files:
        if file.document.thresholds is not None:
            made.thresholds = _thresholds(made, file, file.document.thresholds)
            return


def _thresholds(made: Compilation, file: ParsedFile, stated: ThresholdsDocument) -> Thresholds:
    automatic = None if stated.automatic == "none" else stated.automatic
    blocked = None if stated.blocked == "none" else stated.blocked
    if automatic is not None and automatic.rank > stated.ask.rank:
        made.refuse(
            file, ("thresholds", "automatic"), f"has the value {automatic}, which is above ask: {stated.ask}"
        )
    below = RiskLevel.CRITICAL.rank if blocked is None else blocked.rank - 1
    if stated.ask.rank != below:
        levels = ", ".join(RiskLevel)
        made.refuse(
            file,
            ("thresholds", "ask"),
            f"has the value {stated.ask} with blocked: {stated.blocked}; it has to be the level just below "
            f"(of {levels}; with blocked: none it is critical), to say what happens to each level",
        )
    return Thresholds(automatic, blocked)


def _rule(
    made: Compilation, named: NamedTerms, file: ParsedFile, path: Path, document: RuleDocument
) -> Rule | None:
    before = len(made.problems)
    types = _action_types(made, file, path, document.match)
    _check_shape(made, file, path, document)
    for where, text in (
        (("match", "when"), document.match.when),
        (("match", "unless"), document.match.unless),
        (("auto_approve", "when"), document.auto_approve.when if document.auto_approve else None),
    ):
        if text is not None:
            try:
                Condition(text)
                check_action_fields(text, types or ALL_TYPES)
            except ConditionRefused as error:
                made.refuse(file, (*path, *where), str(error))
    asking = AskTerms()
    if document.ask is not None:
        try:
            asking = ask_terms(named.resolved(document.ask))
        except TermsRefused as error:
            made.refuse(file, (*path, "ask", "like"), str(error))
    if len(made.problems) > before:
        return None
    auto, rate = document.auto_approve, document.rate_limit
    return Rule(
        name=document.name,
        file=file.placed.file,
        line=file.placed.line_of(path),
        verdict=document.then,
        match=Match(document.match, document.then),
        document=document,
        ask=asking,
        auto_approval=AutoApproval(Condition(auto.when), auto.risk) if auto is not None else None,
        rate_limit=RateLimit(rate.requests_per_hour, rate.then) if rate is not None else None,
        minimum_justification=document.require_justification,
        because=document.because,
        valid_from=document.valid_from,
        valid_until=document.valid_until,
    )


def _action_types(made: Compilation, file: ParsedFile, path: Path, match: MatchDocument) -> frozenset[str]:
    """The types of action that the rule can be about; problems when there are none."""
    types = frozenset[str](match.action) if match.action is not None else ALL_TYPES
    for name, of_field in _TYPES_OF_FIELD.items():
        if getattr(match, name) is None:
            continue
        if not types & of_field:
            belongs = " or ".join(sorted(of_field))
            made.refuse(
                file,
                (*path, "match", name),
                f"can never match: only actions of type {belongs} have it, and this rule is about "
                f"{', '.join(sorted(types))}",
            )
            return frozenset()
        types &= of_field
    return types


def _check_shape(made: Compilation, file: ParsedFile, path: Path, document: RuleDocument) -> None:
    def refuse(field_path: Path, reason: str) -> None:
        made.refuse(file, (*path, *field_path), reason)

    if document.name in RESERVED_NAMES:
        refuse(("name",), f"has the value {document.name!r}, which is the name of something built in")
    if document.then is RuleVerdict.ALLOW and not document.match.model_fields_set:
        refuse(("then",), "has the value 'allow', and no match: say what is allowed")
    if document.then is RuleVerdict.DENY:
        for name in ("ask", "auto_approve", "require_justification", "rate_limit"):
            if getattr(document, name) is not None:
                refuse((name,), "means nothing in a rule that denies")
    if document.then is RuleVerdict.ALLOW and document.auto_approve is not None:
        refuse(("auto_approve",), "means nothing in a rule that allows; put its condition into match.when")
    rate = document.rate_limit
    asks_always = document.then is RuleVerdict.ASK and document.auto_approve is None
    if rate is not None and rate.then == "ask" and asks_always:
        refuse(("rate_limit", "then"), "has the value 'ask' in a rule that asks anyway; say deny")
    if document.valid_until is not None and document.valid_until <= made.now:
        refuse(("valid_until",), f"has the value {document.valid_until.isoformat()}, which is in the past")
    start, end = document.valid_from, document.valid_until
    if start is not None and end is not None and start >= end:
        refuse(("valid_from",), f"has the value {start.isoformat()}, which is not before valid_until")
