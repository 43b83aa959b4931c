"""The display of an addition of packages: what is installed, into what, and who may use it from then on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hitl_contract.action_packages import PackageAddition
from hitl_contract.display_parts import GUTTER, counted, labelled

_LANGUAGES: Final = {"python": "Python", "nodejs": "Node.js"}
_IN_HEADLINE: Final = 3


def package_headline(action: PackageAddition) -> str:
    """Return which packages it is about; of many, the first three."""
    shown, more = action.packages[:_IN_HEADLINE], len(action.packages) - _IN_HEADLINE
    names = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
    noun = "package" if len(action.packages) == 1 else "packages"
    return f"Add the {_LANGUAGES[action.language]} {noun} {names}"


def package_lines(action: PackageAddition) -> Iterator[str]:
    """Yield every line of a ``package_addition`` but its headline and warnings."""
    yield labelled(
        "installs", f"{counted(len(action.packages) + len(action.needs), 'package')}, all named here"
    )
    yield labelled("into", f"what the executor gives to {_LANGUAGES[action.language]} programs, read-only")
    yield labelled("used by", "any later program that names one of them")
    yield labelled("runs", "none of their code now; a program that imports one runs its code")
    for name, versions in action.in_several_versions.items():
        yield labelled("versions", f"{len(versions)} of {name}: {', '.join(versions)}")
    yield f"--- packages: {len(action.packages)} ---"
    yield from (GUTTER + each for each in action.packages)
    yield f"--- needed by them: {len(action.needs)} ---"
    yield from (GUTTER + each for each in action.needs)


def package_warnings(action: PackageAddition) -> tuple[str, ...]:
    """Return what an approver has to know before the names."""
    noun = "the name" if len(action.packages) == 1 else "each name"
    return (f"stays until an operator removes it; compare {noun} letter by letter with what you know",)
