"""A package as it was locked: what it is, what it consists of, and what is known of it."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from executor_mcp.packages.requirements import exactly
from hitl_contract.action_code import Language


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Ecosystem = Literal["PyPI", "npm"]
"""As the OSV schema calls where packages are from."""


class Distribution(_Value):
    """One package of those a layer holds, with the hashes of the files it may be: SHA-256 in hexadecimal for
    Python, `sha512-` and base64 for npm.
    """

    ecosystem: Ecosystem = "PyPI"
    name: str
    version: str
    hashes: tuple[str, ...] = ()
    node: str | None = None
    """Of npm, the Node.js that it needs (`engines.node`); None where any will do."""

    def __str__(self) -> str:
        return f"{self.name}{'@' if self.ecosystem == 'npm' else '=='}{self.version}"


class Vulnerability(_Value):
    """One that is known. `identifier` is the source's own; `aliases` those of other lists."""

    identifier: str
    aliases: tuple[str, ...] = ()
    summary: str = ""

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.identifier, *self.aliases))


class Report(_Value):
    """What a source said about the distributions of a layer, and when."""

    source: str
    checked_at: datetime
    found: dict[str, tuple[Vulnerability, ...]] = {}
    """By the distribution's text; one that is not named has none."""

    def open_vulnerabilities(self, accepted: frozenset[str]) -> tuple[str, ...]:
        """`distribution: identifier` of each that nobody has accepted under any of its names."""
        return tuple(
            f"{distribution}: {one.identifier}"
            for distribution, vulnerabilities in sorted(self.found.items())
            for one in vulnerabilities
            if not one.names & accepted
        )


class Approval(_Value):
    """On whose word a package is here that no operator has locked."""

    request_id: str
    agent: str
    people: tuple[str, ...]


class LockedPackage(_Value):
    """A package with everything it needs, in one layer.

    `layer` is the digest of the layer's files. `interpreter` is the Python ("3.11") or Node.js ("18") that it
    was resolved for.
    """

    language: Language
    name: str
    version: str
    extras: tuple[str, ...] = ()
    interpreter: str
    platform: str
    distributions: tuple[Distribution, ...]
    layer: str
    size_bytes: int
    added_at: datetime
    report: Report
    accepted: tuple[str, ...] = ()
    approved: Approval | None = None
    """None for what an operator has locked."""

    def __str__(self) -> str:
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return exactly(f"{self.name}{extras}", self.version, self.language)

    @property
    def key(self) -> str:
        """The name of its directory."""
        extras = "".join(f"+{extra}" for extra in self.extras)
        name = self.name.replace("/", "+")
        return f"{self.language}-{self.interpreter}-{name}{extras}-{self.version}-{self.layer[-16:]}"
