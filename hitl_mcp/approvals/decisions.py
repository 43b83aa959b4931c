"""What people decide, checked and sealed in the transaction that writes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals import events
from hitl_mcp.approvals.admission import Admitted, admit
from hitl_mcp.approvals.ballots import ballots_of, electorate_of
from hitl_mcp.approvals.capacity import Capacity
from hitl_mcp.approvals.eligibility import capacity_for
from hitl_mcp.approvals.errors import AlreadyDecided, AlreadyEnded, ApprovalError, SealBroken, WrongKind
from hitl_mcp.approvals.models import (
    ApprovalRequest,
    Decision,
    DecisionInput,
    RequestKind,
    RequestRecord,
    RequestStatus,
    Verdict,
)
from hitl_mcp.approvals.outcomes import Refused, finished, load_record
from hitl_mcp.approvals.ports import ApprovalPorts, NotificationKind
from hitl_mcp.approvals.quorum import Tally, person_key, tally
from hitl_mcp.approvals.recording import Recorder, state_of
from hitl_mcp.approvals.state_machine import Approve, Cancel, Deny, Event, Refusal, transition
from hitl_mcp.approvals.validation import check_decision
from server_kit.identifiers import new_identifier


class Decisions:
    def __init__(self, ports: ApprovalPorts, recorder: Recorder, validity: timedelta) -> None:
        self._ports = ports
        self._recorder = recorder
        self._validity = validity

    async def decide(self, decision: DecisionInput) -> RequestRecord:
        """Apply one person's verdict. The same verdict by the same person again changes nothing.

        Checks, in order, inside the transaction that writes the decision:

        1. the request exists (RequestNotFound);
        2. this person has not decided it as it stands (AlreadyDecided; the same verdict returns the record);
        3. it has not ended, and its time is not up (AlreadyEnded);
        4. it is as this server stored it (SealBroken);
        5. a question is not approved (WrongKind);
        6. the verdict counts: see `admission.admit` (NotEligible and its kinds, DigestChanged,
           InvalidSubmission for a reason that is asked for and missing).

        Every refusal but the first is recorded in the audit log. Also raises InvalidSubmission for a reason
        that is too long or cannot be stored.
        """
        check_decision(decision)
        capacity = await self.capacity(decision.request_id, decision.person)

        async def operation(connection: AsyncConnection) -> RequestRecord | Refused:
            record = await load_record(self._ports, connection, decision.request_id)  # 1
            return await self.apply(connection, record, decision, capacity)

        return await finished(self._ports, operation)

    async def capacity(self, request_id: str, person: str) -> Capacity | None:
        """What this person may do about this request now. Raises RequestNotFound."""

        async def read(connection: AsyncConnection) -> RequestRecord:
            return await load_record(self._ports, connection, request_id)

        record = await self._ports.database.read(read)
        return await capacity_for(self._ports, record.request, person, self._ports.clock.now())

    async def apply(
        self,
        connection: AsyncConnection,
        record: RequestRecord,
        given: DecisionInput,
        capacity: Capacity | None,
    ) -> RequestRecord | Refused:
        """Checks 2 to 6 of `decide`, and the decision, inside the caller's transaction."""
        name = given.person if capacity is None else capacity.person_id
        earlier = _decision_by(record, name)
        if earlier is not None and earlier.verdict is given.verdict:  # 2
            return record
        now = self._ports.clock.now()
        refusal = await self.unready(connection, record, now)
        if refusal is None and earlier is not None:  # 2
            refusal = AlreadyDecided(
                f"{earlier.person} decided {given.request_id} before ({earlier.verdict.value}). "
                "A decision is not changed; somebody else may decide."
            )
        if refusal is not None:
            return await self.refuse(connection, record.request, refusal, given)
        if record.request.kind is RequestKind.QUESTION and given.verdict is Verdict.APPROVE:  # 5
            question = WrongKind(f"{given.request_id} is a question: there is nothing to approve. Answer it.")
            return await self.refuse(connection, record.request, question, given)
        admitted = admit(record, given, capacity, now)  # 6
        if not isinstance(admitted, Admitted):
            return await self.refuse(connection, record.request, admitted, given)
        return await self._accept(
            connection, record, self._sealed(record.request, given, name, admitted, now)
        )

    async def unready(
        self, connection: AsyncConnection, record: RequestRecord, now: datetime
    ) -> ApprovalError | None:
        """Why nobody can decide anything about this request any more, if so; a timeout due is recorded."""
        if record.request.status.is_terminal:  # 3
            return AlreadyEnded(record)
        timed_out = await self._recorder.time_out(connection, record, now)
        if timed_out is not None:
            return AlreadyEnded(timed_out)
        if broken := self._broken_seal(record):  # 4
            return SealBroken(record.request.request_id, broken)
        return None

    def _broken_seal(self, record: RequestRecord) -> str | None:
        if not self._ports.sealer.request_holds(record.request):
            return "the request's seal does not hold"
        for each in record.decisions:
            if not self._ports.sealer.decision_holds(each) or each.request_id != record.request.request_id:
                return f"the seal of decision {each.decision_id} does not hold"
        if not all(self._ports.sealer.revision_holds(each) for each in record.revisions):
            return "the seal of a revision does not hold"
        if not all(
            self._ports.sealer.question_holds(each) and each.request_id == record.request.request_id
            for each in record.questions
        ):
            return "the seal of a question that was asked back does not hold"
        return None

    async def refuse(
        self,
        connection: AsyncConnection,
        request: ApprovalRequest,
        error: ApprovalError,
        given: DecisionInput,
    ) -> Refused:
        """Record that a decision was refused; raising is for after the commit."""
        await self._ports.audit.append(
            connection,
            events.DECISION_REFUSED,
            actor=events.person_actor(given.person[:200]),
            subject=request.request_id,
            details={
                "refusal": type(error).__name__,
                "verdict": given.verdict.value,
                "channel": given.channel,
            },
        )
        return Refused(error)

    async def _accept(
        self, connection: AsyncConnection, record: RequestRecord, decision: Decision
    ) -> RequestRecord:
        request, now = record.request, decision.decided_at
        decided = replace(record, decisions=(*record.decisions, decision))
        counted = tally(ballots_of(decided), electorate_of(decided))
        outcome = transition(state_of(request), _event_of(request.kind, decision.verdict, counted), now)
        if isinstance(outcome, Refusal):
            # Ruled out by `unready` at the same time in the same transaction; kept so that no path approves.
            raise AlreadyEnded(record)
        await self._ports.store.add_decision(connection, decision)
        changed = replace(request, status=outcome.state.status)
        if changed.status.is_terminal:
            changed = replace(changed, decided_at=now, ended_by=decision.person, ended_reason=decision.reason)
        if request.kind is RequestKind.CANARY and decision.verdict is Verdict.APPROVE:
            # Everybody sees how it ended, and nobody whom it caught out.
            changed = replace(changed, ended_by=None)
        if changed.status is RequestStatus.APPROVED:
            changed = replace(changed, valid_until=now + self._validity)
        stored = await self._recorder.change(
            connection,
            changed,
            event=events.DECIDED,
            actor=events.person_actor(decision.person),
            details=_details(decision, changed.status),
            notification=(NotificationKind.ENDED if changed.status.is_terminal else NotificationKind.CHANGED),
        )
        return replace(decided, request=stored)

    def _sealed(
        self,
        request: ApprovalRequest,
        given: DecisionInput,
        person: str,
        admitted: Admitted,
        now: datetime,
    ) -> Decision:
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
            revision=request.revision,
            stage=admitted.stage,
            acted_as=admitted.acted_as,
            reviewed_from=admitted.reviewed_from,
        )
        return replace(decision, seal=self._ports.sealer.seal_decision(decision))


def _event_of(kind: RequestKind, verdict: Verdict, counted: Tally) -> Event:
    """What a verdict does. A drill ends with the first one, whoever else is to be asked, and not approved."""
    if kind is RequestKind.CANARY:
        return Deny() if verdict is Verdict.DENY else Cancel()
    if verdict is Verdict.APPROVE:
        return Approve(quorum_reached=counted.reached)
    return Deny(enough=counted.denied)


def _details(decision: Decision, status: RequestStatus) -> dict[str, JsonValue]:
    return {
        "decision_id": decision.decision_id,
        "verdict": decision.verdict.value,
        "reason": decision.reason,
        "conditions": decision.conditions,
        "channel": decision.channel,
        "assurance": decision.assurance.value,
        "action_digest": decision.action_digest,
        "display_digest": decision.display_digest,
        "revision": decision.revision,
        "stage": decision.stage,
        "groups": list[JsonValue](sorted(decision.acted_as.groups)),
        "acting_for": [each.person_id for each in decision.acted_as.acting_for],
        "status": status.value,
        "seal": decision.seal,
    }


def _decision_by(record: RequestRecord, person: str) -> Decision | None:
    key = person_key(person)
    return next((each for each in record.standing if person_key(each.person) == key), None)
