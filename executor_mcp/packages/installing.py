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
    release: str | None = None
    """The interpreter's whole version, where it is known."""


def target_here(version: str, language: Language = Language.PYTHON) -> Target:
    """For an interpreter of this version, of which more may be given than packages are told apart by.

    Sandboxes are of this machine's kind; their C library is GNU's, of 2018 or later.
    """
    interpreter, machine = interpreter_for(version, language), platform.machine()
    release = version if version.count(".") > 1 else None
    if language is Language.NODEJS:
        name = f"linux-{_NPM_PROCESSORS.get(machine, machine)}-glibc"
    else:
        name = f"{machine}-manylinux_2_28"
    return Target(interpreter, name, language, release)


def interpreter_for(version: str, language: Language) -> str:
    """As packages are locked for it: major and minor version of Python, the major of Node.js."""
    return ".".join(version.split(".")[: 1 if language is Language.NODEJS else 2])


def lock_file(language: Language) -> str:
    """The name of the lock that an installer writes."""
    return "package-lock.json" if language is Language.NODEJS else "requirements.txt"


def tool_of(language: Language) -> str:
    """What resolves and fetches."""
    return "npm" if language is Language.NODEJS else "uv"


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
        """Writes a lock (`lock_file`) into `staged`: what it takes, with hashes, in versions that keep to the
        `constraints`, of which each names one version of a package. Of Node.js what it takes without them
        where it cannot be had with them. Raises PackageNotInstallable.
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
