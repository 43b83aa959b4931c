"""`hitl proxy`: an MCP server, over stdio or HTTP, that asks before it passes calls on to another one."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command
from hitl_mcp.running_server import find_running_server

if TYPE_CHECKING:
    from hitl_mcp.gate.engine import ApprovalEngine
    from hitl_mcp.proxy.http_callers import Callers
    from hitl_mcp.proxy.serving import Upstream

KEY_VARIABLE = "HITL_API_KEY"


class Transport(StrEnum):
    """How agents reach the proxy."""

    STDIO = "stdio"
    HTTP = "http"


def proxy(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND…", help="The MCP server to start.")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Instead of a command: the MCP server's URL.")
    ] = None,
    bearer_variable: Annotated[
        str | None,
        typer.Option(metavar="VARIABLE", help="With --url: the variable that holds its bearer token."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The server's name in rules. Default: its program, or its host.")
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Without HITL_API_KEY: who asks. Default: HITL_AGENT."),
    ] = None,
    approvals: Annotated[
        str | None,
        typer.Option(metavar="URL", help="With HITL_API_KEY: the approval server. Default: HITL_URL."),
    ] = None,
    transport: Annotated[
        Transport,
        typer.Option(
            help="stdio: for the one agent that starts it. http: for agents with their own API keys."
        ),
    ] = Transport.STDIO,
    host: Annotated[str, typer.Option(help="With http: where it listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="With http: where it listens.")] = 3004,
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="With http: the URL it is reached at, without /mcp.")
    ] = None,
    hold_seconds: Annotated[
        float, typer.Option("--hold", min=0, help="How long a call is held while people decide, at most.")
    ] = 3600,
) -> None:
    """Put the gate in front of an MCP server: what the rules ask about waits for a person.

    Its tools are listed as they are, and everything else passes unchanged.
    """

    async def operation(output: Output) -> None:
        from hitl_mcp.proxy.patience import Patience
        from hitl_mcp.proxy.serving import Upstream, serve_proxy
        from server_kit.logging import configure_logging

        if bool(command) == (url is not None):
            raise CommandFailed(
                "Which MCP server?",
                exit_code=ExitCode.USAGE,
                hint="Give its command after --, or its --url: hitl proxy -- npx some-mcp-server",
            )
        configure_logging(level="warning", format="text")
        upstream = Upstream(tuple(command or ()), url, _headers(bearer_variable))
        if transport is Transport.HTTP:
            await _serve_http(
                output, upstream, name, agent, approvals, hold_seconds, (host, port, public_url)
            )
            return
        async with _open_engine(agent, approvals) as engine:
            by_client = await serve_proxy(
                engine,
                upstream,
                name=name or upstream.default_name(),
                state=home_directory() / "proxy",
                patience=Patience(hold_seconds),
            )
        if not by_client:
            raise CommandFailed(
                "The MCP server behind the proxy has ended.",
                exit_code=ExitCode.ENVIRONMENT,
                hint="Start the proxy again; what was approved and not used is still approved.",
            )

    run_command(operation)


async def _serve_http(
    output: Output,
    upstream: "Upstream",
    name: str | None,
    agent: str | None,
    approvals: str | None,
    hold_seconds: float,
    place: tuple[str, int, str | None],
) -> None:
    from hitl_mcp.proxy.http_serving import serve_proxy_over_http
    from hitl_mcp.proxy.patience import Patience
    from server_kit.http_serving import Address

    if agent is not None:
        raise CommandFailed(
            "Over HTTP each agent shows its own key.",
            exit_code=ExitCode.USAGE,
            hint="Leave --agent out; `hitl agents add NAME` prints a key.",
        )
    upstream.require_startable()
    host, port, public_url = place
    async with _open_callers(approvals) as callers:
        await serve_proxy_over_http(
            callers,
            upstream,
            name=name or upstream.default_name(),
            state=home_directory() / "proxy",
            patience=Patience(hold_seconds),
            address=Address(host, port),
            public_url=public_url,
            ready=lambda url: output.show(f"The proxy is ready at {url}"),
        )


@asynccontextmanager
async def _open_callers(approvals: str | None) -> "AsyncGenerator[Callers]":
    from hitl_mcp.proxy.http_callers import CallersAtHome, callers_of

    home = home_directory()
    running = find_running_server(home)
    address = approvals or os.environ.get("HITL_URL") or (running.address if running else None)
    if address is not None:
        async with callers_of(address) as callers:
            yield callers
        return
    require_initialized(home)
    # The whole server: only where there is none to ask.
    from hitl_mcp.gate.home import open_home

    async with open_home(None) as application:
        yield CallersAtHome(application)


@asynccontextmanager
async def _open_engine(agent: str | None, approvals: str | None) -> "AsyncGenerator[ApprovalEngine]":
    from hitl_mcp.gate.remote import connect_engine

    home, key = home_directory(), os.environ.get(KEY_VARIABLE)
    if key:
        running = find_running_server(home)
        address = approvals or os.environ.get("HITL_URL") or (running.address if running else None)
        if address is None:
            raise CommandFailed(
                "No approval server is up here.",
                exit_code=ExitCode.ENVIRONMENT,
                hint="Start it with `hitl up`, or give its address with --approvals or HITL_URL.",
            )
        async with connect_engine(address, key) as engine:
            yield engine
        return
    asking = agent or os.environ.get("HITL_AGENT")
    if asking is None:
        raise CommandFailed(
            "Who asks?",
            exit_code=ExitCode.USAGE,
            hint="Set HITL_API_KEY to an agent's key, or give --agent NAME of one of this HITL_HOME.",
        )
    require_initialized(home)
    # The whole server: only where there is none to ask.
    from hitl_mcp.gate.embedded import EmbeddedEngine
    from hitl_mcp.gate.home import open_home

    async with open_home(asking) as application:
        yield EmbeddedEngine(application, asking)


def _headers(variable: str | None) -> dict[str, str]:
    if variable is None:
        return {}
    token = os.environ.get(variable)
    if not token:
        raise CommandFailed(f"The variable {variable} is not set.", exit_code=ExitCode.USAGE)
    return {"Authorization": f"Bearer {token}"}
