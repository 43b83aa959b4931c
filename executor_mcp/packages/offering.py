"""Which layers a program gets for the packages that its action names: step 6 of the gate asks here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, NoReturn, Protocol

from packaging.utils import canonicalize_name
from packaging.version import Version

from executor_mcp.packages.asking import how_to_ask
from executor_mcp.packages.errors import PackageError, PackageNotAllowed
from executor_mcp.packages.locked import LockedPackage
from executor_mcp.packages.requirements import AdditionRules, AllowList, Wanted, parse_requirement
from executor_mcp.packages.shelf import Shelf
from executor_mcp.sandbox.base import PackageLayer, SandboxDescription
from hitl_contract.action_code import CodeExecution, Language
from server_kit.clock import Clock

_OFFERED_TO: Final[Mapping[Language, tuple[str, ...] | None]] = {
    Language.PYTHON: None,
    Language.SQL: ("duckdb",),
}
"""Languages that packages are for; None: whichever is locked."""


class PackageOffer(Protocol):
    """What programs may have."""

    async def layers(self, program: CodeExecution, sandbox: SandboxDescription) -> tuple[PackageLayer, ...]:
        """One for each package the action names, in its order. Raises PackageNotAllowed."""
        ...

    async def offered(self, sandbox: SandboxDescription) -> tuple[str, ...]:
        """`name==version` of every Python package that would be given now."""
        ...


class NoPackages:
    """Offers nothing."""

    async def layers(self, program: CodeExecution, sandbox: SandboxDescription) -> tuple[PackageLayer, ...]:
        del sandbox
        if program.packages:
            raise PackageNotAllowed("packages: this executor offers none; leave packages empty")
        return ()

    async def offered(self, sandbox: SandboxDescription) -> tuple[str, ...]:
        del sandbox
        return ()


class ShelfOffer:
    """Offers what is locked, while all of this holds:

    1. The program is Python, or SQL that wants an engine of its own; each entry names a package and versions.
    2. It is locked in such a version, with those extras, for the sandbox's Python. The newest that passes is
       taken, and of one version the one that was locked last.
    3. The allow-list has it, today; or people approved it, and the rules of additions still allow it.
    4. What is known of its vulnerabilities is no older than `max_age`, and each that is known was accepted.
    5. No two layers hold different versions of one package.
    6. Its files are those that were locked.
    """

    def __init__(
        self,
        shelf: Shelf,
        allowed: AllowList,
        *,
        max_age: timedelta,
        clock: Clock,
        additions: AdditionRules | None = None,
    ) -> None:
        self._shelf = shelf
        self._allowed = allowed
        self._additions = additions or AdditionRules()
        self._max_age = max_age
        self._clock = clock

    async def layers(self, program: CodeExecution, sandbox: SandboxDescription) -> tuple[PackageLayer, ...]:
        if not program.packages:
            return ()
        if program.language not in _OFFERED_TO:  # 1
            raise PackageNotAllowed(
                f"packages: none are offered for {program.language}; leave packages empty"
            )
        return await asyncio.to_thread(self._choose, program, sandbox)

    async def offered(self, sandbox: SandboxDescription) -> tuple[str, ...]:
        return await asyncio.to_thread(self._offered, interpreter_of(sandbox))

    def _choose(self, program: CodeExecution, sandbox: SandboxDescription) -> tuple[PackageLayer, ...]:
        interpreter = interpreter_of(sandbox)
        names = _OFFERED_TO[program.language]
        try:
            wanted = [parse_requirement(text) for text in program.packages]  # 1
            for one in wanted:
                if names is not None and one.name not in names:
                    raise PackageNotAllowed(
                        f"{one.text!r} is of no use to {program.language}; it may have {', '.join(names)}"
                    )
            packages = self._shelf.packages()
            found = [self._find(packages, one, interpreter) for one in wanted]
            missing = [one for one, package in zip(wanted, found, strict=True) if package is None]
            if missing:
                self._refuse_missing(missing, program, interpreter)
            chosen = [package for package in found if package is not None]
            _refuse_conflicts(chosen)
            # One that is named twice, in two ways, is one layer.
            return tuple(
                PackageLayer(str(package), package.layer, self._shelf.layer(package))  # 6
                for package in {package.key: package for package in chosen}.values()
            )
        except PackageError as error:
            instead = error.instead if isinstance(error, PackageNotAllowed) else None
            raise PackageNotAllowed(f"packages: {error}", instead=instead) from error

    def _find(
        self, packages: Sequence[LockedPackage], wanted: Wanted, interpreter: str | None
    ) -> LockedPackage | None:
        """None where nothing of the kind is locked. Raises PackageNotAllowed for what must not be had now."""
        fitting = [
            package
            for package in packages
            if package.name == wanted.name
            and wanted.admits(package.version)
            and wanted.extras <= set(package.extras)
            and package.interpreter == interpreter
        ]
        fitting.sort(key=lambda package: (Version(package.version), package.added_at), reverse=True)
        problems: list[str] = []
        for package in fitting:  # 2
            problem = self.problem(package)
            if problem is None:
                return package
            problems.append(problem)
        if problems:
            raise PackageNotAllowed(problems[0])
        return None

    def _refuse_missing(
        self, missing: Sequence[Wanted], program: CodeExecution, interpreter: str | None
    ) -> NoReturn:
        offered = ", ".join(self._offered(interpreter)) or "none"
        names = ", ".join(repr(one.text) for one in missing)
        verb = "is" if len(missing) == 1 else "are"
        # What an engine of another language needs is nothing that its programs could import.
        rules = self._additions if program.language is Language.PYTHON else AdditionRules()
        how, instead = how_to_ask(missing, rules)
        raise PackageNotAllowed(
            f"{names} {verb} not among those offered here: {offered}. Use one of these, do without, or {how}",
            instead=instead,
        )

    def problem(self, package: LockedPackage) -> str | None:
        """Why programs may not have it now, or None."""
        if not self._listed(package):  # 3
            return f"{package} is no longer on this executor's list"
        age = self._clock.now() - package.report.checked_at
        if age > self._max_age:  # 4
            return (
                f"{package} was last checked for vulnerabilities {age.days} days ago, which counts as "
                "unknown, and unknown is not allowed; have the operator run: hitl-executor packages scan"
            )
        found = package.report.open_vulnerabilities(frozenset(package.accepted))
        if found:
            return (
                f"{package} has known vulnerabilities: {'; '.join(found)}; have the operator add a fixed "
                f"version, or accept them with: hitl-executor packages accept {package} ID"
            )
        return None

    def _listed(self, package: LockedPackage) -> bool:
        if self._allowed.allows(package.name, package.version):
            return True
        return (
            package.approved is not None
            and self._additions.allow(package.name, package.version)
            and not any(
                self._additions.forbid(canonicalize_name(one.name), one.version)
                for one in package.distributions
            )
        )

    def _offered(self, interpreter: str | None) -> tuple[str, ...]:
        return tuple(
            sorted(
                {
                    str(package)
                    for package in self._shelf.packages()
                    if package.interpreter == interpreter and self.problem(package) is None
                }
            )
        )


def interpreter_of(sandbox: SandboxDescription) -> str | None:
    """The sandbox's Python as packages are locked for it: major and minor version."""
    for language in sandbox.languages:
        if language.language is Language.PYTHON:
            return ".".join(language.version.split(".")[:2])
    return None


def _refuse_conflicts(chosen: Sequence[LockedPackage]) -> None:
    seen: dict[str, tuple[str, LockedPackage]] = {}
    for package in chosen:
        for one in package.distributions:
            version, other = seen.setdefault(canonicalize_name(one.name), (one.version, package))
            if version != one.version:  # 5
                raise PackageNotAllowed(
                    f"{other} brings {one.name}=={version} and {package} brings {one.name}=={one.version}: "
                    "they cannot be used together"
                )
