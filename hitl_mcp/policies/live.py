"""The rules that are in force: loaded at start, read again when a file changes, kept when it is broken."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.terms import AgentFacts, RiskAssessment, Ruling
from hitl_mcp.policies.errors import PolicyRefused
from hitl_mcp.policies.evaluator import Evaluator
from hitl_mcp.policies.loading import Fingerprint, fingerprint, load_rules, read_directory
from hitl_mcp.policies.people import KnownPeople, PeopleSource
from hitl_mcp.policies.record import RulesRecord
from hitl_mcp.policies.rules import RuleSet
from server_kit.clock import Clock

LOOK_EVERY_SECONDS: Final = 2.0
_log: Any = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RulesState:
    """What is in force. `problem` is why the files as they are now are not; the rules before them hold."""

    directory: Path
    rules: int
    problem: str | None = None


class LivePolicy:
    """Implements `approvals.ports.Policy` over the rules of a directory; one approver is asked without any.

    A change of the files is noticed by the first request, or question about the state, at least 2 s after the
    last look. Either all files are taken or none. A directory that goes away leaves the rules in force.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        clock: Clock,
        *,
        directory: Path,
        people: PeopleSource,
        must_exist: bool = False,
        record: RulesRecord | None = None,
    ) -> None:
        self._evaluator = evaluator
        self._clock = clock
        self._directory = directory
        self._people = people
        self._rules = RuleSet()
        self._problem: str | None = None
        self._must_exist = must_exist
        self._record = record
        self._seen: Fingerprint | None = None
        self._looking = asyncio.Lock()
        self._look_after = 0.0

    @property
    def rules(self) -> RuleSet:
        return self._rules

    async def load(self) -> None:
        """Load the rules before the first request, for a server that is not to start without them.

        Without this the first request loads them, and broken ones leave one approver to be asked.

        Raises:
            PolicyRefused: with every mistake in the files.
        """
        self._seen = fingerprint(self._directory)
        self._rules = await self._read()

    async def evaluate(self, agent: AgentFacts, submission: Submission, risk: RiskAssessment) -> Ruling:
        """What the rules in force say. Never raises."""
        await self._look()
        return await self._evaluator.evaluate(self._rules, agent, submission, risk, self._clock.now())

    async def known_people(self) -> KnownPeople:
        """The people that rules are checked against."""
        return await self._people.known_people()

    async def state(self) -> RulesState:
        """What is in force, after a look at the files."""
        await self._look()
        return RulesState(self._directory, len(self._rules.rules), self._problem)

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._look_after or self._looking.locked():
            return
        async with self._looking:
            self._look_after = now + LOOK_EVERY_SECONDS
            found = await asyncio.to_thread(fingerprint, self._directory)
            if found == self._seen:
                return
            try:
                self._rules = await self._read()
                self._problem = None
                _log.info("rules.loaded", rules=len(self._rules.rules))
            except PolicyRefused as error:
                self._problem = f"{error}; the rules from before are kept"
                _log.error("rules.refused", reason=str(error))
            except Exception as error:
                # Whatever it was, the rules that were checked stay in force; the next look tries again.
                reason = type(error).__name__
                self._problem = f"the rules cannot be read ({reason}); the rules from before are kept"
                _log.error("rules.unreadable", error=type(error).__name__)
                return
            self._seen = found

    async def _read(self) -> RuleSet:
        known = await self._people.known_people()
        now = self._clock.now()
        directory = self._directory
        if not (self._must_exist or self._rules.rules or directory.is_dir()):
            return RuleSet()
        texts = await asyncio.to_thread(read_directory, directory, guarded=True)
        rules = await asyncio.to_thread(load_rules, texts, known, now)
        if self._record is not None:
            await self._record.came_into_force(rules, texts)
        return rules
