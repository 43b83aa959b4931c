"""`hitl connect claude-code --hook`: the hook in Claude Code's settings, beside what was there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hitl_mcp.cli.clients.hooks_file import hook_command, hook_snippet, plan_hook_edit
from hitl_mcp.cli.failures import CommandFailed

COMMAND = hook_command("/opt/a b/hitl", {"HITL_HOME": "/home/ada/.hitl"}, "claude-code")


def test_the_command_is_one_that_a_shell_takes_apart_again() -> None:
    assert COMMAND == "HITL_HOME=/home/ada/.hitl '/opt/a b/hitl' hook --agent claude-code"


def test_the_hook_goes_beside_what_is_there_and_replaces_only_an_earlier_one_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    other = {"matcher": "Bash", "hooks": [{"type": "command", "command": "my-hitl hooks"}]}
    before: dict[str, Any] = {"model": "x", "hooks": {"PreToolUse": [other], "Stop": []}}
    path.write_text(json.dumps(before, indent=4))
    edit = plan_hook_edit(path, hook_command("/old/hitl", {}, "a"))
    assert edit.apply() is not None
    edit = plan_hook_edit(path, COMMAND)
    edit.apply()
    after = json.loads(path.read_text())
    assert (after["model"], after["hooks"]["Stop"]) == ("x", [])
    kept, own = after["hooks"]["PreToolUse"]
    assert kept == other
    assert own["hooks"] == [{"type": "command", "command": COMMAND, "timeout": 600, "onFailure": "block"}]
    assert plan_hook_edit(path, COMMAND).changes_nothing
    assert len(list(tmp_path.glob("settings.json.before-hitl-*"))) == 2


def test_a_new_file_and_the_snippet_are_the_same(tmp_path: Path) -> None:
    assert plan_hook_edit(tmp_path / ".claude" / "settings.json", COMMAND).after == hook_snippet(COMMAND)


@pytest.mark.parametrize("content", ["[]", '{"hooks": []}', '{"hooks": {"PreToolUse": {}}}', "{// x\n}"])
def test_a_file_of_another_shape_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(content)
    with pytest.raises(CommandFailed):
        plan_hook_edit(path, COMMAND)
    assert path.read_text() == content
