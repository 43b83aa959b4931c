"""What `npm` has locked for one package: the places below it, with exact versions and hashes.

1. Every entry is of a registry: no link, no address of its own, no package inside another's archive.
2. Every entry has a name, an exact version and a SHA-512 hash; its place is made of such names alone.
3. No entry has an install script, and each is for the sandbox's platform and Node.js. An optional one that is
   not is left out, as npm leaves out what cannot be installed.
4. All of it lies in the package's own directory: what npm puts beside it (peers) goes into its
   `node_modules`, and where something lies there already it is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from executor_mcp.packages.errors import PackageNotInstallable, RequirementInvalid
from executor_mcp.packages.npm_fitness import NpmPlatform, needed_node, why_unfit
from executor_mcp.packages.npm_versions import parse_npm_version

MAX_ENTRIES: Final = 2000
_NAME: Final = r"(?:@[A-Za-z0-9~-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~][A-Za-z0-9._~-]*"
_FOLDER: Final = "node_modules"
_PLACE: Final = re.compile(rf"{_FOLDER}/{_NAME}(?:/{_FOLDER}/{_NAME})*", re.ASCII)
_WHOLE_NAME: Final = re.compile(_NAME, re.ASCII)
_SHA512: Final = re.compile(r"sha512-[A-Za-z0-9+/]{86}==")


@dataclass(frozen=True, slots=True)
class NpmEntry:
    """A locked package and its directory inside the layer, which is empty for the package itself."""

    place: str
    name: str
    version: str
    integrity: str
    node: str = ""
    """Which Node.js it needs, as npm's ranges; empty where any will do."""


def read_npm_lock(text: str, name: str, platform: NpmPlatform) -> tuple[NpmEntry, ...]:
    """What a layer of the package `name` is made of, in the order of the places.

    Raises:
        PackageNotInstallable: it needs what no layer may hold, or the lock is not understood.
    """
    packages = _packages(text)
    left_out = {place for place, one in packages.items() if one.get("optional") and _unfit(one, platform)}
    entries: dict[str, NpmEntry] = {}
    for place, one in packages.items():
        if place in left_out or any(place.startswith(f"{other}/") for other in left_out):  # 3
            continue
        entry = _entry(place, one, name)
        if problem := _unfit(one, platform):  # 3
            raise PackageNotInstallable(f"{entry.name}@{entry.version} {problem}")
        if entries.get(entry.place) not in (None, entry):  # 4
            raise PackageNotInstallable(
                f"{name} needs {entry.name} in two versions in one place; such peers cannot be locked"
            )
        entries[entry.place] = entry
    if "" not in entries:
        raise PackageNotInstallable(f"{name} was not resolved")
    return tuple(sorted(entries.values(), key=lambda entry: entry.place))


def name_of_lock(text: str) -> str:
    """The one package that a lock was made for. Raises PackageNotInstallable."""
    needed: object = _listed(text).get("", {}).get("dependencies")
    names = list(cast("dict[str, object]", needed)) if isinstance(needed, dict) else []
    if len(names) != 1:
        raise PackageNotInstallable("the lock is not of one package")
    return names[0]


def _listed(text: str) -> dict[str, dict[str, Any]]:
    try:
        lock: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackageNotInstallable("npm wrote no lock that can be read") from error
    found: object = cast("dict[str, Any]", lock).get("packages") if isinstance(lock, dict) else None
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        raise PackageNotInstallable("npm wrote no lock that lists packages; npm 9 or later is needed")
    return cast("dict[str, dict[str, Any]]", found)


def _packages(text: str) -> dict[str, dict[str, Any]]:
    packages = {place: one for place, one in _listed(text).items() if place}
    if len(packages) > MAX_ENTRIES:
        raise PackageNotInstallable(f"it needs {len(packages)} packages; at most {MAX_ENTRIES} are locked")
    return packages


def _entry(place: str, one: Mapping[str, Any], top: str) -> NpmEntry:
    if not _PLACE.fullmatch(place):  # 2
        raise PackageNotInstallable(f"the lock has {place[:200]!r}, which is no place of a package")
    name = one.get("name", place.rpartition(f"{_FOLDER}/")[2])
    version, integrity = one.get("version"), one.get("integrity")
    if one.get("link") or one.get("resolved") is not None:  # 1
        raise PackageNotInstallable(
            f"{name} comes from an address or a directory and not from the registry (or npm is older than 9)"
        )
    if one.get("inBundle"):  # 1
        raise PackageNotInstallable(f"{name} comes inside another package, without a hash of its own")
    if not isinstance(name, str) or not _WHOLE_NAME.fullmatch(name):  # 2
        raise PackageNotInstallable(f"the lock has {str(name)[:200]!r}, which is no name of a package")
    try:
        parse_npm_version(str(version))
    except RequirementInvalid as error:
        raise PackageNotInstallable(f"{name}: {error}") from error
    if not isinstance(integrity, str) or not _SHA512.fullmatch(integrity):  # 2
        raise PackageNotInstallable(f"{name}@{version} has no SHA-512 hash in the registry")
    return NpmEntry(_inside(place, top), name, str(version), integrity, needed_node(one))


def _inside(place: str, top: str) -> str:
    own = f"{_FOLDER}/{top}"
    return place.removeprefix(own).removeprefix("/") if f"{place}/".startswith(f"{own}/") else place  # 4


def _unfit(one: Mapping[str, Any], platform: NpmPlatform) -> str | None:
    """Why a package cannot be used as it lies in its archive; None when it can."""
    if one.get("hasInstallScript") or one.get("gypfile"):
        return (
            "has to run a script or a compiler when it is installed, which is never done here; take a "
            "version or another package that needs none"
        )
    unfit = why_unfit(one, platform)
    return None if unfit is None else f"{unfit}; take another version or package"
