"""An approval core with people, outbox and dispatcher, wired as a server does, for channels to be put on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from argon2 import PasswordHasher

from hitl_mcp.approvals.models import RequestRecord, RiskLevel
from hitl_mcp.approvals.ports import Policy
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.identity.passwords import Passwords
from hitl_mcp.identity.people import PeopleDirectory
from hitl_mcp.identity.register import IdentityRegister
from hitl_mcp.identity.sign_in import SignInThrottle
from hitl_mcp.minting.seals import RecordSealer
from hitl_mcp.notifiers.base import Notifier
from hitl_mcp.notifiers.building import build_dispatcher
from hitl_mcp.notifiers.card_store import CardRow, CardState, CardStore
from hitl_mcp.notifiers.dispatcher import Dispatcher
from hitl_mcp.notifiers.lease import Lease
from hitl_mcp.notifiers.outbox import RetryPolicy, SqlOutbox
from hitl_mcp.notifiers.placing import SharingWindows
from server_kit.clock import SystemClock
from server_kit.database.base import Database
from tests.approvals.world import AskSeveral, World, submission

QUICK_RETRIES = RetryPolicy(
    max_attempts=4, first_pause=timedelta(milliseconds=20), longest_pause=timedelta(milliseconds=100)
)
REVIEW = "https://approvals.example.com/requests/"


class MovableClock(SystemClock):
    """The machine's clock, which a test may set forward."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)


@dataclass
class Desk:
    """Everything between a database and the channels, for one process of a server."""

    database: Database
    home: Path
    notifiers: Sequence[Notifier]
    retries: RetryPolicy = QUICK_RETRIES
    lease_term: timedelta = timedelta(seconds=2)
    policy: Policy = field(default_factory=AskSeveral)
    delays: Mapping[str, timedelta] = field(default_factory=dict[str, timedelta])
    sharing: SharingWindows = field(default_factory=SharingWindows)

    def __post_init__(self) -> None:
        self.clock = clock = MovableClock()
        self.world = World(self.database, clock, self.home, policy=self.policy)
        self.sealer = RecordSealer(self.world.keys.seal_key)
        audit = self.world.ports.audit
        register = IdentityRegister(
            database=self.database, sealer=self.sealer, audit=audit, clock=clock, anchor=None
        )
        self.people = PeopleDirectory(
            register,
            passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)),
            throttle=SignInThrottle(database=self.database, audit=audit, clock=clock),
        )
        channels = [notifier.channel for notifier in self.notifiers]
        self.outbox = SqlOutbox(
            database=self.database, clock=clock, channels=channels, audit=audit, delays=self.delays
        )
        self.service = ApprovalService(replace(self.world.ports, outbox=self.outbox, people=self.people))
        self.cards = CardStore(self.database)
        self.lease = Lease(database=self.database, clock=clock, term=self.lease_term)
        self.dispatcher = self.make_dispatcher()

    def make_dispatcher(self) -> Dispatcher:
        return build_dispatcher(
            database=self.database,
            clock=self.clock,
            service=self.service,
            accounts=self.people,
            audit=self.world.ports.audit,
            outbox=self.outbox,
            notifiers=self.notifiers,
            sealer=self.sealer,
            review_url=lambda request_id: REVIEW + request_id,
            lease=self.lease,
            retries=self.retries,
            sharing=self.sharing,
        )

    @asynccontextmanager
    async def dispatching(self) -> AsyncIterator[None]:
        """The dispatcher runs and leads while inside."""
        running = asyncio.create_task(self.dispatcher.run())
        try:
            async with asyncio.timeout(10):
                await self.dispatcher.leading.wait()
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def ask(
        self,
        code: str = "print(6 * 7)",
        *,
        agent: str = "agent-1",
        risk: RiskLevel | None = RiskLevel.LOW,
        justification: str = "to know the answer",
        timeout: int | None = None,
    ) -> RequestRecord:
        wanted = submission(code, risk=risk, justification=justification, timeout=timeout)
        return await self.service.submit(agent, wanted)

    async def ended(self, request_id: str, timeout_seconds: float = 10.0) -> RequestRecord:
        return await self.service.wait(request_id, timeout_seconds)

    async def card(self, request_id: str, channel: str, state: CardState) -> CardRow:
        """The stored card, once it is in this state."""
        async with asyncio.timeout(10):
            while True:
                row = await self.cards.of_request(request_id, channel)
                if row is not None and row.state is state:
                    return row
                await asyncio.sleep(0.01)

    async def events_about(self, subject: str) -> list[str]:
        return await self.world.events_about(subject)

    async def refusals_about(self, subject: str) -> list[str]:
        """Why decisions about this request were refused, as the audit log has it."""

        async def operation(connection):  # type: ignore[no-untyped-def]
            entries = await self.world.ports.audit.about(connection, subject)
            return [str(entry.details.get("refusal")) for entry in entries if "refused" in entry.event]

        return await self.database.read(operation)
