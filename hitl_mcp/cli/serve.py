"""`hitl serve` and `hitl mcp`: the approval server alone, over HTTP or over stdio."""

from typing import Annotated

import typer

from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command
from hitl_mcp.running_server import find_running_server


def serve() -> None:
    """Run the approval server over HTTP: MCP at /mcp, the REST API, and the pages for people."""

    async def operation(output: Output) -> None:
        # Loaded only now: the server brings FastAPI, the MCP SDK and the database.
        from hitl_mcp.serving import serve_http
        from hitl_mcp.settings import read_settings
        from server_kit.logging import configure_logging

        home = home_directory()
        settings = read_settings()
        require_initialized(settings.home)
        running = find_running_server(home)
        if running is not None:
            raise CommandFailed(
                f"A server is up on {home} already, at {running.url} (process {running.pid}).",
                exit_code=ExitCode.ENVIRONMENT,
                hint="Use it, or stop it first.",
            )
        configure_logging(level=settings.log.level, format=settings.log.format)
        await serve_http(settings, ready=lambda url: output.show(f"The approval server is ready at {url}"))

    run_command(operation)


def mcp(
    agent: Annotated[
        str | None,
        typer.Option("--agent", metavar="NAME", help="In whose name requests are made. Default: HITL_AGENT."),
    ] = None,
) -> None:
    """Run the MCP server over stdio, for an agent that starts it itself.

    When a server is up on this HITL_HOME it delivers the notifications; this process only asks.
    """

    async def operation(_output: Output) -> None:
        from hitl_mcp.serving import serve_stdio
        from hitl_mcp.settings import read_settings
        from server_kit.logging import configure_logging

        settings = read_settings()
        require_initialized(settings.home)
        configure_logging(level=settings.log.level, format=settings.log.format)
        await serve_stdio(settings if agent is None else settings.model_copy(update={"agent": agent}))

    run_command(operation)
