"""The attacks as data: one file each under `programs/GROUP/NAME.LANGUAGE`.

A file starts with comment lines that are TOML: what is attacked, and how it ends when the sandbox holds.

- `goal`: what the program is after.
- `ends`: the ways it may end, as "exited 0" or the name of a termination; "exited 0" when it is not said.
- `says`: its last line of output when it is held; "held" when it is not said, "" when it says nothing.
- `files`: the files that come out of it; none when it is not said. `any_files`: their names are not compared.
- `beside`: another program, under `beside/`, that runs meanwhile and must not notice.
- `twice`: run again afterwards (in another sandbox), to look for what the first run left; `differs`: the two
  must not print the same; `cancelled_after`: seconds after which the caller cancels it.
- `limits`: those of the run. `[docker]`, `[gvisor]`, `[bubblewrap]`, `[bubblewrap-without-groups]`,
  `[burst]`: what is different there; `skip` gives the reason why it is not run there, `not_stopped` names
  what gets through.

What is not stopped is run too, has to succeed, and is told to readers in `docs/sandboxes.md`.

A program that gets what it is after prints a line that starts with "BREACH: " and says what it got.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GROUPS = (
    "resources",
    "processes",
    "kernel_surface",
    "escapes",
    "files",
    "output",
    "cross_execution",
    "timing",
)
BACKENDS = ("docker", "gvisor", "bubblewrap", "bubblewrap-without-groups", "burst")
BREACH = b"BREACH: "
_COMMENTS = {"python": "# ", "bash": "# ", "nodejs": "// "}
_KEYS = {
    "goal",
    "ends",
    "says",
    "files",
    "beside",
    "twice",
    "differs",
    "cancelled_after",
    "limits",
    "any_files",
    *BACKENDS,
}
_KEYS_OF_A_BACKEND = {"ends", "says", "files", "skip", "not_stopped"}


@dataclass(frozen=True)
class Expected:
    """How a run ends when the sandbox holds.

    `skip` is the reason why a backend does not run it; `not_stopped` what a program gets there all the same.
    """

    ends: frozenset[str]
    says: str
    files: frozenset[str] | None
    skip: str | None = None
    not_stopped: str | None = None


@dataclass(frozen=True)
class Attack:
    name: str
    group: str
    language: str
    code: str
    goal: str
    expected: Mapping[str, Expected]
    limits: Mapping[str, Any]
    beside: str | None
    twice: bool
    differs: bool
    cancelled_after: float | None
    special: frozenset[str]
    """The backends on which something is different."""

    def __str__(self) -> str:
        return f"{self.group}/{self.name}.{self.language}"


def read_attack(path: Path) -> Attack:
    """Raises ValueError for a header that says something unknown."""
    language = path.suffix.removeprefix(".")
    comment = _COMMENTS[language]
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    size = next((n for n, line in enumerate(lines) if not line.startswith(comment)), len(lines))
    header = tomllib.loads("".join(line.removeprefix(comment) for line in lines[:size]))
    for unknown in set(header) - _KEYS:
        raise ValueError(f"{path}: unknown key {unknown}")
    return Attack(
        name=path.stem,
        group=path.parent.name,
        language=language,
        code="".join(lines),
        goal=header["goal"],
        expected={backend: _expected(header, backend, path) for backend in BACKENDS},
        # Long enough for what ends in another way to get there on a busy machine.
        limits={"wall_seconds": 40, **header.get("limits", {})},
        beside=header.get("beside"),
        twice=header.get("twice", False) or header.get("differs", False),
        differs=header.get("differs", False),
        cancelled_after=header.get("cancelled_after"),
        special=frozenset(header) & frozenset(BACKENDS),
    )


def _expected(header: Mapping[str, Any], backend: str, path: Path) -> Expected:
    own: Mapping[str, Any] = header.get(backend, {})
    for unknown in set(own) - _KEYS_OF_A_BACKEND:
        raise ValueError(f"{path}: unknown key {unknown} for {backend}")
    said = {**header, **own}
    return Expected(
        ends=frozenset(said.get("ends", ["exited 0"])),
        says=said.get("says", "held"),
        files=None if said.get("any_files", False) else frozenset(said.get("files", ())),
        skip=own.get("skip"),
        not_stopped=own.get("not_stopped"),
    )


def read_attacks() -> tuple[Attack, ...]:
    paths = (path for group in GROUPS for path in sorted((HERE / "programs" / group).iterdir()))
    return tuple(read_attack(path) for path in paths)


ATTACKS = read_attacks()


def attacks_on(backend: str) -> tuple[Attack, ...]:
    return tuple(attack for attack in ATTACKS if attack.expected[backend].skip is None)
