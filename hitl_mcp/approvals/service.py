"""The approval service: everything that agents and people do to requests, behind every door alike."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.capability import DEFAULT_LIFETIME_SECONDS
from hitl_mcp.approvals.admission import refusal_of
from hitl_mcp.approvals.answers import Answers
from hitl_mcp.approvals.asking_back import AskingBack
from hitl_mcp.approvals.batches import BatchOutcome, decide_batch
from hitl_mcp.approvals.canaries import CanaryDesk
from hitl_mcp.approvals.collection import TokenCollection
from hitl_mcp.approvals.conditions import ConditionalApprovals
from hitl_mcp.approvals.decisions import Decisions
from hitl_mcp.approvals.dialogue import AnswerInput, AskInput
from hitl_mcp.approvals.edits import Edits
from hitl_mcp.approvals.errors import ActionNotFound, ApprovalError, RequestNotFound
from hitl_mcp.approvals.human_questions import HumanQuestion
from hitl_mcp.approvals.listing import Listing
from hitl_mcp.approvals.models import (
    APPROVAL_VALIDITY_SECONDS,
    ApprovalRequest,
    BatchInput,
    Conditions,
    DecisionInput,
    EditInput,
    IssuedToken,
    Page,
    RequestRecord,
    RequestStatus,
    Submission,
)
from hitl_mcp.approvals.ports import ApprovalPorts, RevokedToken
from hitl_mcp.approvals.recording import Recorder
from hitl_mcp.approvals.spending import SpentApproval
from hitl_mcp.approvals.submissions import Submissions
from hitl_mcp.approvals.timers import Timers
from hitl_mcp.approvals.tracing import StepNotes
from hitl_mcp.approvals.validation import MAX_USE, check_text
from hitl_mcp.approvals.waiting import WaitingRoom
from hitl_mcp.approvals.withdrawals import Withdrawals


class ApprovalService:
    """Above: tools, web, notifiers, the command line. Below: the ports.

    Every act is one transaction of state, audit entry, outbox rows and news; it is durable before it returns.
    Besides the errors named, any method may raise `server_kit.errors.DatabaseUnavailable`, and those that
    change something `AuditUnavailable`; then nothing was changed.
    """

    def __init__(
        self,
        ports: ApprovalPorts,
        *,
        validity_seconds: int = APPROVAL_VALIDITY_SECONDS,
        token_lifetime_seconds: int = DEFAULT_LIFETIME_SECONDS,
    ) -> None:
        self._ports = ports
        validity = timedelta(seconds=validity_seconds)
        recorder = Recorder(ports, validity)
        self._submissions = Submissions(ports, recorder, validity)
        self._decisions = Decisions(ports, recorder, validity)
        self._edits = Edits(ports, recorder, self._decisions)
        self._conditional = ConditionalApprovals(ports, self._decisions, self._edits)
        self._answers = Answers(ports, recorder, self._decisions)
        self._asking_back = AskingBack(ports, recorder, self._decisions)
        self._withdrawals = Withdrawals(ports, recorder)
        self._timers = Timers(ports, recorder)
        self._collection = TokenCollection(
            ports, recorder, validity=validity, lifetime_seconds=token_lifetime_seconds
        )
        self._listing = Listing(ports)
        self._waiting = WaitingRoom(
            ports.database.changes, ports.clock, self.get, self._read_statuses, self._read_versions
        )

    async def submit(self, agent: str, submission: Submission) -> RequestRecord:
        """Store a request durably, or return the one this asks for again (see `Submissions.submit`).

        Raises InvalidSubmission, IdempotencyKeyReused.
        """
        return await self._settled(await self._submissions.submit(agent, submission))

    async def ask_human(
        self, agent: str, question: HumanQuestion, *, timeout_seconds: int | None = None
    ) -> RequestRecord:
        """Put an agent's question to people, or return the pending one that this repeats.

        Raises InvalidSubmission.
        """
        return await self._settled(await self._submissions.ask(agent, question, timeout_seconds))

    async def draft_canary(self, agent: str, submission: Submission) -> ApprovalRequest | None:
        """A drill, not stored yet (see `Submissions.draft_canary`). Raises InvalidSubmission."""
        return await self._submissions.draft_canary(agent, submission)

    async def file_canary(self, request: ApprovalRequest, desk: CanaryDesk) -> bool:
        """Store a drill, if it is this process's turn (see `Submissions.file_canary`)."""
        return await self._submissions.file_canary(request, desk)

    async def answer(self, answer: AnswerInput) -> RequestRecord:
        """A person answers an agent's question (see `Answers.answer` for the checks, in order).

        Raises RequestNotFound, WrongKind, AlreadyEnded, SealBroken, NotEligible, DigestChanged,
        InvalidAnswer, InvalidSubmission.
        """
        return await self._answers.answer(answer)

    def answer_proven(self, record: RequestRecord) -> bool:
        """Whether the answer in a record is one that this server took; only then may anybody believe it."""
        return self._answers.proven(record)

    async def ask_back(self, asked: AskInput) -> RequestRecord:
        """A person asks the agent about its pending request (see `AskingBack.ask`).

        Raises RequestNotFound, WrongKind, AlreadyEnded, SealBroken, NotEligible, TooManyQuestions,
        InvalidSubmission.
        """
        return await self._asking_back.ask(asked)

    async def reply(self, agent: str, request_id: str, answer: str) -> RequestRecord:
        """The agent answers the oldest open question about its request (see `AskingBack.reply`).

        Raises RequestNotFound, AlreadyEnded, SealBroken, NoOpenQuestion, InvalidSubmission.
        """
        return await self._asking_back.reply(agent, request_id, answer)

    async def get(self, request_id: str) -> RequestRecord:
        """Raises RequestNotFound."""

        async def operation(connection: AsyncConnection) -> RequestRecord | None:
            return await self._ports.store.load(connection, request_id)

        record = await self._ports.database.read(operation)
        if record is None:
            raise RequestNotFound(request_id)
        return await self._settled(record)

    async def get_for_agent(self, agent: str, request_id: str) -> RequestRecord:
        """Like `get`; another agent's request is RequestNotFound too."""
        record = await self.get(request_id)
        if not record.request.is_of(agent):
            raise RequestNotFound(request_id)
        return record

    async def wait(self, request_id: str, timeout_seconds: float, *, or_asked: bool = False) -> RequestRecord:
        """Return the request once it has ended, or as it is after `timeout_seconds`.

        `or_asked`: as well while there is a question about it that its agent has not answered. Cancelling
        the call only stops the waiting. Raises RequestNotFound.
        """
        if timeout_seconds <= 0:
            return await self.get(request_id)
        ended = await self._waiting.until_ended(request_id, timeout_seconds, or_asked=or_asked)
        return ended or await self.get(request_id)

    def end_waiting(self) -> None:
        """Let every call of `wait` return now, and all to come at once: the process is about to end."""
        self._waiting.close()

    async def decide(self, decision: DecisionInput) -> RequestRecord:
        """Apply one person's verdict (see `Decisions.decide` for the checks, in order).

        Raises RequestNotFound, AlreadyDecided, AlreadyEnded, SealBroken, NotEligible, DigestChanged,
        InvalidSubmission.
        """
        with self._deciding(decision) as notes:
            record = await self._decisions.decide(decision)
            notes.note("status", record.request.status.value)
            return record

    async def refusal_of(self, decision: DecisionInput) -> ApprovalError | None:
        """Why `decide` would refuse this now, None where it would not. Changes nothing, records nothing.

        Raises RequestNotFound.
        """
        record = await self.get(decision.request_id)
        capacity = await self._decisions.capacity(decision.request_id, decision.person)
        return refusal_of(record, decision, capacity, self._ports.clock.now())

    async def decide_batch(self, batch: BatchInput) -> BatchOutcome:
        """Apply several verdicts of one person, each for itself: one that is refused is reported as such.

        Raises InvalidSubmission for the batch as a whole only.
        """
        return await decide_batch(self.decide, batch)

    async def edit(self, edit: EditInput) -> RequestRecord:
        """Change what a pending request asks for; it needs a fresh quorum (see `edits`).

        Raises RequestNotFound, AlreadyEnded, SealBroken, NotEligible, DigestChanged, EditRefused,
        InvalidSubmission.
        """
        return await self._edits.edit(edit)

    async def approve_with_conditions(self, decision: DecisionInput, conditions: Conditions) -> RequestRecord:
        """Tighten what is asked for and approve that, both or neither (see `ConditionalApprovals`).

        Raises what `decide` and `edit` raise.
        """
        with self._deciding(decision) as notes:
            record = await self._conditional.approve(decision, conditions)
            notes.note("status", record.request.status.value)
            return record

    async def revoked_tokens(self, *, since: datetime) -> Sequence[RevokedToken]:
        """Tokens of approvals revoked at or after `since` that some executor might still take."""

        async def operation(connection: AsyncConnection) -> Sequence[RevokedToken]:
            now = self._ports.clock.now()
            return await self._ports.store.revoked_tokens(connection, since=since, now=now)

        return await self._ports.database.read(operation)

    async def cancel(
        self, request_id: str, *, agent: str | None, person: str | None, reason: str | None
    ) -> RequestRecord:
        """Withdraw a pending request.

        Raises RequestNotFound, AlreadyEnded, NotEligible, InvalidSubmission.
        """
        return await self._withdrawals.cancel(request_id, agent=agent, person=person, reason=reason)

    async def revoke(self, request_id: str, *, person: str, reason: str | None) -> RequestRecord:
        """Withdraw an approval. Raises RequestNotFound, NotApproved, NotEligible, InvalidSubmission."""
        return await self._withdrawals.revoke(request_id, person=person, reason=reason)

    async def revocation_notice(self, record: RequestRecord) -> str | None:
        """What revoking did and did not do, for people; None for a request that is not revoked."""
        return await self._withdrawals.revocation_notice(record)

    async def list_for_agent(
        self, agent: str, *, status: RequestStatus | None, limit: int, cursor: str | None
    ) -> Page:
        """This agent's requests, newest first. Raises InvalidCursor, InvalidSubmission."""
        return await self._listing.page(agent, status, limit, cursor)

    async def list_for_people(self, *, status: RequestStatus | None, limit: int, cursor: str | None) -> Page:
        """Every agent's requests, newest first. Raises InvalidCursor, InvalidSubmission."""
        return await self._listing.page(None, status, limit, cursor)

    async def collect_token(self, agent: str, request_id: str) -> IssuedToken:
        """A capability token for an approved request; always of the same token id.

        Raises RequestNotFound, NotApproved, Revoked, ApprovalExpired, NotEligible, SealBroken.
        """
        with self._ports.tracing.step("approval.mint", request_id):
            return await self._collection.collect(agent, request_id)

    async def spend(self, agent: str, request_id: str, *, use: str) -> SpentApproval:
        """Use an approval up without a token, for an act named `use` (see `TokenCollection.spend`).

        Raises RequestNotFound, NotApproved, Revoked, ApprovalExpired, NotEligible, SealBroken, AlreadySpent,
        InvalidSubmission.
        """
        check_text("use", use, MAX_USE)
        return await self._collection.spend(agent, request_id, use)

    async def approved_action(self, digest: str) -> bytes:
        """The canonical bytes of a stored action, by their digest.

        Whoever calls this has checked that the caller may read it. Raises ActionNotFound,
        StoredActionDamaged.
        """

        async def operation(connection: AsyncConnection) -> bytes | None:
            return await self._ports.store.action_bytes(connection, digest)

        canonical = await self._ports.database.read(operation)
        if canonical is None:
            raise ActionNotFound(digest)
        return canonical

    async def run_deadlines(self, *, now: datetime) -> int:
        """Work every deadline that is due at `now` (see `Timers.run`); return how many requests expired."""
        return await self._timers.run(now)

    async def next_deadline(self) -> datetime | None:
        """When the next deadline is due; None when there is none."""
        return await self._timers.next_due()

    @contextmanager
    def _deciding(self, decision: DecisionInput) -> Generator[StepNotes]:
        with self._ports.tracing.step("approval.decide", decision.request_id) as notes:
            notes.note("verdict", decision.verdict.value)
            notes.note("assurance", decision.assurance.value)
            yield notes

    async def _settled(self, record: RequestRecord) -> RequestRecord:
        """The record, its timeout recorded when its time is up, whether or not a dispatcher runs."""
        now = self._ports.clock.now()
        if record.request.status.is_terminal or now < record.request.expires_at:
            return record
        await self._withdrawals.expire(record.request.request_id, now)
        return await self.get(record.request.request_id)

    async def _read_statuses(self, request_ids: frozenset[str]) -> Mapping[str, RequestStatus]:
        async def operation(connection: AsyncConnection) -> Mapping[str, RequestStatus]:
            return await self._ports.store.statuses(connection, request_ids)

        return await self._ports.database.read(operation)

    async def _read_versions(self, request_ids: frozenset[str]) -> Mapping[str, int]:
        async def operation(connection: AsyncConnection) -> Mapping[str, int]:
            return await self._ports.store.versions(connection, request_ids)

        return await self._ports.database.read(operation)
