"""Whether packages may be added on an approval, and what exactly that would install.

Step 6 of the gate asks here before the token is spent, and `validate_code` asks for agents.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from executor_mcp.packages.addition_rules import AdditionRules
from executor_mcp.packages.completeness import refuse_unless_named
from executor_mcp.packages.errors import (
    PackageNotAllowed,
    PackageNotInstallable,
    PackagesUnavailable,
    VulnerabilitiesUnknown,
)
from executor_mcp.packages.installing import Installer, Target, lock_file, target_here
from executor_mcp.packages.locked import Distribution, Report
from executor_mcp.packages.offering import version_of
from executor_mcp.packages.room import within_room
from executor_mcp.packages.shelf import Shelf, staging
from executor_mcp.packages.vulnerabilities import VulnerabilitySource
from executor_mcp.sandbox.base import SandboxDescription
from hitl_contract.action_code import Language
from hitl_contract.action_packages import PackageAddition, name_of
from hitl_contract.action_packages import version_of as version_in
from server_kit.clock import Clock

_PLAN_SECONDS: Final = 90.0
_FOR_TOKENS: Final = 2
_MEBIBYTE: Final = 1024 * 1024
_NAMES: Final = {Language.PYTHON: "Python", Language.NODEJS: "Node.js"}
# A package's name, and no part of an address.
_SCOPED: Final = re.compile(r"(?<![^\s'\"(,:])@[A-Za-z0-9~][\w.~-]*/[A-Za-z0-9~][\w.~-]*(?![\w./])", re.ASCII)


@dataclass(frozen=True, slots=True)
class PlannedPackage:
    """One package of an addition, with all that it needs: `lock` is the file of exact versions and hashes."""

    requirement: str
    lock: str
    distributions: tuple[Distribution, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What an addition does, to the byte: nothing else is fetched once it has begun."""

    target: Target
    packages: tuple[PlannedPackage, ...]
    report: Report
    wall_seconds: float

    @property
    def installs(self) -> tuple[str, ...]:
        """Each exact version of everything, once."""
        return tuple(sorted({str(one) for package in self.packages for one in package.distributions}))


class AdditionPlanner(Protocol):
    """Judges additions. Spends nothing and changes nothing."""

    @property
    def rules(self) -> AdditionRules: ...

    async def plan(self, action: PackageAddition, sandbox: SandboxDescription, *, has_token: bool) -> Plan:
        """
        Raises:
            PackageNotAllowed: it must not be added, or says less or more than what it would install.
            PackagesUnavailable: that cannot be said now.
        """
        ...


class NoAdditions:
    """Implements `AdditionPlanner` where nothing may be added."""

    rules = AdditionRules()

    async def plan(self, action: PackageAddition, sandbox: SandboxDescription, *, has_token: bool) -> Plan:
        del action, sandbox, has_token
        raise PackageNotAllowed(
            "packages: this executor adds none by approval; its operator has to allow it (packages.additions)"
        )


