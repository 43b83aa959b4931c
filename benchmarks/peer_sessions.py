"""What runs the small program: an open session of llm-sandbox, mcp-run-python and our executor over stdio.

Each is a process of its own. Both MCP servers are called by the same client library.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError

from benchmarks import llm_sandbox_driver
from benchmarks.calls import answer, stdio
from benchmarks.peer_environments import CannotRun, Environment
from benchmarks.raw_docker import ANSWER, PROGRAM, command
from executor_mcp.sandbox.settings import DEFAULT_IMAGE
from executor_mcp.status_socket import ask_executors
from hitl_contract.action import action_digest, parse_action
from hitl_contract.capability import Approver, CapabilityClaims, encode_capability
from hitl_contract.keys import PublicKeys, key_id

Timed = Callable[[], Awaitable[float]]
"""Runs the program once; the seconds that it took."""

_ISSUER: Final = "http://bench.invalid"
_AUDIENCE: Final = "benchmark-executor"
_LABEL: Final = "hitl.benchmark.peers"
_HOME: Final = "home"
_ACTION: Final[dict[str, Any]] = {"type": "code_execution", "language": "python", "code": PROGRAM}
_QUIET_SECONDS: Final = 120.0
_LINES: Final = 3


@asynccontextmanager
async def llm_sandbox(environment: Environment, seconds: float) -> AsyncGenerator[Timed]:
    """Opened once; waits so long for its container.

    Raises:
        CannotRun: the session could not be opened.
    """
    if not await command("docker", "image", "ls", "-q", DEFAULT_IMAGE):
        raise CannotRun(f"there is no image {DEFAULT_IMAGE}; make it with `hitl-executor image build`")
    pipe = asyncio.subprocess.PIPE
    label = f"{_LABEL}={secrets.token_hex(8)}"
    errors = environment.path / "driver.log"
    with errors.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            environment.command("python"), "-P", llm_sandbox_driver.__file__, DEFAULT_IMAGE, label, PROGRAM,
            stdin=pipe, stdout=pipe, stderr=log, env=dict(environment.variables),
        )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    source, sink = process.stdout, process.stdin

    async def run() -> float:
        sink.write(b"run\n")
        said = json.loads(await source.readline() or b"{}")
        if said.get("stdout") != ANSWER.decode():
            raise RuntimeError(f"llm-sandbox answered {said}; {_end_of(errors)}")
        return float(said["seconds"])

    try:
        try:
            async with asyncio.timeout(seconds):
                ready = await source.readline()
        except TimeoutError as error:
            raise CannotRun(f"llm-sandbox opened no session within {seconds:g} s") from error
        if ready != b"ready\n":
            raise CannotRun(f"llm-sandbox opened no session: {_end_of(errors)}")
        yield run
    finally:
        await _end(process)
        for left in (await command("docker", "ps", "-aq", "--filter", f"label={label}")).split():
            await command("docker", "rm", "-f", left.decode())


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(30):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


@asynccontextmanager
async def mcp_run_python(environment: Environment, seconds: float) -> AsyncGenerator[Timed]:
    """Its server over stdio, loaded: the first answer is waited for so long.

    Raises:
        CannotRun: it did not start, or did not answer rightly; the message has its own words.
    """
    parameters = StdioServerParameters(
        command=environment.command("mcp-run-python"),
        args=["--disable-networking", "stdio"],
        env=dict(environment.variables),
    )
    errors = environment.path / "server.log"

    async def run() -> float:
        began = time.perf_counter()
        result = await client.call_tool("run_python_code", {"python_code": PROGRAM})
        taken = time.perf_counter() - began
        text = "".join(getattr(block, "text", "") for block in result.content)
        if result.is_error or ANSWER.decode().strip() not in text.split("\n"):
            raise CannotRun(f"mcp-run-python answered {text!r}")
        return taken

    # The process is ended by whoever leaves the client, so what starts it is inside of the bound.
    entered = False
    with errors.open("w") as log:
        try:
            async with asyncio.timeout(seconds) as bound, Client(stdio_client(parameters, log)) as client:
                await run()
                bound.reschedule(None)
                entered = True
                yield run
        except (TimeoutError, MCPError, OSError, ExceptionGroup) as error:
            if entered:
                raise
            why = f"no answer within {seconds:g} s" if isinstance(error, TimeoutError) else "its server ended"
            raise CannotRun(f"{why}; it said: {_end_of(errors)}") from error


class Executor:
    """Our executor over stdio: each call spends a token that was minted for it alone."""

    def __init__(self, client: Client, issuer: Ed25519PrivateKey, home: Path) -> None:
        self._client = client
        self._issuer = issuer
        self._home = home

    async def run(self) -> float:
        """Minting is the approval server's and is not in the seconds."""
        arguments = {"capability_token": self._token(), "action": _ACTION}
        began = time.perf_counter()
        said = await answer(self._client, "execute", arguments)
        taken = time.perf_counter() - began
        if (said["status"], said["stdout"]) != ("completed", ANSWER.decode()):
            raise RuntimeError(f"the executor answered {said}")
        return taken

    async def quiet(self, count: int) -> None:
        """Until so many containers wait and nothing is being made or removed."""
        async with asyncio.timeout(_QUIET_SECONDS):
            # Another process's doing, of which nothing tells this one.
            while not await self._is_quiet(count):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def served_cold(self) -> int:
        (told,) = await ask_executors(self._home / "processes")
        assert not isinstance(told, str)
        return 0 if told.pool is None else told.pool.served_cold

    async def _is_quiet(self, count: int) -> bool:
        for told in await ask_executors(self._home / "processes"):
            pool = None if isinstance(told, str) else told.pool
            if pool is not None and (pool.launching, pool.taken) == (0, 0) and pool.ready >= count:
                return True
        return False

    def _token(self) -> str:
        action = parse_action(_ACTION)
        now = int(time.time())
        claims = CapabilityClaims(
            issuer=_ISSUER,
            audience=_AUDIENCE,
            subject="benchmark",
            token_id=f"tok_{secrets.token_hex(8)}",
            issued_at=now,
            not_before=now,
            expires_at=now + 300,
            request_id="req_benchmark",
            action_type=action.type,
            action_digest=action_digest(action),
            approved_by=(Approver("ada", "web", "session"),),
        )
        return encode_capability(claims, private_key=self._issuer, key_id=key_id(self._issuer.public_key()))


