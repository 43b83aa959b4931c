"""Builds the MCP server and registers its tools."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

from executor_mcp.package_version import package_version
from executor_mcp.service import ExecutionService
from executor_mcp.tools.caller import CallerResolver
from executor_mcp.tools.execute import execute
from executor_mcp.tools.executions import cancel_execution, get_execution, list_executions
from executor_mcp.tools.file_resources import ServerWithFiles
from executor_mcp.tools.files import read_output_file
from executor_mcp.tools.languages import list_languages
from executor_mcp.tools.tool import ExecutorTool
from executor_mcp.tools.validate_code import validate_code

_INSTRUCTIONS = (
    "Runs programs that a person has approved, each exactly once, in a sandbox, and adds packages that "
    "a person has approved. Ask for the approval "
    "at the approval "
    "server (request_approval); give the capability_token you get there to execute. A refusal says "
    "what to do."
)


def build_server(
    service: ExecutionService, caller: CallerResolver, *, require_api_key: bool
) -> MCPServer[None]:
    """The server for one transport: `caller` says how that transport names an agent."""
    definitions = (
        execute(service),
        get_execution(service),
        cancel_execution(service),
        list_executions(service),
        read_output_file(service),
        list_languages(service),
        validate_code(service),
    )
    return ServerWithFiles(
        # The resource has no place for an API key over stdio; the tool does the same with one.
        None if require_api_key else service,
        name="hitl-executor",
        title="Executor of approved programs",
        instructions=_INSTRUCTIONS,
        version=package_version(),
        tools=[
            ExecutorTool.framed(definition, caller=caller, needs_agent=require_api_key)
            for definition in definitions
        ],
        log_level="WARNING",
    )
