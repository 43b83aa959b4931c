"""Which layers a program gets for the packages that its action names: step 6 of the gate asks here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NoReturn, Protocol

from executor_mcp.packages.addition_rules import AdditionRules
from executor_mcp.packages.asking import how_to_ask
from executor_mcp.packages.errors import PackageError, PackageNotAllowed
from executor_mcp.packages.installing import interpreter_for
from executor_mcp.packages.locked import LockedPackage
from executor_mcp.packages.npm_fitness import why_not_with
from executor_mcp.packages.requirements import (
    AllowList,
    Wanted,
    exactly,
    normal_name,
    order_of,
    parse_requirement,
)
from executor_mcp.packages.shelf import Shelf
from executor_mcp.sandbox.base import PackageLayer, SandboxDescription
from hitl_contract.action_code import CodeExecution, Language
from server_kit.clock import Clock

_OFFERED_TO: Final[Mapping[Language, tuple[Language, tuple[str, ...] | None]]] = {
    Language.PYTHON: (Language.PYTHON, None),
    Language.NODEJS: (Language.NODEJS, None),
    Language.SQL: (Language.PYTHON, ("duckdb",)),
}
"""Languages that packages are for, whose packages they are, and which; None: whichever is locked."""


class PackageOffer(Protocol):
    """What programs may have."""

    async def layers(self, program: CodeExecution, sandbox: SandboxDescription) -> tuple[PackageLayer, ...]:
        """One for each package the action names, in its order. Raises PackageNotAllowed."""
        ...

    async def offered(self, sandbox: SandboxDescription, language: Language) -> tuple[str, ...]:
        """Every package of a language that would be given now, with its version."""
        ...


class NoPackages:
    """Offers nothing."""

    async def layers(self, program: CodeExecution, sandbox: SandboxDescription) -> tuple[PackageLayer, ...]:
        del sandbox
        if program.packages:
            raise PackageNotAllowed("packages: this executor offers none; leave packages empty")
        return ()

    async def offered(self, sandbox: SandboxDescription, language: Language) -> tuple[str, ...]:
        del sandbox, language
        return ()


class ShelfOffer:
    """Offers what is locked, while all of this holds:

    1. The program is Python or Node.js, or SQL that wants an engine of its own; each entry names a package
       and versions.
    2. It is locked in such a version, with those extras, for the sandbox's Python or Node.js, and nothing in
       it says that it needs another Node.js. The newest that passes is taken, and of one version the one that
       was locked last.
    3. The allow-list has it, today; or people approved it, and the rules of additions still allow it.
    4. What is known of its vulnerabilities is no older than `max_age`, and each that is known was accepted.
    5. No two layers hold different versions of one package, or, of Node.js where each layer has its own below
       itself, are of one package in different versions.
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

    async def offered(self, sandbox: SandboxDescription, language: Language) -> tuple[str, ...]:
        return await asyncio.to_thread(self._offered, sandbox, language)

    def _choose(self, program: CodeExecution, sandbox: SandboxDescription) -> tuple[PackageLayer, ...]:
        language, names = _OFFERED_TO[program.language]
        try:
            wanted = [parse_requirement(text, language) for text in program.packages]  # 1
            for one in wanted:
                if names is not None and one.name not in names:
                    raise PackageNotAllowed(
                        f"{one.text!r} is of no use to {program.language}; it may have {', '.join(names)}"
                    )
            packages = self._shelf.packages()
            found = [self._find(packages, one, sandbox, language) for one in wanted]
            missing = [one for one, package in zip(wanted, found, strict=True) if package is None]
            if missing:
                self._refuse_missing(missing, program, sandbox, language)
            chosen = [package for package in found if package is not None]
            _refuse_conflicts(chosen, language)
            # One that is named twice, in two ways, is one layer.
            return tuple(
                PackageLayer(
                    str(package),
                    package.layer,
                    self._shelf.layer(package),  # 6
                    module=package.name if language is Language.NODEJS else None,
                )
                for package in {package.key: package for package in chosen}.values()
            )
        except PackageError as error:
            instead = error.instead if isinstance(error, PackageNotAllowed) else None
            raise PackageNotAllowed(f"packages: {error}", instead=instead) from error

    def _find(
        self,
        packages: Sequence[LockedPackage],
        wanted: Wanted,
        sandbox: SandboxDescription,
        language: Language,
    ) -> LockedPackage | None:
        """None where nothing of the kind is locked. Raises PackageNotAllowed for what must not be had now."""
        fitting = [
            package
            for package in packages
            if package.language is language
            and package.name == wanted.name
            and wanted.admits(package.version)
            and wanted.extras <= set(package.extras)
            and package.interpreter == interpreter_of(sandbox, language)
        ]
        fitting.sort(key=lambda package: (_order(package, language), package.added_at), reverse=True)
        problems: list[str] = []
        for package in fitting:  # 2
            problem = self.problem(package) or _unfit(package, sandbox)
            if problem is None:
                return package
            problems.append(problem)
        if problems:
            raise PackageNotAllowed(problems[0])
        return None

    def _refuse_missing(
        self,
        missing: Sequence[Wanted],
        program: CodeExecution,
        sandbox: SandboxDescription,
        language: Language,
    ) -> NoReturn:
        offered = ", ".join(self._offered(sandbox, language)) or "none"
        names = ", ".join(repr(one.text) for one in missing)
        verb = "is" if len(missing) == 1 else "are"
        # What an engine of another language needs is nothing that its programs could import.
        rules = self._additions if program.language is language else AdditionRules()
        how, instead = how_to_ask(missing, rules, language)
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
        if self._allowed.allows(package.name, package.version, package.language):
            return True
        language = package.language
        return (
            package.approved is not None
            and self._additions.allow(package.name, package.version, language)
            and not any(
                self._additions.forbid(normal_name(one.name, language), one.version, language)
                for one in package.distributions
            )
        )

    def _offered(self, sandbox: SandboxDescription, language: Language) -> tuple[str, ...]:
        interpreter = interpreter_of(sandbox, language)
        return tuple(
            sorted(
                {
                    str(package)
                    for package in self._shelf.packages()
                    if (package.language, package.interpreter) == (language, interpreter)
                    and self.problem(package) is None
                    and _unfit(package, sandbox) is None
                }
            )
        )


