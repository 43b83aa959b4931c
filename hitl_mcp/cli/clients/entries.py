"""One MCP server as a client should know it, whatever the client's file looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class StdioEntry:
    """A server that the client starts itself and talks to over its standard input and output."""

    name: str
    command: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class HttpEntry:
    """A server that is running already. Its key stays in an environment variable, out of the file."""

    name: str
    url: str
    key_variable: str | None


Entry = StdioEntry | HttpEntry
