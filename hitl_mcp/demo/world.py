"""The servers of the story: a temporary home, two processes on free ports, nothing left afterwards."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from hitl_mcp.demo.failures import StepFailed, first_failure
from hitl_mcp.processes import ServerProcess, clean_environment, console_script, free_port

PERSON: Final = "ada"
AGENT: Final = "demo-agent"
TOKEN_LIFETIME_SECONDS: Final = 10
LEEWAY_SECONDS: Final = 1
START_SECONDS: Final = 40.0
COMMAND_SECONDS: Final = 40.0


@dataclass(frozen=True)
class World:
    """Where both servers are, and the credentials that the story needs."""

    approval_url: str
    executor_url: str
    environment: Mapping[str, str] = field(repr=False)
    password: str = field(repr=False)
    agent_key: str = field(repr=False)

    async def run(self, *command: str) -> str:
        """What one of this distribution's commands prints, run on this world.

        Raises:
            StepFailed: it did not end with status 0.
        """
        return await run_command_line(command, self.environment)


@asynccontextmanager
async def open_world(sandbox: str) -> AsyncGenerator[World]:
    """Sets everything up, and takes everything down however the story ends."""
    home = Path(tempfile.mkdtemp(prefix="hitl-demo-"))
    try:
        async with _servers(home, sandbox) as world:
            yield world
    finally:
        shutil.rmtree(home, ignore_errors=True)


@asynccontextmanager
async def _servers(home: Path, sandbox: str) -> AsyncGenerator[World]:
    password = secrets.token_urlsafe(18)
    approval_port, executor_port = free_port(), free_port()
    approval_url, executor_url = f"http://127.0.0.1:{approval_port}", f"http://127.0.0.1:{executor_port}"
    environment = clean_environment(
        {
            "HITL_HOME": str(home / "hitl"),
            "HITL_HTTP__PORT": str(approval_port),
            "HITL_HTTP__PUBLIC_URL": approval_url,
            "HITL_TOKEN_LIFETIME_SECONDS": str(TOKEN_LIFETIME_SECONDS),
            "EXECUTOR_HOME": str(home / "executor"),
            "EXECUTOR_HTTP__PORT": str(executor_port),
            "EXECUTOR_JWKS": f"{approval_url}/.well-known/jwks.json",
            "EXECUTOR_ISSUER": approval_url,
            "EXECUTOR_LEEWAY_SECONDS": str(LEEWAY_SECONDS),
            "EXECUTOR_SANDBOX": sandbox,
        }
    )
    approval = ServerProcess(
        "The approval server", [console_script("hitl"), "serve"], environment, output=home / "approval.log"
    )
    executor = ServerProcess(
        "The executor", [console_script("hitl-executor"), "serve"], environment, output=home / "executor.log"
    )
    try:
        # The executor needs nothing of the approval server until its first call.
        await executor.start()
        await run_command_line(
            ("hitl", "init", "--person", PERSON, "--rules", "ask-everything", "--json"),
            {**environment, "HITL_INIT_PASSWORD": password},
        )
        await approval.start()
        with first_failure():
            async with asyncio.TaskGroup() as together:
                added = together.create_task(
                    run_command_line(("hitl", "agents", "add", AGENT, "--json"), environment)
                )
                for server, port in ((approval, approval_port), (executor, executor_port)):
                    ready = server.wait_ready("127.0.0.1", port, timeout_seconds=START_SECONDS)
                    together.create_task(ready)
        agent_key = cast("dict[str, str]", json.loads(added.result()))["api_key"]
        yield World(approval_url, executor_url, environment, password, agent_key)
    finally:
        await asyncio.gather(executor.stop(), approval.stop())


async def run_command_line(command: tuple[str, ...], environment: Mapping[str, str]) -> str:
    """Standard output of a command.

    Raises:
        StepFailed: it did not end with status 0 in time.
    """
    name, *arguments = command
    process = await asyncio.create_subprocess_exec(
        console_script(name),
        *arguments,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            output, errors = await process.communicate()
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if process.returncode != 0:
        said = errors.decode("utf-8", "replace").strip().splitlines()
        raise StepFailed(" ".join(command[:3]), said[-1] if said else f"status {process.returncode}")
    return output.decode("utf-8")
