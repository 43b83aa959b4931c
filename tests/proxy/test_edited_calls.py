"""A call that a person edits while it waits: what runs behind the proxy is the edited call, or nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.proxy.proxied import calls, proxied, text
from tests.tools.served import REVISIONS, Served
from tests.web.pages import forms_of, visitor

# Each test starts processes, which take their time where many run.
pytestmark = pytest.mark.timeout(180)

PAY = {"to": "ada", "amount": 500}
LESS = {"to": "ada", "amount": 5}


async def conditions(server: Served, request: dict[str, Any]) -> int:
    body = {"action_digest": request["action_digest"], "conditions": {"limits": {"limits.wall_seconds": 5}}}
    async with await server.person() as client:
        return (
            await client.post(f"/api/v1/approvals/{request['request_id']}/approve", json=body)
        ).status_code


@pytest.mark.parametrize("mode", REVISIONS)
async def test_what_runs_is_what_a_person_made_of_the_call_and_the_agent_is_told(
    server: Served, tmp_path: Path, mode: str
) -> None:
    async with proxied(server, tmp_path, mode=mode) as client:
        waiting = asyncio.create_task(client.call_tool("pay", PAY))
        asked = await server.one_pending()
        edited = await server.edit(asked, {"arguments": LESS})
        assert await conditions(server, edited) == 422
        assert calls(tmp_path) == []
        await server.decide(edited["request_id"], person="bob", action_digest=edited["action_digest"])
        result = await waiting
        assert calls(tmp_path) == [{**LESS, "secrets": []}]
        assert "paid 5 to ada" in text(result)
        assert "A person edited this call" in text(result)
        assert '"amount": 5' in text(result)
        # The approval of the edited call is used up: the same call is asked about anew, as it is.
        again = asyncio.create_task(client.call_tool("pay", PAY))
        second = await server.one_pending()
        assert second["action"]["arguments"] == PAY
        await server.decide(second["request_id"], "deny")
        assert (await again).is_error
    assert len(calls(tmp_path)) == 1


async def test_an_edit_made_on_the_page_runs_as_it_was_confirmed_there(
    server: Served, tmp_path: Path
) -> None:
    browser = visitor(server)
    async with browser.http, proxied(server, tmp_path) as client:
        waiting = asyncio.create_task(client.call_tool("pay", PAY))
        request = await server.one_pending()
        path = f"/requests/{request['request_id']}"
        await browser.sign_in()
        form = forms_of(await browser.get(f"{path}/edit"))[f"{path}/edit"]
        wanted = json.dumps({**request["action"], "arguments": {"to": "bob", "amount": 7}})
        preview = await browser.post(f"{path}/edit", {**form, "action": wanted})
        confirm = forms_of(preview)[f"{path}/edit/confirm"]
        assert (await browser.post(f"{path}/edit/confirm", confirm)).status_code == 303
        # What was approved on a page opened before the edit is not this.
        stale = {**form, "action_digest": request["action_digest"]}
        assert (await browser.post(f"{path}/approve", stale)).status_code == 409
        assert calls(tmp_path) == []
        approve = forms_of(await browser.get(path))[f"{path}/approve"]
        assert (await browser.post(f"{path}/approve", approve)).status_code == 303
        assert "paid 7 to bob" in text(await waiting)
    assert calls(tmp_path) == [{"to": "bob", "amount": 7, "secrets": []}]


async def test_an_edit_into_another_tool_calls_nothing_and_says_what_is_wanted(
    server: Served, tmp_path: Path
) -> None:
    async with proxied(server, tmp_path) as client:
        waiting = asyncio.create_task(client.call_tool("pay", PAY))
        edited = await server.edit(await server.one_pending(), {"tool": "crash", "arguments": {}})
        await server.decide(edited["request_id"], action_digest=edited["action_digest"])
        refused = await waiting
    assert refused.is_error
    assert "nothing was called" in text(refused)
    assert '"tool":"crash"' in text(refused)
    assert calls(tmp_path) == []
