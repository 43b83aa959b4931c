"""Executors that work a queue, forked from one process so that each costs little.

Usage: python -m tests.executor.waiting_child URL HOME KEY LOG STEP… — for each STEP one after another an
executor that kills itself there; the step `work` is one that goes on until its input ends. One that kills
itself at a step of the queue's entrance is given a token by the file named `token-STEP`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from executor_mcp.start_record import SharedBounds
from server_kit.database.opening import open_database
from server_kit.logging import configure_logging
from tests.executor.child import KillAt
from tests.executor.support import PROGRAM, Issuer, TwinSandbox, bench

BOUNDS = SharedBounds(most_waiting=100)


async def main(url: str, home: str, key: str, log: str, step: str) -> None:
    configure_logging(level="error", format="text")
    issuer = Issuer(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key)))
    issuer.claims(PROGRAM)
    database = await open_database(url)
    sandbox = TwinSandbox(log=Path(log))
    entrance = Path(home) / f"token-{step}"
    token = entrance.read_text() if entrance.exists() else None
    made = bench(
        database,
        Path(home),
        issuer=issuer,
        sandbox=sandbox,
        steps=KillAt(step),
        bounds=BOUNDS,
        places=0 if token else 1,
    )
    if token is not None:
        await made.executor.service.execute(token, None)
    working = asyncio.create_task(made.executor.worker.run())
    if step == "work":
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await made.executor.service.close()
    await database.close()


if __name__ == "__main__":
    url, home, key, log, *steps = sys.argv[1:]
    for step in steps[:-1]:
        child = os.fork()
        if child == 0:
            asyncio.run(main(url, home, key, log, step))
            os._exit(0)
        os.waitpid(child, 0)
    asyncio.run(main(url, home, key, log, steps[-1]))
