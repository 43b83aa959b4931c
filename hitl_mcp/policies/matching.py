"""Whether a rule is about a request. Doubt never widens what a rule allows.

- An `allow` rule matches narrowly: letter case counts, a program is compared as it is written, a path has to
  be in its shortest form, of several hosts each one has to be named, and a condition that cannot be decided
  does not hold.
- An `ask` or `deny` rule matches broadly: letter case does not count, a program is compared with and without
  its directories, one host of several is enough, and a condition that cannot be decided is `UNKNOWN`, which
  the evaluation takes for a match.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, time
from enum import Enum
from zoneinfo import ZoneInfo

from hitl_contract.action_code import CodeExecution, Language
from hitl_contract.action_operations import FileChange, Generic, HttpRequest, ToolCall
from hitl_contract.action_packages import PackageAddition, name_of
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.approvals.terms import RuleVerdict
from hitl_mcp.policies.conditions import Condition, Truth
from hitl_mcp.policies.documents import MatchDocument, TimeDocument
from hitl_mcp.policies.fields import WEEKDAYS
from hitl_mcp.policies.patterns import name_pattern, path_pattern
from hitl_mcp.policies.subject import Subject


class Matched(Enum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


Test = Callable[[Subject], bool]


@dataclass(frozen=True, slots=True)
class Hours:
    """Days and times of day in a time zone. A span that passes midnight belongs to the day it starts on."""

    days: frozenset[int]
    start: time
    end: time
    zone: ZoneInfo

    @classmethod
    def of(cls, document: TimeDocument) -> Hours:
        days = frozenset(WEEKDAYS.index(day) for day in document.days or WEEKDAYS)
        midnight = time(0, 0)
        return cls(days, document.start or midnight, document.end or midnight, ZoneInfo(document.time_zone))

    def hold(self, now: datetime) -> bool:
        local = now.astimezone(self.zone)
        of_day = local.time().replace(tzinfo=None)
        today, yesterday = local.weekday(), (local.weekday() - 1) % 7
        if self.start < self.end:
            return today in self.days and self.start <= of_day < self.end
        return (today in self.days and of_day >= self.start) or (yesterday in self.days and of_day < self.end)


class Match:
    """The compiled `match` of one rule."""

    __slots__ = ("_tests", "_unless", "_when")

    def __init__(self, document: MatchDocument, verdict: RuleVerdict) -> None:
        self._tests = tuple(_tests(document, narrow=verdict is RuleVerdict.ALLOW))
        self._when = Condition(document.when) if document.when is not None else None
        self._unless = Condition(document.unless) if document.unless is not None else None

    def holds(self, subject: Subject) -> Matched:
        """Whether all that is stated holds; UNKNOWN when only an undecided condition stands in doubt."""
        if not all(test(subject) for test in self._tests):
            return Matched.NO
        when = Truth.TRUE if self._when is None else self._when.evaluate(subject.variables)
        if when is Truth.FALSE:
            return Matched.NO
        unless = Truth.FALSE if self._unless is None else self._unless.evaluate(subject.variables)
        if unless is Truth.TRUE:
            return Matched.NO
        return Matched.UNKNOWN if Truth.UNKNOWN in (when, unless) else Matched.YES

    @property
    def uses_findings(self) -> bool:
        return any(each is not None and each.uses_findings for each in (self._when, self._unless))


def _tests(document: MatchDocument, *, narrow: bool) -> Iterable[Test]:
    """What is stated, cheapest first."""
    fold = not narrow
    if document.action is not None:
        types = frozenset(document.action)
        yield lambda subject: subject.action.type in types
    if document.risk is not None:
        levels = frozenset(document.risk)
        yield lambda subject: subject.risk.level in levels
    if document.trusted is not None:
        trusted = document.trusted
        yield lambda subject: subject.agent.trusted is trusted
    if document.agent is not None:
        agents = _names(map(person_key, document.agent), fold=True)
        yield lambda subject: _any(agents, (person_key(subject.agent.name),))
    if document.agent_role is not None:
        roles = frozenset(map(person_key, document.agent_role))
        yield lambda subject: not roles.isdisjoint(subject.roles)
    if document.environment is not None:
        environments = _names(document.environment, fold=fold)
        yield lambda subject: _any(environments, (subject.agent.environment,))
    if document.network is not None:
        network = document.network
        yield lambda subject: subject.network is network
    yield from _of_code(document, narrow=narrow)
    yield from _of_operations(document, fold=fold)
    yield from _of_places(document, narrow=narrow)
    if document.time is not None:
        hours = Hours.of(document.time)
        yield lambda subject: hours.hold(subject.now)


def _of_code(document: MatchDocument, *, narrow: bool) -> Iterable[Test]:
    if document.language is not None:
        languages = frozenset(document.language)
        yield (
            lambda subject: (
                isinstance(subject.action, CodeExecution | PackageAddition)
                and subject.action.language in languages
            )
        )
    if document.package is not None:
        packages = _names(document.package, fold=True)
        enough = all if narrow else any
        yield (
            lambda subject: (
                bool(subject.packages)
                and enough(_any(packages, (name, text)) for name, text in _packages(subject))
            )
        )
    if document.profile is not None:
        profiles = frozenset(document.profile)
        yield lambda subject: isinstance(subject.action, CodeExecution) and subject.action.profile in profiles


def _packages(subject: Subject) -> Iterable[tuple[str, str]]:
    """The name and the whole text of each package."""
    action = subject.action
    named = action.language if isinstance(action, CodeExecution | PackageAddition) else Language.PYTHON
    return ((name_of(each, named), each) for each in subject.packages)


def _of_operations(document: MatchDocument, *, fold: bool) -> Iterable[Test]:
    if document.server is not None:
        servers = _names(document.server, fold=fold)
        yield lambda subject: isinstance(subject.action, ToolCall) and _any(servers, (subject.action.server,))
    if document.tool is not None:
        tools = _names(document.tool, fold=fold)
        yield lambda subject: isinstance(subject.action, ToolCall) and _any(tools, (subject.action.tool,))
    if document.operation is not None:
        operations = _names(document.operation, fold=fold)
        yield (
            lambda subject: (
                isinstance(subject.action, Generic) and (_any(operations, (subject.action.operation,)))
            )
        )
    if document.method is not None:
        methods = frozenset(document.method)
        yield lambda subject: isinstance(subject.action, HttpRequest) and subject.action.method in methods


def _of_places(document: MatchDocument, *, narrow: bool) -> Iterable[Test]:
    fold = not narrow
    if document.program is not None:
        programs = _names(document.program, fold=fold)
        yield (
            lambda subject: (
                subject.program is not None
                and _any(
                    programs,
                    (subject.program,) if narrow else (subject.program, posixpath.basename(subject.program)),
                )
            )
        )
    if document.host is not None:
        hosts = _names((host.lower() for host in document.host), fold=True)
        enough = all if narrow else any
        yield lambda subject: bool(subject.hosts) and enough(_any(hosts, (host,)) for host in subject.hosts)
    if document.path is not None:
        paths = tuple(path_pattern(path, fold=fold) for path in document.path)
        yield lambda subject: _path_matches(paths, subject, narrow=narrow)


def _path_matches(paths: tuple[re.Pattern[str], ...], subject: Subject, *, narrow: bool) -> bool:
    if subject.path is None or not isinstance(subject.action, FileChange):
        return False
    # `..` after a link and a backslash lead elsewhere on some systems; only the shortest form is sure.
    return not (narrow and subject.action.path != subject.path) and _any(paths, (subject.path,))


def _names(patterns: Iterable[str], *, fold: bool) -> tuple[re.Pattern[str], ...]:
    return tuple(name_pattern(pattern, fold=fold) for pattern in patterns)


def _any(patterns: tuple[re.Pattern[str], ...], values: tuple[str, ...]) -> bool:
    return any(pattern.fullmatch(value) for pattern in patterns for value in values)
