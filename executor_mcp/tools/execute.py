"""`execute`: run what a capability token allows, once."""

from __future__ import annotations

from mcp_types import ToolAnnotations

from executor_mcp.interface.answers import ExecutionAnswer
from executor_mcp.interface.arguments import ExecuteArguments, input_schema, parse_arguments
from executor_mcp.interface.views import execution_answer
from executor_mcp.service import ExecutionService
from executor_mcp.tools.following import follow
from executor_mcp.tools.tool import Call
from server_kit.mcp_tools import ToolDefinition


def execute(service: ExecutionService) -> ToolDefinition[Call, ExecutionAnswer]:
    async def run(call: Call) -> ExecutionAnswer:
        arguments = parse_arguments(ExecuteArguments, call.arguments)
        execution_id = await service.execute(arguments.capability_token, arguments.action)
        execution = await follow(service, execution_id, call.context, arguments.wait_seconds)
        return execution_answer(execution, service.live(execution_id))

    return ToolDefinition(
        name="execute",
        title="Run an approved program",
        description=(
            "Runs the program that a person approved, exactly once, in a sandbox; or adds the packages of an "
            "approved package_addition. Needs the "
            "capability_token that the "
            "approval server gave for it; action may be left out. With a progress token its output "
            "comes as it is "
            "written. A call that is cut off stops nothing: calling again answers already_used with "
            "the execution_id, "
            "and get_execution reads the result."
        ),
        input_schema=input_schema(ExecuteArguments),
        answer=ExecutionAnswer,
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
        ),
        run=run,
    )
