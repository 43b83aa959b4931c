"""Where packages come from: one interface, whatever the language."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from executor_mcp.packages.errors import PackageNotInstallable
from executor_mcp.packages.locked import Distribution
from hitl_contract.action_code import Language

_NPM_PROCESSORS: Final = {
    "x86_64": "x64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "ia32",
    "ppc64le": "ppc64",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What packages are for: the sandbox's Python ("3.11") or Node.js ("18"), and a platform by the name that
    the language's tool has for it.
    """

    interpreter: str
    platform: str
    language: Language = Language.PYTHON


def target_here(interpreter: str, language: Language = Language.PYTHON) -> Target:
    """Sandboxes are of this machine's kind; their C library is GNU's, of 2018 or later."""
    machine = platform.machine()
    if language is Language.NODEJS:
        return Target(interpreter, f"linux-{_NPM_PROCESSORS.get(machine, machine)}-glibc", language)
    return Target(interpreter, f"{machine}-manylinux_2_28", language)


class Installer(Protocol):
    """Resolves, locks and unpacks; runs no code of a package.

    - It takes one exact version with everything that this needs, and nothing from anywhere but a registry.
    - Every distribution has an exact version and hashes, which what was unpacked has been compared with.
    - The same package comes to the same files on every machine, links and devices excluded.
    - It ends within a time and keeps nothing outside the staged directory.
    """

    async def lock(
        self, requirements: Sequence[str], target: Target, staged: Path, *, constraints: Sequence[str] = ()
    ) -> tuple[Distribution, ...]:
        """Writes a lock into `staged` (`requirements.txt` or `package-lock.json`): what it takes, in versions
        that keep to the `constraints`, with hashes. Raises PackageNotInstallable.
        """
        ...

    async def unpack(self, target: Target, staged: Path, *, own_cache: bool = False) -> None:
        """Fills `staged/layer` with what the lock in `staged` names and nothing else. With `own_cache`
        whatever is fetched lies in `staged` meanwhile. Raises PackageNotInstallable.
        """
        ...


class InstallerByLanguage:
    """The installer of the target's language."""

    def __init__(self, installers: Mapping[Language, Installer]) -> None:
        self._installers = dict(installers)

    async def lock(
        self, requirements: Sequence[str], target: Target, staged: Path, *, constraints: Sequence[str] = ()
    ) -> tuple[Distribution, ...]:
        return await self._of(target).lock(requirements, target, staged, constraints=constraints)

    async def unpack(self, target: Target, staged: Path, *, own_cache: bool = False) -> None:
        await self._of(target).unpack(target, staged, own_cache=own_cache)

    def _of(self, target: Target) -> Installer:
        if target.language not in self._installers:
            raise PackageNotInstallable(f"no packages are locked for {target.language}")
        return self._installers[target.language]
