"""`serve` and `mcp`: the executor over HTTP and over stdio."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress

from executor_mcp.assembly import Executor
from executor_mcp.cli.running import JsonOption, Output, run_command
from executor_mcp.settings import Settings, SettingsFilePolicy
from executor_mcp.wiring import open_executor
from server_kit.errors import ConfigurationError
from server_kit.garbage import spare_what_is_loaded
from server_kit.http_serving import Address, bind
from server_kit.http_serving import serve as serve_http
from server_kit.logging import configure_logging


def serve(json_output: JsonOption = False) -> None:
    """Serve over HTTP: MCP at /mcp, REST under /api/v1."""
    run_command(_serve, json_output=json_output)


def mcp() -> None:
    """Serve MCP over stdio, for agents that start it themselves."""
    run_command(_mcp, json_output=False)


async def _serve(settings: Settings, output: Output) -> None:
    _configure_logging(settings)
    asked = Address(settings.http.host, settings.http.port)
    listening = bind(asked)
    try:
        # Lazily: FastAPI is not needed over stdio, where an agent waits for the start. Before the executor
        # opens, because what it then keeps alive must not wait for an import.
        from executor_mcp.web.app import build_app

        async with open_executor(settings, policy_reader=SettingsFilePolicy.of(os.environ)) as executor:
            _reload_on_hangup(executor)
            app = build_app(executor, settings.http, require_api_key=settings.require_api_key)

            def ready(address: Address) -> None:
                url = settings.http.public_url or address.url
                name = executor.sandbox.name
                output.result(
                    {"url": url, "mcp": f"{url}/mcp", "sandbox": name, "process_id": os.getpid()},
                    f"Executor ready at [bold]{url}[/], MCP at {url}/mcp, sandbox {name}.",
                )

            spare_what_is_loaded()
            await serve_http(app, asked, ready=ready, listening=listening, websockets=True)
    finally:
        listening.close()


async def _mcp(settings: Settings, output: Output) -> None:
    del output
    # Lazily: the MCP SDK takes more than a second to import, and a command that serves nothing does without.
    from executor_mcp.server import build_server
    from executor_mcp.tools.caller import ConfiguredCaller
    from server_kit.stdio_streams import run_over_stdio

    _configure_logging(settings)
    async with open_executor(settings, policy_reader=SettingsFilePolicy.of(os.environ)) as executor:
        agent = await _configured_agent(executor, settings)
        server = build_server(
            executor.service, ConfiguredCaller(agent), require_api_key=settings.require_api_key
        )
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        spare_what_is_loaded()
        serving = asyncio.create_task(run_over_stdio(server))
        stopping = asyncio.create_task(stopped.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if serving.done():
            await serving
    if stopped.is_set():
        # The thread that reads stdin cannot be interrupted and would hold the process until the client
        # writes.
        with suppress(BaseException):
            serving.cancel()
        os._exit(0)


def _reload_on_hangup(executor: Executor) -> None:
    """`kill -HUP` reads the policy again at once; a changed file is noticed within a second anyway."""
    loop = asyncio.get_running_loop()
    reloading: set[asyncio.Task[bool]] = set()

    def reload() -> None:
        task = loop.create_task(executor.policies.reload())
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)


def _configure_logging(settings: Settings) -> None:
    configure_logging(level=settings.log.level, format=settings.log.format)
    # The SDK logs every refused call with the words meant for the agent, and an execution id in them is a
    # right.
    for noisy in ("mcp", "alembic", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


async def _configured_agent(executor: Executor, settings: Settings) -> str | None:
    if settings.api_key is None:
        return None
    agent = await executor.ledger.agents.authenticate(settings.api_key.get_secret_value())
    if agent is None:
        raise ConfigurationError(
            "api_key (EXECUTOR_API_KEY) is not a key of this executor: make one with hitl-executor "
            "agents add NAME"
        )
    return agent