def version_of(sandbox: SandboxDescription, language: Language) -> str | None:
    """The whole version of the sandbox's interpreter."""
    return next((one.version for one in sandbox.languages if one.language is language), None)


def interpreter_of(sandbox: SandboxDescription, language: Language) -> str | None:
    """The sandbox's interpreter as packages are locked for it."""
    version = version_of(sandbox, language)
    return None if version is None else interpreter_for(version, language)


def _unfit(package: LockedPackage, sandbox: SandboxDescription) -> str | None:
    """Why this very release of the interpreter will not do, or None."""
    version = version_of(sandbox, package.language)
    for one in package.distributions:
        problem = None if one.node is None or version is None else why_not_with(one.node, version)
        if problem is not None:
            whose = f"{package}" if str(one) == str(package) else f"{one}, which {package} brings,"
            return f"{whose} {problem}"
    return None


def _order(package: LockedPackage, language: Language) -> Any:
    return order_of(package.version, language)


def _refuse_conflicts(chosen: Sequence[LockedPackage], language: Language) -> None:
    seen: dict[str, tuple[str, LockedPackage]] = {}
    for package in chosen:
        for one in package.distributions:
            if language is Language.NODEJS and (one.name, one.version) != (package.name, package.version):
                continue
            version, other = seen.setdefault(normal_name(one.name, language), (one.version, package))
            if version != one.version:  # 5
                raise PackageNotAllowed(
                    f"{other} brings {exactly(one.name, version, language)} and {package} brings {one}: "
                    "they cannot be used together"
                )
