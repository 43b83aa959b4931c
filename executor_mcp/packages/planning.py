"""Whether packages may be added on an approval, and what exactly that would install.

Step 6 of the gate asks here before the token is spent, and `validate_code` asks for agents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from packaging.utils import canonicalize_name
from pydantic import ValidationError

from executor_mcp.packages.errors import (
    PackageNotAllowed,
    PackageNotInstallable,
    PackagesUnavailable,
    VulnerabilitiesUnknown,
)
from executor_mcp.packages.installing import Installer, Target, target_here
from executor_mcp.packages.locked import Distribution, Report
from executor_mcp.packages.offering import interpreter_of
from executor_mcp.packages.requirements import AdditionRules
from executor_mcp.packages.shelf import Shelf, staging
from executor_mcp.packages.vulnerabilities import VulnerabilitySource
from executor_mcp.sandbox.base import SandboxDescription
from hitl_contract.action_packages import PackageAddition, name_of
from server_kit.clock import Clock

_PLAN_SECONDS: Final = 90.0
_FOR_TOKENS: Final = 2


@dataclass(frozen=True, slots=True)
class PlannedPackage:
    """One package of an addition, with all that it needs: `lock` is its requirements file, with hashes."""

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
        """`name==version` of everything, once."""
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
    2. The sandbox has the Python that they would be for.
    3. All of them can be locked together, in the versions that are named: wheels alone, with hashes.
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
    ) -> None:
        self.rules = rules
        self._wall_seconds = wall_seconds
        self._shelf = shelf
        self._installer = installer
        self._source = source
        self._clock = clock
        # Who has no token holds up nobody who has one.
        self._turns = {True: asyncio.Semaphore(_FOR_TOKENS), False: asyncio.Semaphore(1)}
        self._log = structlog.get_logger("executor.packages")

    async def plan(self, action: PackageAddition, sandbox: SandboxDescription, *, has_token: bool) -> Plan:
        self._refuse_by_rules(action.packages, allowed=True)  # 1
        self._refuse_by_rules(action.needs, allowed=False)  # 1
        interpreter = interpreter_of(sandbox)
        if interpreter is None:  # 2
            raise PackageNotAllowed("packages: this executor's sandbox has no Python")
        try:
            async with asyncio.timeout(_PLAN_SECONDS), self._turns[has_token]:
                return await self._plan(action, target_here(interpreter))
        except TimeoutError as error:
            raise PackagesUnavailable(
                f"packages: the package index had no answer within {_PLAN_SECONDS:g} s; try again"
            ) from error

    async def _plan(self, action: PackageAddition, target: Target) -> Plan:
        everything, first = await self._lock(action.packages, target, action.needs)  # 3
        self._refuse_by_rules([str(one) for one in everything], allowed=False)  # 1
        _refuse_unless_named(action, everything)  # 4
        pins = [str(one) for one in everything]
        planned: list[PlannedPackage] = []
        for requirement in action.packages:
            if len(action.packages) == 1:
                planned.append(PlannedPackage(requirement, first, everything))
            else:
                part, lock = await self._lock([requirement], target, pins)
                planned.append(PlannedPackage(requirement, lock, part))
        plan = Plan(target, tuple(planned), await self._ask(everything), self._wall_seconds)
        if found := plan.report.open_vulnerabilities(frozenset()):  # 5
            raise PackageNotAllowed(
                f"packages: known vulnerabilities: {'; '.join(found)}; ask for a fixed version. Only "
                "an operator can accept them"
            )
        if set(plan.installs) != set(pins):  # 4
            raise PackageNotAllowed("packages: they cannot be locked one by one as they are together")
        return plan

    def _refuse_by_rules(self, requirements: Sequence[str], *, allowed: bool) -> None:
        for requirement in requirements:
            name, version = name_of(requirement), requirement.partition("==")[2]
            if self.rules.forbid(name, version) or (allowed and not self.rules.allow(name, version)):
                patterns = ", ".join(one.text for one in self.rules.allowed) or "none"
                never = ", ".join(one.text for one in self.rules.never)
                raise PackageNotAllowed(
                    f"packages: {requirement} must not be added to this executor, whoever approves it; an "
                    f"approval may add: {patterns}{f', and never: {never}' if never else ''}"
                )

    async def _lock(
        self, requirements: Sequence[str], target: Target, pins: Sequence[str]
    ) -> tuple[tuple[Distribution, ...], str]:
        async with staging(self._shelf) as staged:
            try:
                found = await self._installer.lock(requirements, target, staged, constraints=pins)
            except PackageNotInstallable as error:
                self._log.warning("addition_not_lockable", packages=list(requirements), problem=str(error))
                raise PackageNotAllowed(f"packages: {for_agents(error)}") from error
            return found, (staged / "requirements.txt").read_text(encoding="utf-8")

    async def _ask(self, distributions: Sequence[Distribution]) -> Report:
        try:
            found = await self._source.known(distributions)
        except VulnerabilitiesUnknown as error:
            self._log.warning("addition_not_checked", problem=str(error))
            raise PackagesUnavailable(f"packages: {for_agents(error)}; unknown is not allowed") from error
        return Report(source=self._source.name, checked_at=self._clock.now(), found=found)


def _refuse_unless_named(action: PackageAddition, everything: Sequence[Distribution]) -> None:
    versions: dict[str, str] = {canonicalize_name(one.name): one.version for one in everything}
    named = {name_of(each): each for each in (*action.packages, *action.needs)}
    if {name: each.partition("==")[2] for name, each in named.items()} == versions:
        return
    packages = tuple(
        f"{each.partition('==')[0]}=={versions.get(name_of(each), each.partition('==')[2])}"
        for each in action.packages
    )
    own = {name_of(each) for each in packages}
    needs = tuple(f"{name}=={version}" for name, version in sorted(versions.items()) if name not in own)
    try:
        whole = PackageAddition(language=action.language, packages=packages, needs=needs)
    except ValidationError as error:
        raise PackageNotAllowed(
            f"packages: no action can name all that comes along: {', '.join(needs)}"
        ) from error
    raise PackageNotAllowed(
        "packages: people have to see everything that would be installed, and nothing else. Ask for "
        f"approval of exactly this: {whole.model_dump_json()}",
        instead=whole,
    )


def for_agents(error: Exception) -> str:
    """Without addresses: where an operator gets packages from is not for everybody."""
    said = str(error)
    if "://" in said or "/" in said:
        return (
            "the package index or the source of vulnerabilities gave no answer; this executor's log says more"
        )
    return said
