"""`validate_code`: what would be said about an action. Runs nothing, needs no token, stores nothing."""

from __future__ import annotations

from executor_mcp.interface.answers import ValidationAnswer
from executor_mcp.interface.arguments import ValidateCodeArguments, input_schema, parse_arguments
from executor_mcp.interface.views import validation
from executor_mcp.service import ExecutionService
from executor_mcp.tools.executions import READS
from executor_mcp.tools.tool import Call
from server_kit.mcp_tools import ToolDefinition


def validate_code(service: ExecutionService) -> ToolDefinition[Call, ValidationAnswer]:
    async def run(call: Call) -> ValidationAnswer:
        arguments = parse_arguments(ValidateCodeArguments, call.arguments)
        return validation(await service.validate(arguments.action, agent=call.agent))

    return ToolDefinition(
        name="validate_code",
        title="Check an action before asking for approval",
        description=(
            "What this executor's policy would refuse in an action or write into its record, exactly as "
            "execute would, what static analysis finds in its code, and the digest that an approval of it "
            "would name. Of packages that are missing it says for which action to ask, and what an addition "
            "would install. Runs nothing and needs no token; with an API key also what holds for you by name."
        ),
        input_schema=input_schema(ValidateCodeArguments),
        answer=ValidationAnswer,
        annotations=READS,
        run=run,
    )
