"""The egress proxy at an edge of a network that a test has made.

Its first argument says which names have which addresses, and where each address and port really is here.
"""

from __future__ import annotations

import json
import socket
import sys

from executor_mcp.network.egress import CONNECT_SECONDS
from executor_mcp.network.proxy_process import run


def main() -> None:
    edge = json.loads(sys.argv[1])

    def resolve(name: str, port: int) -> list[str]:
        if name not in edge["names"]:
            raise socket.gaierror("no such name")
        return edge["names"][name]

    def connect(address: str, port: int) -> socket.socket:
        return socket.create_connection(
            ("127.0.0.1", edge["places"][f"{address}:{port}"]), timeout=CONNECT_SECONDS
        )

    run(sys.argv[2:], resolve=resolve, connect=connect)


if __name__ == "__main__":
    main()
