"""Any sequence of acts on a real store does what a model of a few lines does."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from hitl_mcp.approvals.errors import ApprovalError
from hitl_mcp.approvals.models import RequestRecord, RequestStatus, Verdict
from server_kit.database.opening import open_database
from tests.approvals.world import AskSeveral, World, create_schema, submission, verdict
from tests.conftest import ManualClock

T = TypeVar("T")

AGENTS = st.sampled_from(["agent-1", "alice"])
CODES = st.sampled_from(["print(1)", "print(2)"])
KEYS = st.sampled_from([None, "k1", "k2"])
PEOPLE = st.sampled_from(["alice", "Bob", "carol", "ａｌｉｃｅ", "mallory"])
VERDICTS = st.sampled_from(list(Verdict))

REQUIRED = 2
TIMEOUT = 100
VALIDITY = 300
FOLDED = {"ａｌｉｃｅ": "alice", "Bob": "bob"}


@dataclass
class Expected:
    """What the model knows about one request."""

    agent: str
    code: str
    expires_at: datetime
    status: RequestStatus = RequestStatus.PENDING
    votes: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    valid_until: datetime | None = None
    revoked: bool = False
    token_id: str | None = None


class LifeCycle(RuleBasedStateMachine):
    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.home = Path(self.directory.name)
        self.clock = ManualClock()
        self.world = self.run(self.open(create=True))
        self.model: dict[str, Expected] = {}
        self.keys: dict[tuple[str, str], str] = {}

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def open(self, *, create: bool = False) -> World:
        database = await open_database(f"sqlite+aiosqlite:///{self.home / 'test.db'}")
        if create:
            await create_schema(database)
        return World(database, self.clock, self.home, AskSeveral(REQUIRED), validity_seconds=VALIDITY)

    def attempt(self, coroutine: Coroutine[Any, Any, RequestRecord]) -> RequestRecord | None:
        try:
            return self.run(coroutine)
        except ApprovalError:
            return None

    def teardown(self) -> None:
        self.run(self.world.database.close())
        self.runner.close()
        self.directory.cleanup()

    def settle(self) -> None:
        """In the model time runs out by itself."""
        for expected in self.model.values():
            if expected.status is RequestStatus.PENDING and self.clock.now() >= expected.expires_at:
                expected.status = RequestStatus.TIMEOUT

    def attached(self, agent: str, code: str) -> str | None:
        for request_id, expected in self.model.items():
            if (expected.agent, expected.code) != (agent, code):
                continue
            usable = (
                expected.status is RequestStatus.APPROVED
                and not expected.revoked
                and expected.token_id is None
                and expected.valid_until is not None
                and self.clock.now() < expected.valid_until
            )
            if expected.status is RequestStatus.PENDING or usable:
                return request_id
        return None

    @rule(target=requests, agent=AGENTS, code=CODES, key=KEYS)
    def submit(self, agent: str, code: str, key: str | None) -> Any:
        self.settle()
        record = self.attempt(self.world.service.submit(agent, submission(code, key=key, timeout=TIMEOUT)))
        known = self.keys.get((agent, key)) if key else None
        if known is not None and self.model[known].code != code:
            assert record is None
            return multiple()
        assert record is not None
        request_id = record.request.request_id
        earlier = known or self.attached(agent, code)
        if earlier is not None:
            assert request_id == earlier
        else:
            assert request_id not in self.model
            expires_at = self.clock.now() + timedelta(seconds=TIMEOUT)
            self.model[request_id] = Expected(agent, code, expires_at)
        if key:
            self.keys[agent, key] = request_id
        return request_id

    @rule(request_id=requests, person=PEOPLE, given=VERDICTS)
    def decide(self, request_id: str, person: str, given: Verdict) -> None:
        expected = self.model[request_id]
        record = self.run(self.world.service.get(request_id))
        self.settle()
        decided = self.attempt(self.world.service.decide(verdict(record, person, given)))
        name = FOLDED.get(person, person)
        if expected.votes.get(name) is given:
            assert decided is not None
            return
        allowed = name in {"alice", "bob", "carol"} - {expected.agent} and name not in expected.votes
        if expected.status is not RequestStatus.PENDING or not allowed:
            assert decided is None
            return
        assert decided is not None
        expected.votes[name] = given
        if given is Verdict.DENY:
            expected.status = RequestStatus.DENIED
        elif len(expected.votes) >= REQUIRED:
            expected.status = RequestStatus.APPROVED
            expected.valid_until = self.clock.now() + timedelta(seconds=VALIDITY)

    @rule(request_id=requests, agent=AGENTS)
    def cancel(self, request_id: str, agent: str) -> None:
        self.settle()
        expected = self.model[request_id]
        ended = self.attempt(self.world.service.cancel(request_id, agent=agent, person=None, reason=None))
        if expected.status is RequestStatus.PENDING and agent == expected.agent:
            expected.status = RequestStatus.CANCELLED
        own = agent == expected.agent and expected.status is RequestStatus.CANCELLED
        assert (ended is not None) == own

    @rule(request_id=requests, person=PEOPLE)
    def revoke(self, request_id: str, person: str) -> None:
        self.settle()
        expected = self.model[request_id]
        done = self.attempt(self.world.service.revoke(request_id, person=person, reason=None))
        allowed = person != "mallory" and expected.status is RequestStatus.APPROVED
        assert (done is not None) == allowed
        expected.revoked = expected.revoked or allowed

    @rule(request_id=requests, agent=AGENTS)
    def collect(self, request_id: str, agent: str) -> None:
        self.settle()
        expected = self.model[request_id]
        good = (
            agent == expected.agent
            and expected.status is RequestStatus.APPROVED
            and not expected.revoked
            and expected.valid_until is not None
            and self.clock.now() < expected.valid_until
        )
        try:
            issued = self.run(self.world.service.collect_token(agent, request_id))
        except ApprovalError:
            assert not good
            return
        assert good
        assert expected.token_id in {None, issued.token_id}
        assert expected.valid_until is not None
        assert issued.expires_at <= expected.valid_until
        expected.token_id = issued.token_id

    @rule(seconds=st.sampled_from([1, 49, 50, 120, 299, 300]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def deadlines_are_worked(self) -> None:
        self.run(self.world.service.run_deadlines(now=self.clock.now()))
        self.settle()

    @rule()
    def the_server_restarts(self) -> None:
        self.run(self.world.database.close())
        self.world = self.run(self.open())

    @rule(request_id=consumes(requests))
    def is_forgotten_by_the_test(self, request_id: str) -> None:
        """Keeps the bundle small, so that acts meet on the same requests."""

    @invariant()
    def every_request_is_as_the_model_says(self) -> None:
        self.settle()
        for request_id, expected in self.model.items():
            record = self.run(self.world.service.get(request_id))
            assert record.request.status is expected.status
            assert (record.request.revoked_at is not None) == expected.revoked
            assert record.request.token_id == expected.token_id
            assert {each.person: each.verdict for each in record.decisions} == expected.votes
            kinds = self.run(self.world.notifications_about(request_id))
            assert kinds.count("created") == 1
            assert kinds.count("ended") == (expected.status is not RequestStatus.PENDING)


LifeCycle.TestCase.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLifeCycle = LifeCycle.TestCase
