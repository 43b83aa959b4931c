"""An event loop that does nothing but measure how late it is, until its standard input is closed.

Usage: python -m tests.sandbox.idle_loop — says "ready", and at its end the longest lag in seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time

TURN_SECONDS = 0.005


async def lag_of_one_turn() -> float:
    before = time.monotonic()
    await asyncio.sleep(TURN_SECONDS)
    return time.monotonic() - before - TURN_SECONDS


async def main() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    closed = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    worst = 0.0
    while not closed.done():
        worst = max(worst, await lag_of_one_turn())
    sys.stdout.write(f"{worst}\n")


if __name__ == "__main__":
    asyncio.run(main())