class Planner:
    """Implements `AdditionPlanner`. An addition is let through while all of this holds:

    1. The operator allows additions, each named package in its version, and forbids nothing that comes along.
    2. The sandbox has the Python or Node.js that they would be for.
    3. All of them can be locked in the versions that are named, with hashes, and unpacked without running
       anything: of Python together, as they will be mixed; of Node.js each with what it needs below itself.
    4. What that would install is what the action names: no package more, none less, no other version.
    5. The source of vulnerabilities has an answer about each of them, and knows of none.
    """

    def __init__(
        self,
        *,
        rules: AdditionRules,
        shelf: Shelf,
        installer: Installer,
        source: VulnerabilitySource,
        clock: Clock,
        wall_seconds: float,
        disk_mb: int,
    ) -> None:
        self.rules = rules
        self._disk_mb = disk_mb
        self._wall_seconds = wall_seconds
        self._shelf = shelf
        self._installer = installer
        self._source = source
        self._clock = clock
        # Who has no token holds up nobody who has one.
        self._turns = {True: asyncio.Semaphore(_FOR_TOKENS), False: asyncio.Semaphore(1)}
        self._log = structlog.get_logger("executor.packages")

    async def plan(self, action: PackageAddition, sandbox: SandboxDescription, *, has_token: bool) -> Plan:
        language = Language(action.language)
        self._refuse_by_rules(action.packages, language, allowed=True)  # 1
        self._refuse_by_rules(action.needs, language, allowed=False)  # 1
        version = version_of(sandbox, language)
        if version is None:  # 2
            raise PackageNotAllowed(f"packages: this executor's sandbox has no {_NAMES[language]}")
        try:
            async with asyncio.timeout(_PLAN_SECONDS), self._turns[has_token]:
                return await self._plan(action, target_here(version, language))
        except TimeoutError as error:
            raise PackagesUnavailable(
                f"packages: the package index had no answer within {_PLAN_SECONDS:g} s; try again"
            ) from error

    async def _plan(self, action: PackageAddition, target: Target) -> Plan:
        planned = await self._locked(action, target)  # 3
        everything = _once(planned)
        plan = Plan(target, planned, await self._ask(everything), self._wall_seconds)
        if found := plan.report.open_vulnerabilities(frozenset()):  # 5
            raise PackageNotAllowed(
                f"packages: known vulnerabilities: {'; '.join(found)}; ask for a fixed version. Only "
                "an operator can accept them"
            )
        return plan

    async def _locked(self, action: PackageAddition, target: Target) -> tuple[PlannedPackage, ...]:
        if target.language is Language.NODEJS:
            named = (*action.packages, *action.needs)
            apart = tuple([await self._lock_one(one, target, named) for one in action.packages])
            self._refuse_what_was_not_shown(action, _once(apart))
            return apart
        together, lock = await self._lock(action.packages, target, action.needs)
        self._refuse_what_was_not_shown(action, together)
        if len(action.packages) == 1:
            return (PlannedPackage(action.packages[0], lock, together),)
        pins = [str(one) for one in together]
        apart = tuple([await self._lock_one(one, target, pins) for one in action.packages])
        if {str(one) for one in _once(apart)} != set(pins):  # 4
            raise PackageNotAllowed("packages: they cannot be locked one by one as they are together")
        return apart

    def _refuse_what_was_not_shown(self, action: PackageAddition, everything: Sequence[Distribution]) -> None:
        language = Language(action.language)
        self._refuse_by_rules([str(one) for one in everything], language, allowed=False)  # 1
        refuse_unless_named(action, everything)  # 4

    def _refuse_by_rules(self, exact: Sequence[str], language: Language, *, allowed: bool) -> None:
        for each in exact:
            name, version = name_of(each, language), version_in(each, language)
            if self.rules.forbid(name, version, language) or (
                allowed and not self.rules.allow(name, version, language)
            ):
                patterns = ", ".join(self.rules.texts_allowed(language)) or "none"
                never = ", ".join(self.rules.texts_never(language))
                raise PackageNotAllowed(
                    f"packages: {each} must not be added to this executor, whoever approves it; of "
                    f"{_NAMES[language]}'s an approval may add: {patterns}"
                    f"{f', and never: {never}' if never else ''}"
                )

    async def _lock_one(self, requirement: str, target: Target, pins: Sequence[str]) -> PlannedPackage:
        found, lock = await self._lock([requirement], target, pins)
        return PlannedPackage(requirement, lock, found)

    async def _lock(
        self, requirements: Sequence[str], target: Target, pins: Sequence[str]
    ) -> tuple[tuple[Distribution, ...], str]:
        async with staging(self._shelf) as staged:
            try:
                locking = self._installer.lock(requirements, target, staged, constraints=pins)
                found = await within_room(locking, staged, self._disk_mb * _MEBIBYTE)
            except PackageNotInstallable as error:
                self._log.warning("addition_not_lockable", packages=list(requirements), problem=str(error))
                raise PackageNotAllowed(f"packages: {for_agents(error)}") from error
            return found, (staged / lock_file(target.language)).read_text(encoding="utf-8")

    async def _ask(self, distributions: Sequence[Distribution]) -> Report:
        try:
            found = await self._source.known(distributions)
        except VulnerabilitiesUnknown as error:
            self._log.warning("addition_not_checked", problem=str(error))
            raise PackagesUnavailable(f"packages: {for_agents(error)}; unknown is not allowed") from error
        return Report(source=self._source.name, checked_at=self._clock.now(), found=found)


def _once(planned: Sequence[PlannedPackage]) -> tuple[Distribution, ...]:
    """Everything of which some package needs it."""
    found = {str(one): one for package in planned for one in package.distributions}
    return tuple(found[name] for name in sorted(found))


def for_agents(error: Exception) -> str:
    """Without addresses: where an operator gets packages from is not for everybody."""
    said = str(error)
    if "E404" in said:
        return "the package index does not have it, or not something that it needs"
    if "EALLOW" in said:
        return "it needs something that does not come from the package index, which is never taken"
    without_names = _SCOPED.sub("", said)
    if "://" in said or "/" in without_names:
        return (
            "the package index or the source of vulnerabilities gave no answer; this executor's log says more"
        )
    return said
