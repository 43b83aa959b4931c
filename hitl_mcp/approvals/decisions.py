"""What people decide, checked and sealed in the transaction that writes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals import events
from hitl_mcp.approvals.errors import (
    AlreadyDecided,
    AlreadyEnded,
    ApprovalError,
    DigestChanged,
    NotEligible,
    RequestNotFound,
    SealBroken,
)
from hitl_mcp.approvals.models import (
    ApprovalRequest,
    Decision,
    DecisionInput,
    RequestRecord,
    RequestStatus,
    Verdict,
)
from hitl_mcp.approvals.ports import ApprovalPorts, NotificationKind, PersonRecord
from hitl_mcp.approvals.quorum import Vote, person_key, tally
from hitl_mcp.approvals.recording import Recorder, state_of
from hitl_mcp.approvals.state_machine import (
    Approve,
    Deny,
    Refusal,
    transition,
)
from hitl_mcp.approvals.validation import check_decision
from server_kit.identifiers import new_identifier


@dataclass(frozen=True, slots=True)
class Refused:
    """An act that was refused, to be raised once the record of the refusal is durable."""

    error: ApprovalError


class Decisions:
    def __init__(self, ports: ApprovalPorts, recorder: Recorder, validity: timedelta) -> None:
        self._ports = ports
        self._recorder = recorder
        self._validity = validity

    async def decide(self, decision: DecisionInput) -> RequestRecord:
        """Apply one person's verdict. The same verdict by the same person again changes nothing.

        Checks, in order, inside the transaction that writes the decision:

        1. the request exists (RequestNotFound);
        2. this person has not decided it (AlreadyDecided; the same verdict again returns the record);
        3. it has not ended, and its time is not up (AlreadyEnded);
        4. it is as this server stored it (SealBroken);
        5. the person is eligible and is not the requester (NotEligible);
        6. what the person saw is what is asked for (DigestChanged);
        7. for an approval, the channel is good enough for the risk (NotEligible).

        Every refusal but the first is recorded in the audit log. Also raises InvalidSubmission for a reason
        that is too long or cannot be stored.
        """
        check_decision(decision)
        person = await self._ports.people.eligible(decision.person)

        async def operation(connection: AsyncConnection) -> RequestRecord | Refused:
            record = await self._load(connection, decision.request_id)  # 1
            name = decision.person if person is None else person.person_id
            earlier = _decision_by(record, name)
            if earlier is not None and earlier.verdict is decision.verdict:  # 2
                return record
            now = self._ports.clock.now()
            refusal = await self._refusal(connection, record, decision, person, earlier, now)
            if refusal is not None:
                return await self._refuse(connection, record.request, refusal, decision)
            return await self._accept(connection, record, decision, name, now)

        return await self._act(operation)

    async def _refusal(
        self,
        connection: AsyncConnection,
        record: RequestRecord,
        decision: DecisionInput,
        person: PersonRecord | None,
        earlier: Decision | None,
        now: datetime,
    ) -> ApprovalError | None:
        request = record.request
        if request.status.is_terminal:  # 3
            return AlreadyEnded(record)
        timed_out = await self._recorder.time_out(connection, record, now)
        if timed_out is not None:
            return AlreadyEnded(timed_out)
        if earlier is not None:  # 2
            return AlreadyDecided(
                f"{earlier.person} decided {request.request_id} before ({earlier.verdict.value}). "
                "A decision is not changed; somebody else may decide."
            )
        if broken := self._broken_seal(record):  # 4
            return SealBroken(request.request_id, broken)
        if person is None:  # 5
            return NotEligible(f"{decision.person[:80]!r} is not known here as somebody who may decide.")
        if person_key(person.person_id) == person_key(request.agent):
            return NotEligible("Whoever asks does not decide. Somebody else has to.")
        if decision.action_digest != request.action_digest:  # 6
            return DigestChanged(request.request_id)
        weak = not decision.assurance.satisfies(request.required_assurance)
        if decision.verdict is Verdict.APPROVE and weak:  # 7
            return NotEligible(
                f"A request of {request.risk_level.value} risk is not approved over {decision.channel}. "
                "Open its page, sign in and decide there."
            )
        return None

    def _broken_seal(self, record: RequestRecord) -> str | None:
        if not self._ports.sealer.request_holds(record.request):
            return "the request's seal does not hold"
        for each in record.decisions:
            if not self._ports.sealer.decision_holds(each) or each.request_id != record.request.request_id:
                return f"the seal of decision {each.decision_id} does not hold"
        return None

    async def _refuse(
        self,
        connection: AsyncConnection,
        request: ApprovalRequest,
        error: ApprovalError,
        decision: DecisionInput,
    ) -> Refused:
        await self._ports.audit.append(
            connection,
            events.DECISION_REFUSED,
            actor=events.person_actor(decision.person[:200]),
            subject=request.request_id,
            details={
                "refusal": type(error).__name__,
                "verdict": decision.verdict.value,
                "channel": decision.channel,
            },
        )
        return Refused(error)

    async def _accept(
        self,
        connection: AsyncConnection,
        record: RequestRecord,
        given: DecisionInput,
        person: str,
        now: datetime,
    ) -> RequestRecord:
        request = record.request
        decision = self._sealed(request, given, person, now)
        await self._ports.store.add_decision(connection, decision)
        decided = (*record.decisions, decision)
        counted = tally(
            (Vote(each.person, each.verdict) for each in decided),
            required=request.required_approvals,
            requester=request.agent,
        )
        approving = given.verdict is Verdict.APPROVE
        outcome = transition(
            state_of(request), Approve(quorum_reached=counted.reached) if approving else Deny(), now
        )
        if isinstance(outcome, Refusal):
            # Ruled out by `_refusal` at the same time in the same transaction; kept so that no path approves.
            raise AlreadyEnded(record)
        changed = replace(request, status=outcome.state.status)
        if changed.status.is_terminal:
            changed = replace(changed, decided_at=now, ended_by=person, ended_reason=given.reason)
        if changed.status is RequestStatus.APPROVED:
            changed = replace(changed, valid_until=now + self._validity)
        stored = await self._recorder.change(
            connection,
            changed,
            event=events.DECIDED,
            actor=events.person_actor(person),
            details={
                "decision_id": decision.decision_id,
                "verdict": decision.verdict.value,
                "reason": decision.reason,
                "channel": decision.channel,
                "assurance": decision.assurance.value,
                "action_digest": decision.action_digest,
                "display_digest": decision.display_digest,
                "status": changed.status.value,
                "seal": decision.seal,
            },
            notification=(NotificationKind.ENDED if changed.status.is_terminal else NotificationKind.CHANGED),
        )
        return RequestRecord(stored, decided)

    def _sealed(self, request: ApprovalRequest, given: DecisionInput, person: str, now: datetime) -> Decision:
        decision = Decision(
            decision_id=new_identifier("dec"),
            request_id=request.request_id,
            action_digest=request.action_digest,
            display_digest=request.display_digest,
            person=person,
            verdict=given.verdict,
            reason=given.reason,
            conditions=given.conditions,
            channel=given.channel,
            assurance=given.assurance,
            evidence=dict(given.evidence),
            decided_at=now,
            seal="",
        )
        return replace(decision, seal=self._ports.sealer.seal_decision(decision))

    async def _load(self, connection: AsyncConnection, request_id: str) -> RequestRecord:
        record = await self._ports.store.load(connection, request_id)
        if record is None:
            raise RequestNotFound(request_id)
        return record

    async def _act(
        self, operation: Callable[[AsyncConnection], Awaitable[RequestRecord | Refused]]
    ) -> RequestRecord:
        result = await self._ports.database.write(operation)
        if isinstance(result, Refused):
            raise result.error
        return result


def _decision_by(record: RequestRecord, person: str) -> Decision | None:
    key = person_key(person)
    return next((each for each in record.decisions if person_key(each.person) == key), None)
