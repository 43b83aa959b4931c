"""The same program and the same hardening by hand, through Docker's own command."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from executor_mcp.sandbox.settings import DEFAULT_IMAGE

PROGRAM = "print(40 + 2)"
ANSWER = b"42\n"
CALLERS = 4


class RawDocker:
    """`docker run` and `docker kill`; `seccomp` is a file with the profile that the sandboxes have."""

    def __init__(self, seccomp: Path) -> None:
        self._seccomp = seccomp

    async def run(self) -> None:
        if await command("docker", "run", "--rm", *self._hardening(), "-c", PROGRAM) != ANSWER:
            raise RuntimeError("docker run answered wrongly")

    async def kill(self) -> float:
        """The seconds that it took."""
        options = ("run", "-d", "--rm", *self._hardening(), "-c", "import time; time.sleep(60)")
        name = (await command("docker", *options)).decode().strip()
        began = time.perf_counter()
        await command("docker", "kill", name)
        return time.perf_counter() - began

    def _hardening(self) -> list[str]:
        return [
            "--network=none", "--read-only", "--tmpfs=/tmp:rw,noexec,nosuid,size=64m", "--cap-drop=ALL",
            "--security-opt=no-new-privileges", f"--security-opt=seccomp={self._seccomp}", "--memory=272m",
            "--memory-swap=272m", "--cpus=1", "--pids-limit=65", "--ipc=none", "--log-driver=none",
            "--user=65532:65532", "--entrypoint=python3", DEFAULT_IMAGE,
        ]  # fmt: skip


async def command(*words: str) -> bytes:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe)
    output, _ = await process.communicate()
    return output


async def completions_a_second(operation: Callable[[], Awaitable[None]], count: int) -> float:
    """With several callers, each asking again at once."""

    async def caller() -> None:
        for _ in range(count // CALLERS):
            await operation()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return count / (time.perf_counter() - began)
