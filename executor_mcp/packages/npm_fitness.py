"""Whether a Node.js package is for the sandbox: its `os`, `cpu`, `libc` and `engines.node`.

They are read as npm reads them, from the registry's word and from a package's own `package.json` alike. What
npm cannot read in `engines` counts as not met: it warns there, and here nobody would see the warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from executor_mcp.packages.errors import PackageNotInstallable, RequirementInvalid
from executor_mcp.packages.npm_ranges import read_npm_range
from executor_mcp.packages.npm_versions import parse_npm_version

_ANY_NODE = ""
_NO_TEXT = "(no text)"
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class NpmPlatform:
    """A platform as packages name it in `os`, `cpu` and `libc`, and the whole version of its Node.js."""

    system: str
    processor: str
    libc: str
    node: str | None = None
    """None where no more than its major version is known: then `engines` is not looked at."""

    @classmethod
    def of(cls, text: str, node: str | None = None) -> NpmPlatform:
        """Of its own text. Raises PackageNotInstallable."""
        parts = text.split("-")
        if len(parts) != 3:
            raise PackageNotInstallable(f"{text!r} is no platform; one is linux-x64-glibc")
        system, processor, libc = parts
        return cls(system, processor, libc, node)

    def __str__(self) -> str:
        return f"{self.system}-{self.processor}-{self.libc}"


def why_unfit(manifest: Mapping[str, Any], platform: NpmPlatform) -> str | None:
    """What a sentence about the package goes on with; None when it is for this platform."""
    for field, value in (("os", platform.system), ("cpu", platform.processor), ("libc", platform.libc)):
        if not _includes(manifest.get(field), value):
            return f"is not for {platform}"
    return None if platform.node is None else why_not_with(needed_node(manifest), platform.node)


def needed_node(manifest: Mapping[str, Any]) -> str:
    """`engines.node`; empty where any Node.js will do."""
    engines: object = manifest.get("engines")
    # Old packages have a list or a text there, which says nothing to npm.
    node = cast("dict[str, object]", engines).get("node") if isinstance(engines, dict) else None
    if not node:
        return _ANY_NODE
    return node if isinstance(node, str) else _NO_TEXT


def why_not_with(needed: str, node: str) -> str | None:
    """What a sentence about a package that needs this goes on with; None when that Node.js will do."""
    if needed == _ANY_NODE:
        return None
    shown = ascii(needed[:_SHOWN])[1:-1]
    try:
        if read_npm_range(needed).contains_broadly(parse_npm_version(node)):
            return None
    except RequirementInvalid:
        return f"needs a Node.js that nobody can tell ({shown}), and the sandbox has {node}"
    return f"needs Node.js {shown}, and the sandbox has {node}"


def _includes(listed: object, value: str) -> bool:
    """As npm reads a list of systems: names that are taken, or with `!` that are not."""
    if listed is None:
        return True
    names = (
        [str(name) for name in cast("list[object]", listed)] if isinstance(listed, list) else [str(listed)]
    )
    wanted = [name for name in names if not name.startswith("!")]
    return f"!{value}" not in names and (not wanted or value in wanted or "any" in wanted)