@asynccontextmanager
async def our_executor(directory: Path) -> AsyncGenerator[Executor]:
    """`hitl-executor mcp` as an agent would start it: Docker, the warm pool, a database in a new home."""
    issuer = Ed25519PrivateKey.generate()
    executable = str(Path(sys.executable).parent / "hitl-executor")
    async with stdio(executable, ["mcp"], _surroundings(directory, issuer)) as client:
        yield Executor(client, issuer, directory / _HOME)


def _surroundings(directory: Path, issuer: Ed25519PrivateKey) -> dict[str, str]:
    directory.mkdir()
    keys = directory / "jwks.json"
    keys.write_text(json.dumps(PublicKeys([issuer.public_key()]).to_jwks()))
    others = {name: value for name, value in os.environ.items() if not name.startswith("EXECUTOR_")}
    return others | {
        "EXECUTOR_HOME": str(directory / _HOME),
        "EXECUTOR_JWKS": str(keys),
        "EXECUTOR_ISSUER": _ISSUER,
        "EXECUTOR_AUDIENCE": _AUDIENCE,
        # Nobody is there: the action comes with the call.
        "EXECUTOR_ISSUER_URL": "http://127.0.0.1:1",
        "EXECUTOR_SANDBOX": "docker",
    }


def _end_of(log: Path) -> str:
    """What a peer said of its failure: its last lines, those of an error if there are any."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line.lower() and len(line) < 1000]
    return " / ".join((errors or lines)[-_LINES:]) or "nothing"
