"""`read_output_file`, and the same content as the resource `execution://{id}/files/{path}`."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError

from executor_mcp.errors import ExecutionNotFound, OutputFileNotFound
from executor_mcp.interface.answers import OutputFileAnswer
from executor_mcp.interface.arguments import ReadOutputFileArguments, input_schema, parse_arguments
from executor_mcp.interface.views import output_file
from executor_mcp.service import ExecutionService
from executor_mcp.tools.executions import READS
from executor_mcp.tools.tool import Call
from server_kit.errors import ServerError
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


def add_file_resource(server: MCPServer[None], service: ExecutionService, *, needs_agent: bool) -> None:
    """Serve the files as resources: knowing the unguessable execution id is the right to read."""
    if needs_agent:
        # The resource has no place for an API key over stdio; the tool does the same with one.
        return

    async def read(execution_id: str, path: str) -> str | bytes:
        try:
            found = await service.output_file(execution_id, path)
        except (ExecutionNotFound, OutputFileNotFound) as error:
            raise ResourceNotFoundError(str(error)) from None
        except ServerError as error:
            raise ResourceError(f"this executor cannot answer now: {error}") from error
        try:
            return found.content.decode()
        except UnicodeDecodeError:
            return found.content

    server.resource(
        "execution://{execution_id}/files/{+path}",
        name="output-file",
        title="Output file",
        description="A file that a program left in its work directory",
        mime_type="application/octet-stream",
    )(read)
