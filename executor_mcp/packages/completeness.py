"""Whether an addition names everything that it would install, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import ValidationError

from executor_mcp.packages.errors import PackageNotAllowed
from executor_mcp.packages.locked import Distribution
from executor_mcp.packages.requirements import exactly, normal_name
from hitl_contract.action_code import Language
from hitl_contract.action_packages import MAX_NEEDS, PackageAddition, name_of, version_of

_MOST_SHOWN: Final = 4000


def refuse_unless_named(action: PackageAddition, everything: Sequence[Distribution]) -> None:
    """Raises PackageNotAllowed, with the action that names it all where one can."""
    language = Language(action.language)
    taken = {exactly(normal_name(one.name, language), one.version, language) for one in everything}
    own = {_plain(each, language): each for each in action.packages}
    if {*own, *action.needs} == taken:
        return
    # Of Python one version is taken of each, whichever way the action wrote it.
    versions = {name_of(each, language): each for each in taken}
    packages = tuple(
        each if plain in taken else _in_version(each, versions, language) for plain, each in own.items()
    )
    needs = tuple(sorted(taken - {_plain(each, language) for each in packages}))
    try:
        whole = PackageAddition(language=action.language, packages=packages, needs=needs)
    except ValidationError as error:
        raise PackageNotAllowed(
            f"packages: no action can name all that comes along ({len(needs)} packages, and at most "
            f"{MAX_NEEDS} are shown to people): {', '.join(needs)[:_MOST_SHOWN]}"
        ) from error
    raise PackageNotAllowed(
        "packages: people have to see everything that would be installed, and nothing else. Ask for "
        f"approval of exactly this: {whole.model_dump_json()}",
        instead=whole,
    )


def _plain(exact: str, language: Language) -> str:
    """Without extras."""
    return exactly(name_of(exact, language), version_of(exact, language), language)


def _in_version(exact: str, taken: Mapping[str, str], language: Language) -> str:
    found = taken.get(name_of(exact, language))
    if found is None:
        return exact
    version = version_of(exact, language)
    return exact.removesuffix(version) + version_of(found, language)
