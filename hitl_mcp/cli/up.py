"""`hitl up`: both servers, each a process of its own, until Ctrl-C."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import typer

from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.init import EXECUTOR_CONFIGURATION_FILE
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command
from hitl_mcp.processes import ServerProcess, console_script
from hitl_mcp.running_server import find_running_server

if TYPE_CHECKING:
    from hitl_mcp.settings import Settings

READY_SECONDS = 60.0
EXECUTOR_PORT = 3002


def up(
    sandbox: Annotated[
        Literal["auto", "docker", "gvisor", "bubblewrap"] | None,
        typer.Option(help="Where programs run. Default: as the executor is configured."),
    ] = None,
) -> None:
    """Run both servers until Ctrl-C, and print what an agent needs to reach them."""

    async def operation(output: Output) -> None:
        from hitl_mcp.settings import read_settings

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
        if settings.http.port == 0:
            raise CommandFailed(
                "http.port (HITL_HTTP__PORT) is 0; the executor has to know the port beforehand.",
                exit_code=ExitCode.USAGE,
                hint="Set a port, or leave it out for 3003.",
            )
        passphrase = await asyncio.to_thread(_tried_passphrase, settings)
        async with _stop_signal() as stop:
            executor_environment = _executor_environment(settings, sandbox)
            await _run_both(output, settings, executor_environment, stop, passphrase)

    run_command(operation)


def _tried_passphrase(settings: "Settings") -> str | None:
    """The passphrase of sealed keys, which opens them; None for keys that are not sealed.

    Raises:
        KeyFileRefused: it does not open them, or nobody gives it.
    """
    from hitl_mcp.minting.key_store import is_sealed
    from hitl_mcp.minting.passphrases import Passphrases
    from hitl_mcp.wiring import open_keys

    passphrases = Passphrases()
    open_keys(settings, passphrases=passphrases)
    return passphrases.get("") if is_sealed(settings.keys_directory) else None


def _without_passphrase_sources() -> dict[str, str]:
    from hitl_mcp.minting.passphrases import PASSPHRASE_VARIABLES

    return {name: value for name, value in os.environ.items() if name not in PASSPHRASE_VARIABLES}


def _executor_environment(settings: "Settings", sandbox: str | None) -> dict[str, str]:
    """What ties the executor to this home; what is set already wins."""
    own = {"EXECUTOR_ISSUER": settings.issuer, "EXECUTOR_AUDIENCE": settings.audience}
    if not settings.issuer.startswith(("http://", "https://")) or settings.http.public_url:
        # Both are on this host: the keys are read from it and not by way of a proxy.
        host = _local(settings.http.host)
        own["EXECUTOR_ISSUER_URL"] = f"http://{f'[{host}]' if ':' in host else host}:{settings.http.port}"
    own["EXECUTOR_HTTP__PORT"] = str(urlsplit(settings.executor_url).port or EXECUTOR_PORT)
    configuration = settings.home / EXECUTOR_CONFIGURATION_FILE
    if configuration.is_file():
        own["EXECUTOR_CONFIG"] = str(configuration)
    else:
        own["EXECUTOR_HOME"] = str(settings.home / "executor")
    environment = {**own, **_without_passphrase_sources()}
    return {**environment, "EXECUTOR_SANDBOX": sandbox} if sandbox else environment


def _local(host: str) -> str:
    """Where to reach on this machine what listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - only compared


async def _run_both(
    output: Output,
    settings: "Settings",
    executor_environment: dict[str, str],
    stop: asyncio.Event,
    passphrase: str | None,
) -> None:
    approval = ServerProcess(
        "The approval server",
        [console_script("hitl"), "serve"],
        _without_passphrase_sources(),
        passphrase=passphrase,
    )
    executor = ServerProcess("The executor", [console_script("hitl-executor"), "serve"], executor_environment)
    stopping = asyncio.create_task(stop.wait())
    try:
        await approval.start()
        await executor.start()
        executor_port = int(executor_environment["EXECUTOR_HTTP__PORT"])
        await _until(
            stopping,
            approval.wait_ready(
                _local(settings.http.host), settings.http.port, timeout_seconds=READY_SECONDS
            ),
            executor.wait_ready("127.0.0.1", executor_port, timeout_seconds=READY_SECONDS),
        )
        if not stop.is_set():
            _print_welcome(output, settings.http.url, f"http://127.0.0.1:{executor_port}", settings.home)
            await _until_one_dies(stopping, approval, executor)
    finally:
        stopping.cancel()
        await asyncio.gather(approval.stop(), executor.stop())
    output.show("Both servers have stopped.")


async def _until(stopping: asyncio.Task[Any], *steps: Coroutine[Any, Any, None]) -> None:
    """All steps, or the wish to stop, whichever comes first.

    Raises:
        ProcessFailed: from a step.
    """
    together = asyncio.gather(*steps)
    try:
        await asyncio.wait({together, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if together.done():
            together.result()
    finally:
        together.cancel()
        await asyncio.gather(together, return_exceptions=True)


async def _until_one_dies(stopping: asyncio.Task[Any], *servers: ServerProcess) -> None:
    """
    Raises:
        CommandFailed: a server ended by itself.
    """
    ends = {asyncio.create_task(server.wait_ended()): server for server in servers}
    try:
        done, _ = await asyncio.wait({*ends, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for end in done & set(ends):
            raise CommandFailed(
                f"{ends[end].name} ended by itself with status {end.result()}; the other was stopped too.",
                exit_code=ExitCode.ENVIRONMENT,
                hint="What it printed above says why. Nothing is lost: run `hitl up` again.",
            )
    finally:
        for end in ends:
            end.cancel()


@asynccontextmanager
async def _stop_signal() -> AsyncGenerator[asyncio.Event]:
    """An event that is set by Ctrl-C or SIGTERM."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _print_welcome(output: Output, approval_url: str, executor_url: str, home: Path) -> None:
    from rich.text import Text

    output.show(
        Text.assemble("\nDecide here:    ", (approval_url, "bold cyan")),
        Text.assemble("Executor:       ", executor_url),
        Text(f"HITL_HOME:      {home}"),
        Text("\nConnect an agent: `hitl connect claude-code`, claude-desktop, cursor, vscode or"),
        Text("codex. Or make a key with `hitl agents add NAME`, and paste:\n"),
    )
    # Past rich: wrapped lines could not be pasted.
    typer.echo(
        '{"mcpServers": {\n'
        f'  "hitl": {{"type": "http", "url": "{approval_url}/mcp",\n'
        '    "headers": {"Authorization": "Bearer THE_KEY"}},\n'
        f'  "hitl-executor": {{"type": "http", "url": "{executor_url}/mcp"}}\n'
        "}}",
        err=output.json_output,
    )
    output.show(Text("\nCtrl-C stops both.", "dim"))
