"""`explain_policy`: an agent learns which rule and why, nobody is asked, and no person is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.tools.served import Served, action

RULES = """\
rules:
  - name: two-of-us
    match: {language: python, unless: 'agent.name == "stranger"'}
    then: ask
    because: programs need a look
    ask:
      approvers: 1
      exclude: [bob]
      escalation: [{after: 5m, people: [bob], groups: [approver]}]
  - {name: no-bash, match: {language: bash}, then: deny, because: bash is too sharp}
"""


async def explained(client: Client, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool("explain_policy", arguments)
    assert not result.is_error, result.content
    return result.structured_content  # type: ignore[return-value]


@pytest.fixture
def ruled_home(server: Served) -> Served:
    directory = Path(server.settings.home) / "policies"
    directory.mkdir(mode=0o700, exist_ok=True)
    file = directory / "a.yaml"
    file.write_text(RULES)
    file.chmod(0o600)
    return server


async def test_the_rule_is_named_and_nothing_is_created(ruled_home: Served) -> None:
    server = ruled_home
    async with server.mcp() as client:
        before = (await client.call_tool("list_requests", {})).structured_content
        asked = await explained(client, action=action())
        denied = await explained(client, action={**action(), "language": "bash", "code": "ls"})
        after = (await client.call_tool("list_requests", {})).structured_content
        wrong = await client.call_tool("explain_policy", {"action": {"type": "code_execution"}})
    assert (asked["verdict"], asked["rule"]) == ("ask", "two-of-us")
    assert asked["stages"] == [[{"group": "approver", "count": 1}]]
    assert "programs need a look" in asked["explanation"]
    assert "bob" not in str(asked)
    assert (denied["verdict"], denied["rule"], denied["required_approvals"]) == ("deny", "no-bash", 0)
    assert before == after
    assert wrong.is_error
    assert "action.code" in str(wrong.content)
