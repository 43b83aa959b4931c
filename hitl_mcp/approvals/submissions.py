"""Taking in requests: a new one, or the one that the agent asked for already."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Final

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.action import MAX_ACTION_BYTES, canonical_action
from hitl_contract.canonical import digest_of_bytes
from hitl_mcp.approvals import events
from hitl_mcp.approvals.canaries import CanaryDesk, kind_commitment
from hitl_mcp.approvals.errors import IdempotencyKeyReused, InvalidSubmission, RequestNotFound
from hitl_mcp.approvals.human_questions import (
    OPERATION,
    HumanQuestion,
    action_of,
    check_question,
    is_question,
    ruling_on,
)
from hitl_mcp.approvals.models import (
    ApprovalRequest,
    RequestKind,
    RequestRecord,
    RequestStatus,
    Submission,
)
from hitl_mcp.approvals.offers import GrantOffers, first_usable
from hitl_mcp.approvals.ports import ApprovalPorts, GrantUsing, NotificationKind
from hitl_mcp.approvals.recording import Recorder
from hitl_mcp.approvals.rendering import rendered
from hitl_mcp.approvals.rulings import Ruled, Rulings
from hitl_mcp.approvals.terms import RuleVerdict
from hitl_mcp.approvals.validation import check_submission
from server_kit.identifiers import new_identifier

_SHORTEST_DRILL: Final = 600
_RULED: Final = {RuleVerdict.ALLOW: events.ALLOWED_BY_RULE, RuleVerdict.DENY: events.DENIED_BY_RULE}


class Submissions:
    def __init__(self, ports: ApprovalPorts, recorder: Recorder, validity: timedelta) -> None:
        self._ports = ports
        self._recorder = recorder
        self._rulings = Rulings(ports)
        self._offers = GrantOffers(ports, validity)
        self._validity = validity

    async def submit(self, agent: str, submission: Submission) -> RequestRecord:
        """Store a request durably, or find the one this asks for again; then nobody is notified twice.

        What a rule asks people about is approved by a live grant that covers it, and then nobody is
        notified. Asking again means: the same idempotency key, or the same action while this agent's earlier
        request for it is pending, or approved and its approval not yet collected.

        Raises:
            InvalidSubmission: a field is outside what is allowed.
            IdempotencyKeyReused: the key belongs to a request for another action.
        """
        check_submission(submission)
        if submission.trace_id is None:
            submission = replace(submission, trace_id=self._ports.tracing.callers_trace())
        if is_question(submission.action):
            raise InvalidSubmission(
                "action.operation", f"is {OPERATION!r}, which asks for no approval; call ask_human instead"
            )
        canonical = canonical_action(submission.action)
        if len(canonical) > MAX_ACTION_BYTES:
            raise InvalidSubmission(
                "action", f"is {len(canonical)} bytes in all; at most {MAX_ACTION_BYTES} are allowed"
            )
        ruled = await self._rulings.on(agent, submission)
        request = await self._new_request(agent, submission, canonical, ruled)
        return await self._stored(agent, submission, request, canonical)

    async def ask(self, agent: str, question: HumanQuestion, timeout_seconds: int | None) -> RequestRecord:
        """Put a question to people, or find the pending one that this repeats; then nobody is notified twice.

        Raises InvalidSubmission.
        """
        check_question(question)
        submission = Submission(
            action_of(question), justification=question.question, timeout_seconds=timeout_seconds
        )
        check_submission(submission)
        canonical = canonical_action(submission.action)
        request = await self._new_request(
            agent, submission, canonical, Ruled(ruling_on(question)), kind=RequestKind.QUESTION
        )
        return await self._stored(agent, submission, request, canonical)

    async def draft_canary(self, agent: str, submission: Submission) -> ApprovalRequest | None:
        """A drill as a request that is not stored yet; None where the rules ask nobody about it.

        Its time ends before people would be called to it once more, where that leaves them ten minutes.
        """
        check_submission(submission)
        ruled = await self._rulings.on(agent, submission)
        if ruled.ruling.verdict is not RuleVerdict.ASK:
            return None
        terms = ruled.ruling.terms
        calls = [*terms.reminders, *(level.after_seconds for level in terms.escalation)]
        if calls:
            submission = replace(submission, timeout_seconds=max(_SHORTEST_DRILL, min(calls)))
        canonical = canonical_action(submission.action)
        return await self._new_request(agent, submission, canonical, ruled, kind=RequestKind.CANARY)

    async def file_canary(self, request: ApprovalRequest, desk: CanaryDesk) -> bool:
        """Store a drill like any request, if it is this process's turn; False if it is not."""
        canonical = canonical_action(request.action)

        async def store(connection: AsyncConnection) -> bool:
            if not await desk.may_file(connection):
                return False
            await self._attach_or_insert(connection, request, canonical)
            await desk.filed(connection, request)
            return True

        began = time.time_ns()
        filed = await self._ports.database.write(store)
        if filed:
            self._ports.tracing.requested(request, began=began)
        return filed

    async def _stored(
        self, agent: str, submission: Submission, request: ApprovalRequest, canonical: bytes
    ) -> RequestRecord:
        offers = await self._offers.covering(request)

        async def store(connection: AsyncConnection, using: GrantUsing | None) -> RequestRecord:
            key = submission.idempotency_key
            if key is not None:
                known = await self._ports.store.request_of_key(connection, agent, key)
                if known is not None:
                    return await self._known(connection, known, request.action_digest)
            offer = None if using is None else await first_usable(using, offers)
            chosen = request if offer is None else offer.request
            record = await self._attach_or_insert(connection, chosen, canonical)
            new = record.request is chosen
            if new and using is not None and offer is not None:
                await using.use(offer)
            if key is not None:
                await self._remember(connection, record.request, key, new=new)
            return record

        began = time.time_ns()
        if offers and self._ports.grants is not None:
            record = await self._ports.grants.write(lambda using: store(using.connection, using))
        else:
            record = await self._ports.database.write(lambda connection: store(connection, None))
        if any(record.request is each for each in (request, *(offer.request for offer in offers))):
            self._ports.tracing.requested(record.request, began=began)
        return record

    async def _new_request(
        self,
        agent: str,
        submission: Submission,
        canonical: bytes,
        ruled: Ruled,
        *,
        kind: RequestKind = RequestKind.ACTION,
    ) -> ApprovalRequest:
        ruling = ruled.ruling
        display = await rendered(submission.action, len(canonical))
        now = self._ports.clock.now()
        asked = ruling.verdict is RuleVerdict.ASK
        request = ApprovalRequest(
            request_id=new_identifier("req"),
            agent=agent,
            action=submission.action,
            action_digest=digest_of_bytes(canonical),
            display_digest=display.digest,
            justification=submission.justification,
            summary=submission.summary,
            risk_level=ruling.risk.level,
            status=ruled.status,
            policy=ruling.rule,
            required_approvals=ruling.terms.required_approvals,
            required_assurance=ruling.terms.required_assurance,
            created_at=now,
            expires_at=now + ruled.lifetime(submission.timeout_seconds),
            decided_at=None if asked else now,
            valid_until=now + self._validity if ruling.verdict is RuleVerdict.ALLOW else None,
            token_id=None,
            revoked_at=None,
            ended_by=None,
            ended_reason=None if asked else ruling.explanation,
            trace_id=submission.trace_id,
            metadata=dict(submission.metadata),
            version=1,
            seal="",
            kind=kind,
            verdict=ruling.verdict,
            explanation=ruling.explanation,
            terms=ruling.terms,
            assessment=ruling.risk,
        )
        return replace(request, seal=self._ports.sealer.seal_request(request))

    async def _attach_or_insert(
        self, connection: AsyncConnection, request: ApprovalRequest, canonical: bytes
    ) -> RequestRecord:
        store = self._ports.store
        if not await store.insert(connection, request, canonical):
            earlier = await store.attached(connection, request.agent, request.action_digest)
            if earlier is not None:
                record = await self._load(connection, earlier)
                if await self._still_attached(connection, record):
                    return record
            if not await store.insert(connection, request, canonical):
                raise RequestNotFound(request.request_id)
        await self._recorder.plan_deadlines(connection, request)
        await self._record(connection, request)
        return RequestRecord(request, ())

    async def _record(self, connection: AsyncConnection, request: ApprovalRequest) -> None:
        details: dict[str, JsonValue] = {
            "action_digest": request.action_digest,
            "display_digest": request.display_digest,
            "policy": request.policy,
            "verdict": request.verdict.value,
            "risk_level": request.risk_level.value,
            "required_approvals": request.required_approvals,
            "required_assurance": request.required_assurance.value,
            "expires_at": request.expires_at.isoformat(),
            "trace_id": request.trace_id,
            "kind": request.kind.shown.value,
            "kind_commitment": kind_commitment(
                self._ports.sealer.kind_salt(request.request_id), request.request_id, request.kind
            ),
            "seal": request.seal,
        }
        # Nobody can be waiting for a request that was not there, so no news of it is published.
        await self._ports.audit.append(
            connection,
            events.CREATED,
            actor=events.agent_actor(request.agent),
            subject=request.request_id,
            details=details,
        )
        if request.status is RequestStatus.PENDING:
            await self._ports.outbox.enqueue(connection, NotificationKind.CREATED, request.request_id)
        ruled = _RULED.get(request.verdict)
        if ruled is not None:
            await self._ports.audit.append(
                connection,
                ruled,
                actor=events.rule_actor(request.policy),
                subject=request.request_id,
                details={
                    "rule": request.policy,
                    "explanation": request.explanation,
                    "action_digest": request.action_digest,
                    "seal": request.seal,
                },
            )

    async def _still_attached(self, connection: AsyncConnection, record: RequestRecord) -> bool:
        """Whether the earlier request still answers; when it does not, its place is free afterwards."""
        now = self._ports.clock.now()
        if record.request.status is RequestStatus.PENDING:
            ended = await self._recorder.time_out(connection, record, now)
            if ended is None:
                return True
            record = ended
        if record.request.valid_until is not None and now < record.request.valid_until:
            return True
        await self._ports.store.detach(connection, record.request.request_id)
        return False

    async def _known(self, connection: AsyncConnection, request_id: str, digest: str) -> RequestRecord:
        record = await self._load(connection, request_id)
        if record.request.asked_digest != digest:
            raise IdempotencyKeyReused(request_id)
        return record

    async def _load(self, connection: AsyncConnection, request_id: str) -> RequestRecord:
        record = await self._ports.store.load(connection, request_id)
        if record is None:
            raise RequestNotFound(request_id)
        return record

    async def _remember(
        self, connection: AsyncConnection, request: ApprovalRequest, key: str, *, new: bool
    ) -> None:
        await self._ports.store.remember_key(
            connection, request.agent, key, request.request_id, self._ports.clock.now()
        )
        if not new:
            await self._ports.audit.append(
                connection,
                events.REATTACHED,
                actor=events.agent_actor(request.agent),
                subject=request.request_id,
                details={"action_digest": request.action_digest},
            )
