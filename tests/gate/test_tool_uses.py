"""Claude Code's calls as actions: told apart exactly, shown to people, and translated back after an edit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hitl_contract.action import action_digest, parse_action
from hitl_contract.errors import InvalidAction
from hitl_mcp.interface.edit_hunks import Hunk, HunkKind, read_hunks, write_hunks
from hitl_mcp.interface.tool_uses import EditRefused, ToolUse, action_of, approved_input

lines = st.text(st.sampled_from("ab+-\\@ \r\n"), max_size=12)
hunks = st.lists(
    st.one_of(
        st.builds(lambda new: Hunk(HunkKind.WHOLE, "", new), lines),
        st.builds(Hunk, st.sampled_from([HunkKind.ONE, HunkKind.EVERY]), lines, lines),
    ),
    min_size=1,
    max_size=4,
)


@given(hunks)
@example([Hunk(HunkKind.WHOLE, "", ""), Hunk(HunkKind.ONE, "\n", "@@ the whole file becomes @@")])
def test_an_edit_is_read_back_exactly_as_it_was_written(edits: list[Hunk]) -> None:
    assert list(read_hunks(write_hunks(edits))) == edits


@pytest.mark.parametrize("diff", ["", "x", "@@ the whole file becomes @@\n-a", "@@ nothing @@\n+a", "+a"])
def test_what_is_no_edit_is_not_read_as_one(diff: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_hunks(diff)


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("git status", ("git", "status")),
        ("git commit -m 'two words'", ("git", "commit", "-m", "two words")),
        ("ls | sh", ("bash", "-c", "ls | sh")),
        ("ls $HOME", ("bash", "-c", "ls $HOME")),
        ("ls *", ("bash", "-c", "ls *")),
        ("ls ~", ("bash", "-c", "ls ~")),
        ("ls\nrm -r x", ("bash", "-c", "ls\nrm -r x")),
        ("PATH=/tmp ls", ("bash", "-c", "PATH=/tmp ls")),
        ("eval 'rm -r x'", ("bash", "-c", "eval 'rm -r x'")),
        ("ls # x", ("bash", "-c", "ls # x")),
        ('echo "$(id)"', ("bash", "-c", 'echo "$(id)"')),
        ("echo 'unbalanced", ("bash", "-c", "echo 'unbalanced")),
        ("", ("bash", "-c", "")),
    ],
)
def test_a_command_is_its_words_only_where_a_shell_does_no_more_than_start_it(
    command: str, argv: tuple[str, ...]
) -> None:
    action = action_of(ToolUse("Bash", {"command": command, "description": "looks around"}, "/work"))
    assert action.type == "shell_command"
    assert (action.argv, action.cwd) == (argv, "/work")


@pytest.mark.parametrize(
    ("tool", "given_input", "kind"),
    [
        ("Write", {"file_path": "/a", "content": "x\n"}, "file_change"),
        ("Edit", {"file_path": "/a", "old_string": "x", "new_string": "y"}, "file_change"),
        ("MultiEdit", {"file_path": "/a", "edits": [{"old_string": "", "new_string": "y"}]}, "file_change"),
        ("WebFetch", {"url": "https://example.com/", "prompt": "summarise"}, "http_request"),
        ("mcp__github__create_issue", {"title": "x"}, "tool_call"),
        ("mcp__", {"title": "x"}, "generic"),
        ("Read", {"file_path": "/a"}, "generic"),
        ("WebFetch", {"url": "file:///etc/passwd"}, "generic"),
        ("Bash", {"command": "ls", "dangerouslyDisableSandbox": True}, "generic"),
        ("Bash", {"command": ["ls"]}, "generic"),
        ("Write", {"file_path": "/a", "content": "x", "mode": "0777"}, "generic"),
        ("Edit", {"file_path": "/a", "old_string": "x", "new_string": "y", "replace_all": "yes"}, "generic"),
    ],
)
def test_each_tool_has_its_kind_of_action_and_what_is_not_known_is_shown_whole(
    tool: str, given_input: dict[str, Any], kind: str
) -> None:
    action = action_of(ToolUse(tool, given_input))
    assert action.type == kind
    if action.type == "generic":
        assert action.operation == f"claude-code.{tool}"
        assert action.details == given_input


def test_inputs_that_do_something_else_are_other_actions() -> None:
    uses = [
        ToolUse("Edit", {"file_path": "/a", "old_string": "x", "new_string": "y"}),
        ToolUse("Edit", {"file_path": "/a", "old_string": "x", "new_string": "y", "replace_all": True}),
        ToolUse("Edit", {"file_path": "/a", "old_string": "x\n", "new_string": "y"}),
        ToolUse("Edit", {"file_path": "/a", "old_string": "x", "new_string": "y\n"}),
        ToolUse("Write", {"file_path": "/a", "content": "y"}),
        ToolUse("Bash", {"command": "ls"}),
        ToolUse("Bash", {"command": "ls"}, "/etc"),
        ToolUse("mcp__one__two", {}),
        ToolUse("mcp__one__two", {"a": None}),
    ]
    assert len({action_digest(action_of(use)) for use in uses}) == len(uses)


@pytest.mark.parametrize(
    "use",
    [
        ToolUse("Write", {"file_path": "/a", "content": "x\n" * 2_000_000}),
        ToolUse("mcp__a__b", {"n": 2**60}),
        ToolUse("Bash", {"command": "printf '\ud800'"}),
    ],
)
def test_what_cannot_be_described_exactly_is_refused(use: ToolUse) -> None:
    with pytest.raises(InvalidAction):
        action_of(use)


@pytest.mark.parametrize(
    ("use", "edited", "expected"),
    [
        (
            ToolUse("Bash", {"command": "rm -r build", "timeout": 5}),
            {"argv": ["rm", "-i", "a b"]},
            "rm -i 'a b'",
        ),
        (ToolUse("Bash", {"command": "ls | wc"}), {"argv": ["bash", "-c", "ls | wc -l"]}, "ls | wc -l"),
    ],
)
def test_an_edited_command_is_the_one_to_run(use: ToolUse, edited: dict[str, Any], expected: str) -> None:
    approved = parse_action({"type": "shell_command", **edited})
    assert approved_input(use, approved) == {**use.tool_input, "command": expected}


def test_edited_files_addresses_and_arguments_are_the_ones_to_use() -> None:
    write = ToolUse("Write", {"file_path": "/a", "content": "x\n"})
    diff = write_hunks([Hunk(HunkKind.WHOLE, "", "y\n")])
    edited = parse_action({"type": "file_change", "path": "/b", "diff": diff})
    assert approved_input(write, edited) == {"file_path": "/b", "content": "y\n"}
    edit = ToolUse("Edit", {"file_path": "/a", "old_string": "x", "new_string": "y"})
    diff = write_hunks([Hunk(HunkKind.EVERY, "x", "z")])
    edited = parse_action({"type": "file_change", "path": "/a", "diff": diff})
    assert approved_input(edit, edited) == {
        "file_path": "/a",
        "old_string": "x",
        "new_string": "z",
        "replace_all": True,
    }
    fetch = ToolUse("WebFetch", {"url": "https://example.com/", "prompt": "p"})
    edited = parse_action({"type": "http_request", "method": "GET", "url": "https://example.org/"})
    assert approved_input(fetch, edited) == {"url": "https://example.org/", "prompt": "p"}
    call = ToolUse("mcp__bank__pay", {"amount": 100})
    edited = parse_action(
        {"type": "tool_call", "server": "bank", "tool": "pay", "arguments": {"amount": 1, "note": "x"}}
    )
    assert approved_input(call, edited) == {"amount": 1, "note": "x"}


@pytest.mark.parametrize(
    "document",
    [
        {"type": "shell_command", "argv": ["ls"], "env": {"A": "b"}},
        {"type": "shell_command", "argv": ["bash", "-c", "ls"]},
        {"type": "shell_command", "argv": ["ls"], "cwd": "/"},
        {"type": "generic", "operation": "claude-code.Bash", "details": {"command": "ls"}},
    ],
)
def test_an_edit_that_the_tool_cannot_carry_out_exactly_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(EditRefused):
        approved_input(ToolUse("Bash", {"command": "ls | wc"}), parse_action(document))


def test_an_edit_cannot_become_a_call_of_another_tool() -> None:
    use = ToolUse("mcp__bank__pay", {"amount": 1})
    other = {"type": "tool_call", "server": "bank", "tool": "close", "arguments": {"amount": 1}}
    with pytest.raises(EditRefused):
        approved_input(use, parse_action(other))
