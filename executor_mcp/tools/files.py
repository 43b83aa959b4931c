"""`read_output_file`: what a program left, in pieces."""

from __future__ import annotations

from executor_mcp.interface.answers import OutputFileAnswer
from executor_mcp.interface.arguments import ReadOutputFileArguments, input_schema, parse_arguments
from executor_mcp.interface.views import output_file
from executor_mcp.service import ExecutionService
from executor_mcp.tools.executions import READS
from executor_mcp.tools.tool import Call
from server_kit.mcp_tools import ToolDefinition


def read_output_file(service: ExecutionService) -> ToolDefinition[Call, OutputFileAnswer]:
    async def run(call: Call) -> OutputFileAnswer:
        arguments = parse_arguments(ReadOutputFileArguments, call.arguments)
        found = await service.output_file(arguments.execution_id, arguments.path)
        return output_file(found, arguments.offset)

    return ToolDefinition(
        name="read_output_file",
        title="Read a file that a program left",
        description=(
            "A file of files_created, or the whole output as /dev/stdout, /dev/stderr and /dev/result, "
            "in pieces of "
            "128 KiB: as text when it is UTF-8, as base64 when it is not."
        ),
        input_schema=input_schema(ReadOutputFileArguments),
        answer=OutputFileAnswer,
        annotations=READS,
        run=run,
    )
