"""The upstream server's tools as it describes them, and whether a description changed since it was trusted.

A tool is trusted as first seen. One whose name, texts, schemas or annotations differ later ("rug pull") is
listed as it is, and not called before a person approved the change. A tool that is not listed is not called.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from hitl_contract.canonical import canonical_json, digest_of_bytes
from hitl_contract.errors import CanonicalizationError
from hitl_mcp.proxy.files import ProxyFiles


class Definitions:
    """What is known of the tools now. `stale` says that it has to be asked for (again)."""

    def __init__(self, files: ProxyFiles) -> None:
        self._files = files
        self._tools: dict[str, dict[str, Any]] = {}
        self.stale = True

    def observe(self, tools: object) -> None:
        """Take in one page of a listing."""
        if not isinstance(tools, list):
            return
        pins = self._files.pins()
        for tool in cast("list[object]", tools):
            if not isinstance(tool, dict):
                continue
            fields = cast("dict[str, Any]", tool)
            name = fields.get("name")
            if isinstance(name, str) and name:
                self._tools[name] = fields
                if name not in pins:
                    self._files.pin(name, definition_digest(fields))

    def replace(self, tools: Sequence[object]) -> None:
        """Take in a whole listing: what is not in it is not there."""
        self._tools.clear()
        self.observe(list(tools))
        self.stale = False

    def get(self, tool: str) -> dict[str, Any] | None:
        """The tool of exactly this name."""
        return self._tools.get(tool)

    def digest(self, tool: str) -> str:
        """The digest of its definition now; empty when it is not listed."""
        known = self._tools.get(tool)
        return "" if known is None else definition_digest(known)

    def trusted(self, tool: str) -> str | None:
        """The digest of the definition that is trusted."""
        return self._files.pins().get(tool)

    def trust(self, tool: str, digest: str) -> None:
        self._files.pin(tool, digest)


def definition_digest(tool: dict[str, Any]) -> str:
    """The digest of all that a tool says of itself but `_meta`."""
    stated = {name: value for name, value in tool.items() if name != "_meta"}
    try:
        return digest_of_bytes(canonical_json(stated))
    except CanonicalizationError:
        return digest_of_bytes(json.dumps(stated, sort_keys=True).encode("utf-8", "surrogatepass"))
