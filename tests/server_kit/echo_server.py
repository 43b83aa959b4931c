"""An MCP server over stdio that answers with what it is given, and prints where it should not."""

# No `from __future__ import annotations`: the SDK reads the tool's annotations at run time.
import asyncio
import os
import sys

import uvloop
from mcp.server.mcpserver import MCPServer

from server_kit.stdio_streams import run_over_stdio


def build_server() -> MCPServer:
    server = MCPServer("echo", log_level="WARNING")

    @server.tool()
    async def echo(text: str) -> str:
        sys.stdout.write("a handler prints\n")
        sys.stdout.flush()
        os.write(1, b"and writes to the descriptor\n")
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", "print('so does a child')")
        await child.wait()
        return text

    return server


if __name__ == "__main__":
    uvloop.run(run_over_stdio(build_server()))
    sys.stdout.write("served\n")
    sys.stdout.flush()
