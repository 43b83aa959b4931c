"""Throw-away virtual environments with the peers in them, from the index that uv is configured with."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

LLM_SANDBOX: Final = ("llm-sandbox[docker]==0.3.46",)
# Deno is what mcp-run-python starts its server with.
MCP_RUN_PYTHON: Final = ("mcp-run-python==0.0.22", "deno==2.9.8")

_SAID: Final = 400


class CannotRun(Exception):
    """A peer cannot be run on this machine; the message says why."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment; `variables` is what a process of it starts with."""

    path: Path
    variables: Mapping[str, str]

    def command(self, name: str) -> str:
        return str(self.path / "bin" / name)


async def install(path: Path, requirements: tuple[str, ...], seconds: float) -> Environment:
    """Make one at `path`.

    Raises:
        CannotRun: uv is missing, failed, or took longer than `seconds`.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    variables |= {
        "PATH": f"{path / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "VIRTUAL_ENV": str(path),
        "DENO_DIR": str(path / "deno"),
        "NO_COLOR": "1",
    }
    environment = Environment(path, MappingProxyType(variables))
    try:
        async with asyncio.timeout(seconds):
            await _uv("venv", "--quiet", "--python", sys.executable, str(path))
            await _uv("pip", "install", "--quiet", "--python", environment.command("python"), *requirements)
    except TimeoutError as error:
        raise CannotRun(f"installing {requirements[0]} took longer than {seconds:g} s") from error
    return environment


async def _uv(*arguments: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            "uv", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError as error:
        raise CannotRun("uv is not installed; peers are installed with it") from error
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise CannotRun(f"uv {arguments[0]} failed: {said.decode(errors='replace').strip()[-_SAID:]}")
