"""`list_languages`: what can be run here."""

from __future__ import annotations

from executor_mcp.interface.answers import LanguagesAnswer
from executor_mcp.interface.arguments import ListLanguagesArguments, input_schema, parse_arguments
from executor_mcp.interface.views import languages
from executor_mcp.service import ExecutionService
from executor_mcp.tools.executions import READS
from executor_mcp.tools.tool import Call
from server_kit.mcp_tools import ToolDefinition


def list_languages(service: ExecutionService) -> ToolDefinition[Call, LanguagesAnswer]:
    async def run(call: Call) -> LanguagesAnswer:
        parse_arguments(ListLanguagesArguments, call.arguments)
        description, policy = await service.describe()
        return languages(description, policy, service.additions)

    return ToolDefinition(
        name="list_languages",
        title="List languages and limits",
        description=(
            "Languages with their versions and packages, the sandbox and its image digest, the largest "
            "limits and the "
            "profiles that an action may ask for, and which packages people can approve."
        ),
        input_schema=input_schema(ListLanguagesArguments),
        answer=LanguagesAnswer,
        annotations=READS,
        run=run,
    )
