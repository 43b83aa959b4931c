"""What the hook makes of the server's answer."""

from __future__ import annotations

from typing import Any

import pytest

from hitl_mcp.hook.asking import verdict_of
from hitl_mcp.hook.events import PRE_TOOL_USE, ToolEvent


@pytest.mark.parametrize(
    ("asked", "approved"),
    [
        ({"replace_all": 1}, {"replace_all": True}),
        ({"force": False}, {"force": 0}),
        ({"n": [1]}, {"n": [True]}),
    ],
    ids=str,
)
def test_an_edit_is_made_even_where_python_sees_no_difference(
    asked: dict[str, Any], approved: dict[str, Any]
) -> None:
    event = ToolEvent(PRE_TOOL_USE, "mcp__files__edit", asked, None, None)

    verdict = verdict_of(event, {"behavior": "allow", "updatedInput": approved})

    assert str(verdict.updated_input) == str(approved)


def test_an_input_that_nobody_edited_is_left_as_it_is() -> None:
    event = ToolEvent(PRE_TOOL_USE, "Bash", {"command": "ls", "timeout": 5}, None, None)

    verdict = verdict_of(event, {"behavior": "allow", "updatedInput": {"timeout": 5, "command": "ls"}})

    assert verdict.updated_input is None
