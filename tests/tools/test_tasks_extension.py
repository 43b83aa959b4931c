"""The Tasks extension over real HTTP, with a client that declares it and one that does not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import pytest
from mcp import Client
from mcp.client import ClientExtension
from mcp.client.extension import ClaimContext, ResultClaim, advertise
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolResult,
    Request,
    RequestParams,
    Result,
)
from pydantic import TypeAdapter

from tests.tools.served import Served, asking

IDENTIFIER = "io.modelcontextprotocol/tasks"
FIELDS = {"taskId", "status", "createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs"}


class TaskCreated(Result):
    result_type: Literal["task"] = "task"
    task_id: str
    status: str


class TaskParams(RequestParams):
    task_id: str
    input_responses: dict[str, Any] | None = None


class TaskRequest(Request[TaskParams, str]):
    name_param: ClassVar[str | None] = "taskId"
    method: str
    params: TaskParams


class Tasks(ClientExtension):
    """Polls a task to its end, as a host does; `created` has every task the server made."""

    identifier = IDENTIFIER

    def __init__(self) -> None:
        self.created: asyncio.Queue[str] = asyncio.Queue()

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return (ResultClaim(result_type="task", model=TaskCreated, resolve=self._resolve),)

    async def _resolve(self, created: TaskCreated, context: ClaimContext) -> CallToolResult:
        await self.created.put(created.task_id)
        while True:
            task = await get(context.session, created.task_id)
            if task["status"] == "completed":
                return CallToolResult.model_validate(task["result"])
            if task["status"] == "cancelled":
                raise RuntimeError("cancelled")
            await asyncio.sleep(0.02)


async def send(session: Any, method: str, task_id: str, **params: Any) -> dict[str, Any]:
    request = TaskRequest(method=method, params=TaskParams(task_id=task_id, **params))
    return (await session.send_request(request, Result)).model_dump(by_alias=True)


async def get(session: Any, task_id: str) -> dict[str, Any]:
    request = TaskRequest(method="tasks/get", params=TaskParams(task_id=task_id))
    return await session.send_request(request, TypeAdapter(dict[str, Any]))


async def start(client: Client, tasks: Tasks, **more: Any) -> tuple[str, asyncio.Task[CallToolResult]]:
    calling = asyncio.create_task(client.call_tool("request_approval", asking(**more)))
    async with asyncio.timeout(10):
        return await tasks.created.get(), calling


async def test_a_pending_request_is_a_task_and_its_id_the_requests(server: Served) -> None:
    tasks = Tasks()
    async with server.mcp(extensions=[tasks]) as client:
        task_id, calling = await start(client, tasks)
        assert task_id == (await server.one_pending())["request_id"]
        working = await get(client.session, task_id)
        assert working["status"] == "working"
        assert working.keys() >= FIELDS
        assert "result" not in working
        await server.decide(task_id, reason="fine")
        result = await calling
        finished = await get(client.session, task_id)
    assert result.structured_content["status"] == "APPROVED"
    assert result.structured_content["capability_token"]
    assert finished["status"] == "completed"
    assert finished["result"]["structuredContent"]["request_id"] == task_id


async def test_a_denied_task_is_completed_with_the_denial(server: Served) -> None:
    tasks = Tasks()
    async with server.mcp(extensions=[tasks]) as client:
        task_id, calling = await start(client, tasks)
        await server.decide(task_id, "deny")
        result = await calling
    assert result.is_error is False
    assert result.structured_content["status"] == "DENIED"


async def test_cancelling_a_task_withdraws_the_request(server: Served) -> None:
    tasks = Tasks()
    async with server.mcp(extensions=[tasks]) as client:
        task_id, calling = await start(client, tasks)
        await send(client.session, "tasks/cancel", task_id)
        await send(client.session, "tasks/cancel", task_id)
        assert (await get(client.session, task_id))["status"] == "cancelled"
        with pytest.raises(RuntimeError, match="cancelled"):
            await calling
    assert await server.pending() == []


async def test_updating_a_task_is_acknowledged_and_changes_nothing(server: Served) -> None:
    tasks = Tasks()
    async with server.mcp(extensions=[tasks]) as client:
        task_id, calling = await start(client, tasks)
        await send(client.session, "tasks/update", task_id, input_responses={"a": {"action": "accept"}})
        assert (await get(client.session, task_id))["status"] == "working"
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
    assert (await server.one_pending())["request_id"] == task_id


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_another_agents_task_does_not_exist(server: Served, method: str) -> None:
    tasks = Tasks()
    async with server.mcp(extensions=[tasks]) as client:
        task_id, calling = await start(client, tasks)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
    async with server.mcp("other", extensions=[Tasks()]) as other:
        more: dict[str, Any] = {"input_responses": {}} if method == "tasks/update" else {}
        for unknown in (task_id, "req_nope"):
            with pytest.raises(MCPError) as refused:
                await send(other.session, method, unknown, **more)
            assert refused.value.error.code == INVALID_PARAMS
            assert "not found" in refused.value.error.message
    assert (await server.one_pending())["request_id"] == task_id


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_a_client_that_does_not_declare_tasks_gets_none(server: Served, method: str) -> None:
    async with server.mcp(mode="2026-07-28") as client:
        result = await client.call_tool("request_approval", asking(wait_seconds=0))
        assert result.structured_content["status"] == "PENDING"
        more: dict[str, Any] = {"input_responses": {}} if method == "tasks/update" else {}
        with pytest.raises(MCPError) as refused:
            await send(client.session, method, result.structured_content["request_id"], **more)
    assert refused.value.error.code == MISSING_REQUIRED_CLIENT_CAPABILITY


async def test_tasks_do_not_exist_on_the_older_revision(server: Served) -> None:
    async with server.mcp(mode="legacy", extensions=[advertise(IDENTIFIER)]) as client:
        result = await client.call_tool("request_approval", asking(wait_seconds=0))
        assert result.structured_content["status"] == "PENDING"
        with pytest.raises(MCPError) as refused:
            await send(client.session, "tasks/get", result.structured_content["request_id"])
    assert refused.value.error.code == METHOD_NOT_FOUND


async def test_mistakes_are_answered_at_once_and_make_no_task(server: Served) -> None:
    tasks = Tasks()
    async with server.mcp(extensions=[tasks]) as client:
        result = await client.call_tool("request_approval", {"action": 1})
    assert result.is_error
    assert tasks.created.empty()
