"""What an operator does with packages: add, scan, accept, remove. Each is audited before it counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from executor_mcp.packages.errors import (
    LayerBroken,
    PackageError,
    PackageNotAllowed,
    PackageNotInstallable,
    RequirementInvalid,
    VulnerabilitiesUnknown,
)
from executor_mcp.packages.installing import Installer, Target
from executor_mcp.packages.layers import seal
from executor_mcp.packages.locked import Distribution, LockedPackage, Report
from executor_mcp.packages.noting import AuditNote
from executor_mcp.packages.requirements import AllowList, exactly, normal_name, parse_requirement
from executor_mcp.packages.shelf import Shelf
from executor_mcp.packages.vulnerabilities import VulnerabilitySource
from server_kit.audit_log import AuditLog
from server_kit.clock import Clock
from server_kit.database.base import Database


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a scan found of one package. `problem` is set when programs may not have it, or soon may not."""

    package: LockedPackage
    problem: str | None


class PackageKeeper:
    """Changes the shelf, for an operator."""

    def __init__(
        self,
        *,
        shelf: Shelf,
        allowed: AllowList,
        source: VulnerabilitySource,
        installer: Installer,
        database: Database,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._shelf = shelf
        self._allowed = allowed
        self._source = source
        self._installer = installer
        self._note = AuditNote(database=database, audit=audit)
        self._clock = clock

    async def add(
        self, requirement: str, target: Target, *, accepted: frozenset[str] = frozenset()
    ) -> LockedPackage:
        """Resolve, lock, check and keep one exact version with everything it needs.

        1. It names one exact version.
        2. The allow-list has it.
        3. It comes as files to unpack, each with a hash that was written down first; no code of it runs.
        4. The source of vulnerabilities knows of none, in it or in what it needs, that was not accepted.
        5. Its files are sealed and their digest taken.
        6. The audit entry is durable; only then it can be seen.

        Raises:
            PackageError: nothing was kept.
        """
        language = target.language
        wanted = parse_requirement(requirement, language)
        version = wanted.exact_version
        if version is None:  # 1
            example = exactly(wanted.name, "1.2.3", language)
            raise RequirementInvalid(f"{requirement!r}: name one exact version, as in {example}")
        package_named = exactly(wanted.name, version, language)
        if not self._allowed.allows(wanted.name, version, language):  # 2
            raise PackageNotAllowed(
                f"{package_named} is not on this executor's list; put {wanted.name} with the "
                f"versions you allow under packages.{language} in its settings first"
            )
        with self._shelf.staging() as staged:
            distributions = await self._installer.lock([requirement], target, staged)  # 3
            await self._installer.unpack(target, staged)
            if not any(
                normal_name(one.name, language) == wanted.name and one.version == version
                for one in distributions
            ):
                raise PackageNotInstallable(f"{package_named} was resolved to something else")
            report = await self._ask(distributions)
            if found := report.open_vulnerabilities(accepted):  # 4
                raise PackageNotAllowed(
                    f"{package_named} has known vulnerabilities: {'; '.join(found)}; take a fixed "
                    "version, or accept each by name with --accept"
                )
            facts = await asyncio.to_thread(seal, staged / "layer")  # 5
            package = LockedPackage(
                language=language,
                name=wanted.name,
                version=version,
                extras=tuple(sorted(wanted.extras)),
                interpreter=target.interpreter,
                platform=target.platform,
                distributions=distributions,
                layer=facts.digest,
                size_bytes=facts.size_bytes,
                added_at=self._clock.now(),
                report=report,
                accepted=tuple(sorted(accepted)),
            )
            await self._note.by_operator("package.added", package, {"accepted": [*package.accepted]})  # 6
            await asyncio.to_thread(self._shelf.put, staged, package)
        return package

    async def scan(self) -> tuple[Scanned, ...]:
        """Look at every file again and ask the source anew. What it does not answer keeps its last report."""
        packages = await asyncio.to_thread(self._shelf.packages)
        return tuple([await self._scan(package) for package in packages])

    async def accept(self, name: str, identifiers: Sequence[str]) -> tuple[LockedPackage, ...]:
        """Let programs have a package in spite of these vulnerabilities. Raises PackageError."""
        packages = await self._named(name)
        changed: list[LockedPackage] = []
        for package in packages:
            accepted = tuple(sorted({*package.accepted, *identifiers}))
            changed.append(package.model_copy(update={"accepted": accepted}))
            await self._note.by_operator(
                "package.vulnerabilities_accepted", package, {"accepted": [*accepted]}
            )
            await asyncio.to_thread(self._shelf.replace, changed[-1])
        return tuple(changed)

    async def remove(self, name: str) -> tuple[LockedPackage, ...]:
        """Take a package away. Raises PackageError."""
        packages = await self._named(name)
        for package in packages:
            await self._note.by_operator("package.removed", package, {})
            await asyncio.to_thread(self._shelf.remove, package)
        return packages

    async def _scan(self, package: LockedPackage) -> Scanned:
        try:
            await asyncio.to_thread(self._shelf.verify, package)
            report = await self._ask(package.distributions)
        except (LayerBroken, VulnerabilitiesUnknown) as error:
            return Scanned(package, str(error))
        scanned = package.model_copy(update={"report": report})
        before = set(package.report.open_vulnerabilities(frozenset(package.accepted)))
        now = report.open_vulnerabilities(frozenset(package.accepted))
        if set(now) != before:
            await self._note.by_operator("package.vulnerabilities_changed", package, {"open": [*now]})
        await asyncio.to_thread(self._shelf.replace, scanned)
        return Scanned(scanned, f"known vulnerabilities: {'; '.join(now)}" if now else None)

    async def _ask(self, distributions: Sequence[Distribution]) -> Report:
        found = await self._source.known(distributions)
        return Report(source=self._source.name, checked_at=self._clock.now(), found=found)

    async def _named(self, name: str) -> tuple[LockedPackage, ...]:
        """As `packages list` names it, extras included."""
        packages = await asyncio.to_thread(self._shelf.packages)
        found = tuple(package for package in packages if str(package) == name)
        if not found:
            there = ", ".join(sorted({str(package) for package in packages})) or "none"
            raise PackageError(f"there is no package {name[:200]!r}; there are: {there}")
        return found
