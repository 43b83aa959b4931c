"""`get_execution`, `cancel_execution` and `list_executions`."""

from __future__ import annotations

from typing import Final

from mcp_types import ToolAnnotations

from executor_mcp.interface.answers import ExecutionAnswer, ExecutionList
from executor_mcp.interface.arguments import (
    CancelExecutionArguments,
    GetExecutionArguments,
    ListExecutionsArguments,
    input_schema,
    parse_arguments,
)
from executor_mcp.interface.views import execution_answer, execution_list
from executor_mcp.service import ExecutionService
from executor_mcp.tools.caller import require_agent
from executor_mcp.tools.following import follow
from executor_mcp.tools.tool import Call
from server_kit.mcp_tools import ToolDefinition

CANCEL_PATIENCE_SECONDS: Final = 10.0
READS: Final = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)


def get_execution(service: ExecutionService) -> ToolDefinition[Call, ExecutionAnswer]:
    async def run(call: Call) -> ExecutionAnswer:
        arguments = parse_arguments(GetExecutionArguments, call.arguments)
        execution = await service.get(arguments.execution_id)
        if arguments.wait_seconds and not execution.status.is_final:
            execution = await follow(service, arguments.execution_id, call.context, arguments.wait_seconds)
        return execution_answer(execution, service.live(arguments.execution_id))

    return ToolDefinition(
        name="get_execution",
        title="See how an execution stands",
        description=(
            "How an execution stands and what it put out, so far or in the end. With wait_seconds the "
            "call is held "
            "until it has ended or that time has passed."
        ),
        input_schema=input_schema(GetExecutionArguments),
        answer=ExecutionAnswer,
        annotations=READS,
        run=run,
    )


def cancel_execution(service: ExecutionService) -> ToolDefinition[Call, ExecutionAnswer]:
    async def run(call: Call) -> ExecutionAnswer:
        arguments = parse_arguments(CancelExecutionArguments, call.arguments)
        await service.cancel(arguments.execution_id)
        execution = await service.get(arguments.execution_id, wait_seconds=CANCEL_PATIENCE_SECONDS)
        return execution_answer(execution, service.live(arguments.execution_id))

    return ToolDefinition(
        name="cancel_execution",
        title="Stop a running program",
        description=(
            "Stops a program and answers once it is dead. What it wrote before is kept. An execution "
            "that has ended "
            "stays as it is. The approval remains spent."
        ),
        input_schema=input_schema(CancelExecutionArguments),
        answer=ExecutionAnswer,
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
        ),
        run=run,
    )


def list_executions(service: ExecutionService) -> ToolDefinition[Call, ExecutionList]:
    async def run(call: Call) -> ExecutionList:
        arguments = parse_arguments(ListExecutionsArguments, call.arguments)
        agent = require_agent(call.agent)
        page = await service.list_of_agent(
            agent, limit=arguments.limit, cursor=arguments.cursor, active=arguments.active
        )
        return execution_list(page)

    return ToolDefinition(
        name="list_executions",
        title="List your executions",
        description=(
            "What ran under approvals given to you, newest first; with active only what has not ended. "
            "Needs an executor API key."
        ),
        input_schema=input_schema(ListExecutionsArguments),
        answer=ExecutionList,
        annotations=READS,
        run=run,
    )
