"""Carries signed checkpoints to a second place over HTTP, where who owns this machine cannot take them back.

Each checkpoint is POSTed as JSON until it is answered with 2xx, in order, the newest always among those that
wait. 409 means that the place remembers another history: then nothing may be added to the log. With
`required`, an act waits for the place, a bounded time, once more than `max_behind` entries are not vouched
for, and is refused when that does not help; without it, being behind is only reported.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from hitl_contract.audit_chain import Checkpoint, checkpoint_to_json
from hitl_contract.canonical import canonical_json
from server_kit.errors import AuditUnavailable

_KEPT: Final = 1000
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 30.0
_CONFLICT: Final = 409

Post = Callable[[bytes], Awaitable[int]]
"""Sends one body to the place and returns the status of its answer. Raises OSError when there is none."""


@dataclass(frozen=True, slots=True)
class WitnessState:
    """How the second place stands.

    `behind` counts the entries it does not vouch for yet; `behind_seconds` is how long the oldest checkpoint
    that it lacks has waited.
    """

    behind: int
    behind_seconds: float
    waiting: int
    disputed: bool
    problem: str | None


class WitnessCourier:
    """One per log. `send` never waits; `admit` waits at most `timeout_seconds`."""

    def __init__(
        self, post: Post, *, required: bool, timeout_seconds: float = 2.0, max_behind: int = 1024
    ) -> None:
        self._post = post
        self._required = required
        self._timeout_seconds = timeout_seconds
        self._max_behind = max_behind
        self._waiting: deque[tuple[Checkpoint, float]] = deque(maxlen=_KEPT)
        self._lacking_since: float | None = None
        self._work: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()
        self._head = 0
        self._vouched = 0
        self._first: int | None = None
        self._given_up = False
        self._disputed = False
        self._problem: str | None = None

    def send(self, checkpoint: Checkpoint) -> None:
        """Have the checkpoint carried there, now or as soon as the place answers."""
        self._head = max(self._head, checkpoint.sequence)
        now = time.monotonic()
        self._waiting.append((checkpoint, now))
        if self._lacking_since is None:
            self._lacking_since = now
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._carry(), name="audit witness courier")

    async def admit(self, sequence: int) -> None:
        """Let the entry of this number be written. Raises AuditUnavailable."""
        if self._first is None:
            # What was there before this process began has its own checkpoints, sent by those who signed them.
            self._first = sequence - 1
        self._head = max(self._head, sequence)
        if self._disputed:
            raise AuditUnavailable(
                "the audit witness remembers another history of this log: the database was rolled back or "
                "replaced, or two servers use one name at the witness; run `audit verify`"
            )
        if not self._required or not self._too_far():
            return
        if not self._given_up:
            self._progress.clear()
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    while self._too_far():
                        await self._progress.wait()
                        self._progress.clear()
            except TimeoutError:
                self._given_up = True
            else:
                return
        raise AuditUnavailable(
            f"the audit witness is {self.state().behind} entries behind and does not answer "
            f"({self._problem or 'no answer yet'}); nothing is done until it has caught up"
        )

    def state(self) -> WitnessState:
        """How the second place stands now."""
        since = self._lacking_since
        seconds = 0.0 if since is None else max(0.0, time.monotonic() - since)
        return WitnessState(self._behind(), seconds, len(self._waiting), self._disputed, self._problem)

    async def settle(self) -> WitnessState:
        """How the second place stands once nothing is on its way any more, or a bounded time has passed."""
        if self._work is not None:
            await asyncio.wait({self._work}, timeout=self._timeout_seconds)
        return self.state()

    async def close(self) -> None:
        """Give what waits a last chance, a bounded time."""
        if self._work is not None:
            await asyncio.wait({self._work}, timeout=self._timeout_seconds)
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    def _behind(self) -> int:
        return max(0, self._head - max(self._vouched, self._first or 0))

    def _too_far(self) -> bool:
        return self._behind() > self._max_behind

    async def _carry(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while self._waiting and not self._disputed:
            first = self._waiting[0]
            checkpoint = first[0]
            if await self._delivered(checkpoint):
                pause = _FIRST_PAUSE_SECONDS
                if self._waiting and self._waiting[0] is first:
                    self._waiting.popleft()
                self._lacking_since = self._waiting[0][1] if self._waiting else None
                continue
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _delivered(self, checkpoint: Checkpoint) -> bool:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                status = await self._post(canonical_json(checkpoint_to_json(checkpoint)))
        except (OSError, TimeoutError) as error:
            self._problem = type(error).__name__
            return False
        if status == _CONFLICT:
            self._disputed, self._problem = True, "it answered 409"
        elif 200 <= status < 300:
            self._vouched = max(self._vouched, checkpoint.sequence)
            self._problem, self._given_up = None, False
            self._progress.set()
            return True
        else:
            self._problem = f"it answered {status}"
        return False
