"""An executor in a process of its own that is to add a package, for tests that kill it at a named step.

Usage: python -m tests.packages.adding_child URL HOME INDEX KEY STEP TOKEN
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from executor_mcp.steps import Step
from server_kit.database.opening import open_database
from server_kit.logging import configure_logging
from tests.executor.support import Issuer
from tests.packages.adding import adding, addition

UNPACKING = "unpacking"
ALPHA = addition("alpha==1.0", needs=["beta==1.5"])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class KillAt:
    def __init__(self, step: str) -> None:
        self._step = step

    async def reached(self, step: Step) -> None:
        if step.value == self._step:
            die()


async def main(url: str, home: str, index: str, key: str, step: str, token: str) -> None:
    configure_logging(level="error", format="text")
    issuer = Issuer(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key)))
    issuer.claims(ALPHA)
    database = await open_database(url)
    one = adding(database, Path(home), Path(index), issuer=issuer, steps=KillAt(step))
    if step == UNPACKING:
        one.installer.before_unpacking = die
    await one.made.executor.recovery.begin()
    execution = await one.made.executor.service.execute(token, None)
    await one.made.executor.service.get(execution, wait_seconds=30)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
