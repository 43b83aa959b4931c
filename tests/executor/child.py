"""An executor in a process of its own, for tests that start several or kill one at a named step.

Usage: python -m tests.executor.child URL HOME KEY LOG STEP TOKEN_FILE — uses every token of the file at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from executor_mcp.errors import Refused
from executor_mcp.steps import Step
from server_kit.database.opening import open_database
from server_kit.logging import configure_logging
from tests.executor.support import PROGRAM, Issuer, TwinSandbox, bench


class KillAt:
    """Ends this process as `kill -9` does when a step is reached."""

    def __init__(self, step: str) -> None:
        self._step = step

    async def reached(self, step: Step) -> None:
        if step.value == self._step:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, home: str, key: str, log: str, step: str, token_file: str) -> None:
    configure_logging(level="error", format="text")
    issuer = Issuer(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key)))
    issuer.claims(PROGRAM)
    database = await open_database(url)
    # Only what lasts is recorded as running.
    sandbox = TwinSandbox(log=Path(log), hold=step == Step.RUNNING_RECORDED)
    made = bench(database, Path(home), issuer=issuer, sandbox=sandbox, steps=KillAt(step), places=100)
    await made.executor.recovery.begin()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)

    async def use(token: str) -> dict[str, str | None]:
        try:
            execution_id = await made.executor.service.execute(token, None)
        except Refused as refusal:
            return {"refused": refusal.reason, "execution_id": refusal.execution_id}
        execution = await made.executor.service.get(execution_id, wait_seconds=30)
        return {"status": execution.status, "execution_id": execution_id}

    tokens = await asyncio.to_thread(_tokens, token_file)
    sys.stdout.write(json.dumps(await asyncio.gather(*(use(token) for token in tokens))) + "\n")
    sys.stdout.flush()
    await made.executor.service.close()
    await made.executor.recovery.end()
    await made.executor.ledger.audit.close()
    await database.close()


def _tokens(file: str) -> list[str]:
    return Path(file).read_text().split()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
