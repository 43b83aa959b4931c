"""One line of what this project promises, and how far it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """How far a promise is kept."""

    KEPT = "kept"
    IN_PART = "in part"
    NOT_YET = "not yet"


@dataclass(frozen=True)
class Promise:
    """One line of what is promised; `tests` are module paths or pytest node ids without parameters."""

    name: str
    text: str
    tests: tuple[str, ...] = ()
    missing: str = ""

    @property
    def standing(self) -> Standing:
        if not self.tests:
            return Standing.NOT_YET
        return Standing.IN_PART if self.missing else Standing.KEPT
