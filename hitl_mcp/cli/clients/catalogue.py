"""The clients that `hitl connect` knows: where each keeps its file and in which form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hitl_mcp.cli.clients import json_file, toml_file
from hitl_mcp.cli.clients.edits import FileEdit
from hitl_mcp.cli.clients.entries import Entry
from hitl_mcp.cli.clients.json_file import JsonStyle


class ClientName(StrEnum):
    CLAUDE_CODE = "claude-code"
    CLAUDE_DESKTOP = "claude-desktop"
    CURSOR = "cursor"
    VSCODE = "vscode"
    CODEX = "codex"


@dataclass(frozen=True)
class Places:
    """Where this person's files are. `platform` is `sys.platform`."""

    user_home: Path
    working_directory: Path
    platform: str
    environment: Mapping[str, str]

    def application_support(self) -> Path:
        """The directory in which desktop applications keep their settings."""
        if self.platform == "darwin":
            return self.user_home / "Library" / "Application Support"
        if self.platform == "win32":
            return Path(self.environment.get("APPDATA") or self.user_home / "AppData" / "Roaming")
        return Path(self.environment.get("XDG_CONFIG_HOME") or self.user_home / ".config")


@dataclass(frozen=True)
class Client:
    """One client's file. `style` is None for the one that uses TOML."""

    name: ClientName
    path: Path
    style: JsonStyle | None
    after_connecting: str

    @property
    def over_http(self) -> bool:
        return self.style is None or self.style.over_http

    def snippet(self, entries: Sequence[Entry]) -> str:
        return toml_file.snippet(entries) if self.style is None else json_file.snippet(self.style, entries)

    def plan_edit(self, entries: Sequence[Entry]) -> FileEdit:
        if self.style is None:
            return toml_file.plan_edit(self.path, entries)
        return json_file.plan_edit(self.path, self.style, entries)


_CLAUDE_CODE = JsonStyle("mcpServers", names_type=True, key_reference="${{{0}}}")
_CLAUDE_DESKTOP = JsonStyle("mcpServers", names_type=False, key_reference="", over_http=False)
_CURSOR = JsonStyle("mcpServers", names_type=False, key_reference="${{env:{0}}}")
_VSCODE = JsonStyle("servers", names_type=True, key_reference="${{env:{0}}}")


def find_client(name: ClientName, places: Places, *, project: bool) -> Client:
    """The client's file for this person, or with `project` for the working directory alone.

    Raises:
        ValueError: the client has no file per project.
    """
    user, here, support = places.user_home, places.working_directory, places.application_support()
    restart = "Restart it to load the servers."
    match name:
        case ClientName.CLAUDE_CODE:
            path = here / ".mcp.json" if project else user / ".claude.json"
            return Client(name, path, _CLAUDE_CODE, "In Claude Code, /mcp lists them.")
        case ClientName.CURSOR:
            path = (here if project else user) / ".cursor" / "mcp.json"
            return Client(name, path, _CURSOR, "In Cursor, Settings > MCP lists them.")
        case ClientName.VSCODE:
            path = here / ".vscode" / "mcp.json" if project else support / "Code" / "User" / "mcp.json"
            return Client(name, path, _VSCODE, "In Visual Studio Code, run 'MCP: List Servers'.")
        case ClientName.CLAUDE_DESKTOP:
            _require_no_project(name, project)
            return Client(name, support / "Claude" / "claude_desktop_config.json", _CLAUDE_DESKTOP, restart)
        case ClientName.CODEX:
            _require_no_project(name, project)
            home = Path(places.environment.get("CODEX_HOME") or user / ".codex")
            return Client(name, home / "config.toml", None, "In Codex, /mcp lists them.")


def _require_no_project(name: ClientName, project: bool) -> None:
    if project:
        raise ValueError(f"{name} keeps its MCP servers per person only")
