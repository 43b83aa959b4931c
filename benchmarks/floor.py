"""The protocol floor: a server with one trivial tool, on the same SDK, transports and HTTP server as ours.

`python -m benchmarks.floor PORT` serves streamable HTTP, without an argument stdio.
"""

# No `from __future__ import annotations`: the SDK reads the tool's annotations at run time.
import sys
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel


class Echoed(BaseModel):
    """What the trivial tool answers."""

    status: str
    fields: int


def build_server() -> MCPServer:
    """A server whose one tool takes an argument of the shape that request_approval takes."""
    server = MCPServer("floor", log_level="WARNING")

    @server.tool()
    async def echo(action: dict[str, Any], justification: str) -> Echoed:  # pyright: ignore[reportUnusedFunction]
        """Answer at once."""
        return Echoed(status=justification, fields=len(action))

    return server


def main() -> None:
    """Serve until stopped."""
    server = build_server()
    if len(sys.argv) == 1:
        server.run(transport="stdio")
    else:
        application = server.streamable_http_app()
        uvicorn.run(
            application,
            host="127.0.0.1",
            port=int(sys.argv[1]),
            loop="uvloop",
            http="httptools",
            log_level="error",
        )


if __name__ == "__main__":
    main()
