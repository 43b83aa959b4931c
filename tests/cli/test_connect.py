"""`hitl connect`: five clients' files, edited without losing anything."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from hitl_mcp.cli.clients.catalogue import ClientName, Places, find_client
from hitl_mcp.cli.clients.edits import FileEdit
from hitl_mcp.cli.clients.entries import StdioEntry
from hitl_mcp.cli.failures import CommandFailed
from tests.cli.commands import CommandLine

ENTRIES = (
    StdioEntry("hitl", "/opt/bin/hitl", ("mcp", "--agent", "robot"), {"HITL_HOME": "/home/ada/.hitl"}),
    StdioEntry("hitl-executor", "/opt/bin/hitl-executor", ("mcp",)),
)
FILES = {
    ClientName.CLAUDE_CODE: (".claude.json", "mcpServers"),
    ClientName.CLAUDE_DESKTOP: (".config/Claude/claude_desktop_config.json", "mcpServers"),
    ClientName.CURSOR: (".cursor/mcp.json", "mcpServers"),
    ClientName.VSCODE: (".config/Code/User/mcp.json", "servers"),
    ClientName.CODEX: (".codex/config.toml", "mcp_servers"),
}


def places(home: Path, platform: str = "linux") -> Places:
    return Places(home, home / "project", platform, {})


def read(path: Path) -> dict[str, Any]:
    text = path.read_text()
    return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)


@pytest.mark.parametrize("name", list(ClientName))
def test_each_client_gets_both_servers_where_it_reads_them(tmp_path: Path, name: ClientName) -> None:
    client = find_client(name, places(tmp_path), project=False)
    file, key = FILES[name]
    assert client.path == tmp_path / file
    client.plan_edit(ENTRIES).apply()
    servers = read(client.path)[key]
    assert servers["hitl"]["command"] == "/opt/bin/hitl"
    assert servers["hitl"]["args"] == ["mcp", "--agent", "robot"]
    assert servers["hitl"]["env"] == {"HITL_HOME": "/home/ada/.hitl"}
    assert set(servers) == {"hitl", "hitl-executor"}
    assert client.plan_edit(ENTRIES).changes_nothing


@pytest.mark.parametrize("name", [name for name in ClientName if name is not ClientName.CODEX])
def test_everything_else_in_a_json_file_stays_as_it_was(tmp_path: Path, name: ClientName) -> None:
    client = find_client(name, places(tmp_path), project=False)
    key = FILES[name][1]
    client.path.parent.mkdir(parents=True, exist_ok=True)
    other = {"zeta": 1, key: {"other": {"command": "x", "env": {"TOKEN": "é"}}}, "alpha": [1, {"b": None}]}
    client.path.write_text(json.dumps(other, indent=4, ensure_ascii=False))
    client.path.chmod(0o640)
    backup = client.plan_edit(ENTRIES).apply()
    after = client.path.read_text()
    document = json.loads(after)
    assert list(document) == ["zeta", key, "alpha"]
    assert document[key]["other"] == other[key]["other"]
    assert '\n    "zeta"' in after
    assert "é" in after
    assert stat.S_IMODE(client.path.stat().st_mode) == 0o640
    assert backup is not None
    assert json.loads(backup.read_text()) == other
    assert stat.S_IMODE(backup.stat().st_mode) == 0o640


def test_comments_and_tables_of_a_toml_file_stay_and_an_old_entry_is_replaced(tmp_path: Path) -> None:
    client = find_client(ClientName.CODEX, places(tmp_path), project=False)
    client.path.parent.mkdir()
    before = (
        '# mine\nmodel = "x"  # why\n\n[mcp_servers.hitl]\ncommand = "old"\n'
        '[mcp_servers.hitl.env]\nA = "b"\n\n'
        '[mcp_servers.other]\ncommand = "keep"\n'
    )
    client.path.write_text(before)
    client.plan_edit(ENTRIES).apply()
    after = client.path.read_text()
    assert "# mine" in after
    assert "# why" in after
    servers = tomllib.loads(after)["mcp_servers"]
    assert servers["other"] == {"command": "keep"}
    assert servers["hitl"]["command"] == "/opt/bin/hitl"
    assert client.plan_edit(ENTRIES).changes_nothing


@pytest.mark.parametrize(
    "text", ['{"a": 1, // comment\n}', "[1]", "nonsense", '{"mcpServers": []}', '{"mcpServers": null}']
)
def test_a_json_file_that_cannot_be_edited_safely_is_left_alone(tmp_path: Path, text: str) -> None:
    client = find_client(ClientName.CURSOR, places(tmp_path), project=False)
    client.path.parent.mkdir()
    client.path.write_text(text)
    with pytest.raises(CommandFailed, match="cursor"):
        client.plan_edit(ENTRIES)
    assert client.path.read_text() == text


@pytest.mark.parametrize("text", ["a = ", 'mcp_servers = { hitl = { command = "x" } }\n'])
def test_a_toml_file_that_cannot_be_edited_safely_is_left_alone(tmp_path: Path, text: str) -> None:
    client = find_client(ClientName.CODEX, places(tmp_path), project=False)
    client.path.parent.mkdir()
    client.path.write_text(text)
    with pytest.raises(CommandFailed, match=r"config\.toml"):
        client.plan_edit(ENTRIES)
    assert client.path.read_text() == text


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("{}")
    edit = FileEdit(path, "{}", '{"a": 1}')
    path.write_text('{"somebody": "else"}')
    with pytest.raises(CommandFailed, match="changed while"):
        edit.apply()
    assert path.read_text() == '{"somebody": "else"}'
    assert list(tmp_path.iterdir()) == [path]


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.json", tmp_path / "link.json"
    real.write_text("{}")
    link.symlink_to(real)
    FileEdit(link, "{}", '{"a": 1}').apply()
    assert link.is_symlink()
    assert real.read_text() == '{"a": 1}'


def test_the_places_follow_the_platform(tmp_path: Path) -> None:
    def path_of(name: ClientName, platform: str) -> str:
        return (
            find_client(name, places(tmp_path, platform), project=False).path.relative_to(tmp_path).as_posix()
        )

    assert path_of(ClientName.CLAUDE_DESKTOP, "darwin").startswith("Library/Application Support/Claude/")
    assert path_of(ClientName.VSCODE, "win32") == "AppData/Roaming/Code/User/mcp.json"
    assert find_client(ClientName.CLAUDE_CODE, places(tmp_path), project=True).path.name == ".mcp.json"


def test_the_command_shows_the_difference_and_writes_only_when_told(tmp_path: Path) -> None:
    cli = CommandLine(tmp_path / "hitl", {"HOME": str(tmp_path)})
    file = tmp_path / ".claude.json"
    printed = cli.run("connect", "claude-code", "--print", "--agent", "robot")
    assert json.loads(printed.stdout)["mcpServers"]["hitl"]["args"] == ["mcp", "--agent", "robot"]
    assert not file.exists()
    asked = cli.run("connect", "claude-code")
    assert asked.exit_code == 2
    assert '+    "hitl": {' in asked.output
    assert not file.exists()
    written = cli.json("connect", "claude-code", "--yes")
    assert written == {"path": str(file), "changed": True, "backup": None}
    assert cli.json("connect", "claude-code", "--yes")["changed"] is False


def test_over_http_no_key_is_written_only_the_name_of_its_variable(tmp_path: Path) -> None:
    cli = CommandLine(tmp_path / "hitl", {"HOME": str(tmp_path)})
    for client, reference in (("claude-code", "${HITL_API_KEY}"), ("cursor", "${env:HITL_API_KEY}")):
        servers = json.loads(cli.run("connect", client, "--http", "--print").stdout)["mcpServers"]
        assert servers["hitl"]["headers"] == {"Authorization": f"Bearer {reference}"}
    assert cli.run("connect", "claude-desktop", "--http", "--print").exit_code == 2
    assert cli.run("connect", "emacs", "--print").exit_code == 2
