"""Records in the OSV format, and which versions of a Python package they are about.

Source: the OSV schema, version 1 (https://ossf.github.io/osv-schema/). A record that cannot be understood is
about every version: not understood is not "not affected".
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from executor_mcp.packages.errors import VulnerabilitiesUnknown
from executor_mcp.packages.locked import Distribution, Vulnerability

ECOSYSTEM = "PyPI"
_MAX_RECORD_BYTES = 8 * 1024 * 1024
_MAX_RECORDS = 1_000_000
_SUMMARY_CHARACTERS = 200


class Advisories:
    """Records, by the package that they are about."""

    def __init__(self, records: dict[str, list[dict[str, Any]]]) -> None:
        self._records = records

    @classmethod
    def of(cls, records: Iterable[object]) -> Advisories:
        """Raises VulnerabilitiesUnknown for what is no record; those about other ecosystems are left out."""
        by_name: dict[str, list[dict[str, Any]]] = {}
        for record in records:
            if not isinstance(record, dict) or not isinstance(cast("dict[str, Any]", record).get("id"), str):
                raise VulnerabilitiesUnknown("a record has no id: this is not the OSV format")
            known = cast("dict[str, Any]", record)
            if not known.get("withdrawn"):
                for name in {name for name, _ in _affected(known)}:
                    by_name.setdefault(name, []).append(known)
        return cls(by_name)

    def __len__(self) -> int:
        return len(self._records)

    def about(self, distributions: Sequence[Distribution]) -> dict[str, tuple[Vulnerability, ...]]:
        found: dict[str, tuple[Vulnerability, ...]] = {}
        for distribution in distributions:
            name = canonicalize_name(distribution.name)
            hits = [
                record
                for record in self._records.get(name, ())
                if any(
                    _is_about(affected, distribution.version)
                    for affected_name, affected in _affected(record)
                    if affected_name == name
                )
            ]
            if hits:
                found[str(distribution)] = summaries(hits)
        return found


def read_snapshot(path: Path) -> Advisories:
    """Raises VulnerabilitiesUnknown for a file that holds no record about Python packages."""
    try:
        advisories = Advisories.of(_records(path))
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile, NotImplementedError) as error:
        raise VulnerabilitiesUnknown(
            f"the snapshot {path} cannot be read ({type(error).__name__})"
        ) from error
    if not len(advisories):
        raise VulnerabilitiesUnknown(f"the snapshot {path} holds no record about packages of {ECOSYSTEM}")
    return advisories


def summary_of(record: object) -> Vulnerability | None:
    """What is kept of a record; None for one that was withdrawn."""
    if not isinstance(record, dict) or not isinstance(cast("dict[str, Any]", record).get("id"), str):
        raise VulnerabilitiesUnknown("a vulnerability without an id")
    known = cast("dict[str, Any]", record)
    if known.get("withdrawn"):
        return None
    aliases = tuple(str(alias) for alias in known.get("aliases") or ())
    text = str(known.get("summary") or known.get("details") or "")
    summary = "".join(character if character.isprintable() else " " for character in text)
    return Vulnerability(identifier=known["id"], aliases=aliases, summary=summary[:_SUMMARY_CHARACTERS])


def summaries(records: Iterable[object]) -> tuple[Vulnerability, ...]:
    return tuple(one for one in map(summary_of, records) if one is not None)


def parse_object(body: bytes) -> dict[str, Any]:
    try:
        found: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise VulnerabilitiesUnknown("the answer is no JSON") from error
    if not isinstance(found, dict):
        raise VulnerabilitiesUnknown("the answer is no JSON object")
    return cast("dict[str, Any]", found)


def _records(path: Path) -> Iterator[object]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(".json")]
            if len(entries) > _MAX_RECORDS or any(entry.file_size > _MAX_RECORD_BYTES for entry in entries):
                raise ValueError("too many or too large records")
            for entry in entries:
                yield json.loads(archive.read(entry))
        return
    text = path.read_text(encoding="utf-8")
    try:
        whole: object = json.loads(text)
    except ValueError:
        for line in text.splitlines():
            if line.strip():
                yield json.loads(line)
        return
    if isinstance(whole, list):
        yield from cast("list[object]", whole)
    else:
        yield whole


def _affected(record: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The packages of this ecosystem that a record is about, by normalised name."""
    affected: object = record.get("affected")
    for one in _objects(affected):
        for package in _objects([one.get("package")]):
            if package.get("ecosystem") == ECOSYSTEM:
                yield canonicalize_name(str(package.get("name"))), one


def _objects(value: object) -> list[dict[str, Any]]:
    """The objects of a list; nothing where there is none."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", one) for one in items if isinstance(one, dict)]


def _is_about(affected: dict[str, Any], version: str) -> bool:
    listed = [str(one) for one in affected.get("versions") or ()]
    ordered = [one for one in _objects(affected.get("ranges")) if one.get("type") in ("ECOSYSTEM", "SEMVER")]
    if not listed and not ordered:
        return True
    try:
        mine = Version(version)
        return any(_same(mine, one) for one in listed) or any(
            _within(mine, _objects(one.get("events"))) for one in ordered
        )
    except (InvalidVersion, TypeError, AttributeError):
        return True


def _same(mine: Version, other: str) -> bool:
    try:
        return mine == Version(other)
    except InvalidVersion:
        return False


def _within(mine: Version, events: list[dict[str, Any]]) -> bool:
    """The last event at or before the version decides; `last_affected` counts for itself."""
    inside = False
    for introduced, fixed, last in sorted(map(_event, events), key=_order):
        if introduced is not None and mine >= introduced:
            inside = True
        if fixed is not None and mine >= fixed:
            inside = False
        if last is not None and mine > last:
            inside = False
    return inside


_Event = tuple[Version | None, Version | None, Version | None]


def _event(event: dict[str, Any]) -> _Event:
    def version(name: str) -> Version | None:
        value = event.get(name)
        return None if value is None else Version("0.dev0" if value == "0" else str(value))

    return version("introduced"), version("fixed"), version("last_affected")


def _order(event: _Event) -> tuple[Version, int]:
    introduced, fixed, last = event
    at = introduced or fixed or last
    return (at or Version("0.dev0"), 0 if introduced is not None else 1)
