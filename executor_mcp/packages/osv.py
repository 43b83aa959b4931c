"""Records in the OSV format, and which versions of a package they are about.

Source: the OSV schema, version 1 (https://ossf.github.io/osv-schema/). A record that cannot be understood is
about every version: not understood is not "not affected".
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast, get_args

from packaging.version import InvalidVersion

from executor_mcp.packages.errors import RequirementInvalid, VulnerabilitiesUnknown
from executor_mcp.packages.locked import Distribution, Ecosystem, Vulnerability
from executor_mcp.packages.requirements import normal_name, order_of
from hitl_contract.action_code import Language

_LANGUAGES: Final[dict[Ecosystem, Language]] = {"PyPI": Language.PYTHON, "npm": Language.NODEJS}
_LEAST: Final[dict[Ecosystem, str]] = {"PyPI": "0.dev0", "npm": "0.0.0-0"}
_Key = tuple[Ecosystem, str]
_MAX_RECORD_BYTES = 8 * 1024 * 1024
_MAX_RECORDS = 1_000_000
_SUMMARY_CHARACTERS = 200


class Advisories:
    """Records, by the package that they are about."""

    def __init__(self, records: dict[_Key, list[dict[str, Any]]]) -> None:
        self._records = records
        self._ecosystems = {ecosystem for ecosystem, _ in records}

    @classmethod
    def of(cls, records: Iterable[object]) -> Advisories:
        """Raises VulnerabilitiesUnknown for what is no record; those about other ecosystems are left out."""
        by_name: dict[_Key, list[dict[str, Any]]] = {}
        for record in records:
            if not isinstance(record, dict) or not isinstance(cast("dict[str, Any]", record).get("id"), str):
                raise VulnerabilitiesUnknown("a record has no id: this is not the OSV format")
            known = cast("dict[str, Any]", record)
            for key in {key for key, _ in _affected(known)}:
                records_about = by_name.setdefault(key, [])
                if not known.get("withdrawn"):
                    records_about.append(known)
        return cls(by_name)

    def __len__(self) -> int:
        return sum(map(bool, self._records.values()))

    def about(self, distributions: Sequence[Distribution]) -> dict[str, tuple[Vulnerability, ...]]:
        """Raises VulnerabilitiesUnknown where no record is about packages from there at all."""
        found: dict[str, tuple[Vulnerability, ...]] = {}
        for distribution in distributions:
            ecosystem = distribution.ecosystem
            if ecosystem not in self._ecosystems:
                raise VulnerabilitiesUnknown(f"the records are none about packages of {ecosystem}")
            key = (ecosystem, normal_name(distribution.name, _LANGUAGES[ecosystem]))
            hits = [
                record
                for record in self._records.get(key, ())
                if any(
                    _is_about(affected, distribution.version, ecosystem)
                    for affected_key, affected in _affected(record)
                    if affected_key == key
                )
            ]
            if hits:
                found[str(distribution)] = summaries(hits)
        return found


def read_snapshot(path: Path) -> Advisories:
    """Raises VulnerabilitiesUnknown for a file that holds no record about Python's or npm's packages."""
    try:
        advisories = Advisories.of(_records(path))
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile, NotImplementedError) as error:
        raise VulnerabilitiesUnknown(
            f"the snapshot {path} cannot be read ({type(error).__name__})"
        ) from error
    if not len(advisories):
        raise VulnerabilitiesUnknown(f"the snapshot {path} holds no record about packages of PyPI or npm")
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


def _affected(record: dict[str, Any]) -> Iterator[tuple[_Key, dict[str, Any]]]:
    """The packages of these ecosystems that a record is about, by normalised name."""
    affected: object = record.get("affected")
    for one in _objects(affected):
        for package in _objects([one.get("package")]):
            for ecosystem in get_args(Ecosystem):
                if package.get("ecosystem") == ecosystem:
                    yield (ecosystem, normal_name(str(package.get("name")), _LANGUAGES[ecosystem])), one


def _objects(value: object) -> list[dict[str, Any]]:
    """The objects of a list; nothing where there is none."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", one) for one in items if isinstance(one, dict)]


def _is_about(affected: dict[str, Any], version: str, ecosystem: Ecosystem) -> bool:
    listed = [str(one) for one in affected.get("versions") or ()]
    ordered = [one for one in _objects(affected.get("ranges")) if one.get("type") in ("ECOSYSTEM", "SEMVER")]
    if not listed and not ordered:
        return True
    try:
        mine = order_of(version, _LANGUAGES[ecosystem])
        return any(_same(mine, one, ecosystem) for one in listed) or any(
            _within(mine, _objects(one.get("events")), ecosystem) for one in ordered
        )
    except (InvalidVersion, RequirementInvalid, TypeError, AttributeError):
        return True


def _place(version: str, ecosystem: Ecosystem) -> Any:
    """Something that orders versions. What a record calls 0 comes before every version."""
    return order_of(_LEAST[ecosystem] if version == "0" else version, _LANGUAGES[ecosystem])


def _same(mine: Any, other: str, ecosystem: Ecosystem) -> bool:
    try:
        return mine == order_of(other, _LANGUAGES[ecosystem])
    except (InvalidVersion, RequirementInvalid):
        return False


def _within(mine: Any, events: list[dict[str, Any]], ecosystem: Ecosystem) -> bool:
    """The last event at or before the version decides; `last_affected` counts for itself."""
    inside = False
    for _, introduced, fixed, last in sorted((_event(event, ecosystem) for event in events), key=_order):
        if introduced is not None and mine >= introduced:
            inside = True
        if fixed is not None and mine >= fixed:
            inside = False
        if last is not None and mine > last:
            inside = False
    return inside


_Event = tuple[Any, Any, Any, Any]
"""Where it stands, and the versions that it says are introduced, fixed and last affected."""


def _event(event: dict[str, Any], ecosystem: Ecosystem) -> _Event:
    def version(name: str) -> Any:
        value = event.get(name)
        return None if value is None else _place(str(value), ecosystem)

    introduced, fixed, last = version("introduced"), version("fixed"), version("last_affected")
    named = (one for one in (introduced, fixed, last) if one is not None)
    return next(named, _place("0", ecosystem)), introduced, fixed, last


def _order(event: _Event) -> tuple[Any, int]:
    place, introduced, _, _ = event
    return place, 0 if introduced is not None else 1
