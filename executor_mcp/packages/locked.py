"""A package as it was locked: what it is, what it consists of, and what is known of it."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from datetime import datetime

from pydantic import BaseModel, ConfigDict


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Distribution(_Value):
    """One package of those a layer holds, with the SHA-256 hashes (hexadecimal) of the files it may be."""

    name: str
    version: str
    hashes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


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
    """By `name==version`; a distribution that is not named has none."""

    def open_vulnerabilities(self, accepted: frozenset[str]) -> tuple[str, ...]:
        """`name==version: identifier` of each that nobody has accepted under any of its names."""
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

    `layer` is the digest of the layer's files. `interpreter` is the Python it was resolved for ("3.11").
    """

    language: str
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
        return f"{self.name}{extras}=={self.version}"

    @property
    def key(self) -> str:
        """The name of its directory."""
        extras = "".join(f"+{extra}" for extra in self.extras)
        return f"{self.language}-{self.interpreter}-{self.name}{extras}-{self.version}-{self.layer[-16:]}"
