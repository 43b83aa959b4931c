"""Loads rules: all files of a directory together, or none of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from hitl_mcp.policies.checking import check
from hitl_mcp.policies.compiling import compile_files
from hitl_mcp.policies.errors import PolicyProblem, PolicyRefused
from hitl_mcp.policies.parsing import ParsedFile, parse_file
from hitl_mcp.policies.people import KnownPeople
from hitl_mcp.policies.rules import RuleSet

MAX_FILES: Final = 200
Fingerprint = tuple[tuple[str, int, int, int], ...]


def load_rules(texts: Mapping[str, str], known: KnownPeople, now: datetime) -> RuleSet:
    """The rules in these files, by their name.

    Raises:
        PolicyRefused: with every mistake in every file.
    """
    problems: list[PolicyProblem] = []
    files: list[ParsedFile] = []
    for name in sorted(texts):
        try:
            files.append(parse_file(texts[name], name))
        except PolicyRefused as error:
            problems.extend(error.problems)
    if problems:
        raise PolicyRefused(tuple(problems))
    made = compile_files(files, now)
    if not made.problems:
        check(made, known)
    if made.problems:
        raise PolicyRefused(tuple(dict.fromkeys(made.problems)))
    return made.rule_set()


def read_directory(directory: Path, *, guarded: bool = False) -> dict[str, str]:
    """The text of each `*.yaml` and `*.yml` in it, by its path.

    `guarded` refuses what others than its owner may write: who writes the rules approves.

    Raises:
        PolicyRefused: the directory or a file cannot be read, or there are too many.
    """
    texts: dict[str, str] = {}
    if guarded:
        _require_guarded(directory)
    for file in _files(directory):
        if guarded:
            _require_guarded(file)
        try:
            texts[str(file)] = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _refused(file, f"cannot be read: {_why(error)}") from None
    return texts


def fingerprint(directory: Path) -> Fingerprint:
    """Changes whenever a file of the directory does. Empty when it cannot be read."""
    found: list[tuple[str, int, int, int]] = []
    try:
        for file in _files(directory):
            status = file.stat()
            found.append((file.name, status.st_mtime_ns, status.st_size, status.st_ino))
    except (OSError, PolicyRefused):
        return ()
    return tuple(found)


def _files(directory: Path) -> list[Path]:
    try:
        files = sorted(
            file
            for file in directory.iterdir()
            if file.suffix in {".yaml", ".yml"} and not file.name.startswith(".")
        )
    except OSError as error:
        raise _refused(directory, f"cannot be read: {_why(error)}") from None
    if len(files) > MAX_FILES:
        raise _refused(directory, f"has {len(files)} files; at most {MAX_FILES} are read")
    return files


def _require_guarded(path: Path) -> None:
    try:
        mode = path.stat().st_mode & 0o777
    except OSError as error:
        raise _refused(path, f"cannot be read: {_why(error)}") from None
    if mode & 0o022:
        raise _refused(path, f"has mode {mode:04o}: others may change the rules; run: chmod go-w {path}")


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "it is not UTF-8"


def _refused(path: Path, reason: str) -> PolicyRefused:
    return PolicyRefused((PolicyProblem(str(path), 1, "", reason),))
