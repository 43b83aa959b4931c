"""Programs that tests run as processes of their own, to kill them."""

from __future__ import annotations

import textwrap

LEASE_HOLDER = textwrap.dedent(
    """
    import asyncio, sys
    from datetime import datetime
    from hitl_mcp.notifiers.dispatcher import Dispatcher
    from hitl_mcp.notifiers.lease import Lease
    from server_kit.clock import SystemClock
    from server_kit.database.opening import open_database


    class NothingDue:
        async def run_deadlines(self, *, now: datetime) -> int:
            return 0

        async def next_deadline(self) -> datetime | None:
            return None


    async def main() -> None:
        database, clock = await open_database(sys.argv[1]), SystemClock()
        dispatcher = Dispatcher(
            lease=Lease(database=database, clock=clock),
            clock=clock,
            deadlines=NothingDue(),
            changes=database.changes,
            notifiers=[],
            workers=[],
            inbox=None,
            outbox=None,
        )
        running = asyncio.create_task(dispatcher.run())
        await dispatcher.leading.wait()
        print("leading", flush=True)
        await running


    asyncio.run(main())
    """
)
