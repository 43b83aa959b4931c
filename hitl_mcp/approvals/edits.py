"""Editing what is asked for: a new wording, under the terms that its own rule sets, with a fresh quorum.

Proposed, edited and executed stay three records: the revisions keep every wording under its seal, the audit
log has each edit, and the executor's own log has what ran. An edit, in order:

1. the request exists, is pending and as this server stored it;
2. the person may decide it, and what they saw is what is asked for;
3. the terms let people edit; the channel is good enough to approve over; a reason is there if one is asked;
4. the wording is another one, an action of the same type, and there are not too many edits already;
5. no rule denies the new wording; its terms are those of both wordings, whichever ask for more;
6. decisions made before count for nothing from here on, and stay on record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.action import MAX_ACTION_BYTES, Action, canonical_action, parse_action
from hitl_contract.canonical import digest_of_bytes
from hitl_mcp.approvals import events
from hitl_mcp.approvals.ballots import electorate_of
from hitl_mcp.approvals.capacity import Capacity
from hitl_mcp.approvals.decisions import Decisions
from hitl_mcp.approvals.eligibility import acting_as
from hitl_mcp.approvals.errors import (
    ApprovalError,
    DigestChanged,
    EditRefused,
    InvalidSubmission,
    NotEligible,
)
from hitl_mcp.approvals.merging import stricter
from hitl_mcp.approvals.models import (
    SEAL_FORMAT,
    ApprovalRequest,
    DecisionInput,
    EditInput,
    RequestKind,
    RequestRecord,
    Revision,
    Submission,
    Verdict,
)
from hitl_mcp.approvals.outcomes import Refused, finished, load_record
from hitl_mcp.approvals.ports import ApprovalPorts, NotificationKind
from hitl_mcp.approvals.quorum import Ballot, person_key
from hitl_mcp.approvals.recording import Recorder, state_of
from hitl_mcp.approvals.rendering import rendered
from hitl_mcp.approvals.rulings import MAX_SEATS, Rulings
from hitl_mcp.approvals.state_machine import Edit, Refusal, transition
from hitl_mcp.approvals.terms import RuleVerdict, Ruling
from hitl_mcp.approvals.validation import check_decision

MAX_EDITS: Final = 20


@dataclass(frozen=True, slots=True)
class Wording:
    """An action that somebody wants instead, drawn and ruled on. `tightens`: it only allows less."""

    action: Action
    canonical: bytes
    digest: str
    display_digest: str
    ruling: Ruling
    tightens: bool = False


@dataclass(frozen=True, slots=True)
class Edited:
    """A record as it is after an edit, not written yet; `revisions` are those to be stored."""

    record: RequestRecord
    revisions: tuple[Revision, ...]
    wording: Wording
    before: ApprovalRequest


class Edits:
    def __init__(self, ports: ApprovalPorts, recorder: Recorder, decisions: Decisions) -> None:
        self._ports = ports
        self._recorder = recorder
        self._decisions = decisions
        self._rulings = Rulings(ports)

    async def edit(self, edit: EditInput) -> RequestRecord:
        """Change what is asked for; the request stays pending. See the module for the checks.

        Raises RequestNotFound, AlreadyEnded, SealBroken, NotEligible, DigestChanged, EditRefused,
        InvalidSubmission. Each but the first is recorded.
        """
        given = _as_decision(edit)
        check_decision(given)
        record, capacity = await self.looked_up(edit.request_id, edit.person)
        early = _ineligible(record, given, capacity, self._ports.clock.now())
        # Rules and assessors are not put to work for somebody who may not edit anyway.
        wording = early or await self.word(record.request, edit.action)

        async def operation(connection: AsyncConnection) -> RequestRecord | Refused:
            stored = await load_record(self._ports, connection, edit.request_id)
            now = self._ports.clock.now()
            edited = await self._decisions.unready(connection, stored, now)
            if edited is None and isinstance(wording, Wording):
                edited = self.prepare(stored, given, wording, capacity, now)
            edited = edited or early or DigestChanged(edit.request_id)
            if isinstance(edited, ApprovalError):
                return await self._decisions.refuse(connection, stored.request, edited, given)
            return await self.write(connection, edited, given)

        return await finished(self._ports, operation)

    async def looked_up(self, request_id: str, person: str) -> tuple[RequestRecord, Capacity | None]:
        """The request, and what the person may do about it. Raises RequestNotFound."""

        async def read(connection: AsyncConnection) -> RequestRecord:
            return await load_record(self._ports, connection, request_id)

        record = await self._ports.database.read(read)
        return record, await self._decisions.capacity(request_id, person)

    async def word(self, request: ApprovalRequest, action: Action, *, tightens: bool = False) -> Wording:
        """Draw an action and ask the rules about it. Raises InvalidSubmission when it is too large."""
        action = parse_action(action)
        canonical = canonical_action(action)
        if len(canonical) > MAX_ACTION_BYTES:
            raise InvalidSubmission("action", f"is {len(canonical)} bytes; {MAX_ACTION_BYTES} are allowed")
        submission = Submission(
            action=action,
            justification=request.justification,
            summary=request.summary,
            risk_level=request.risk_level,
            trace_id=request.trace_id,
            metadata=request.metadata,
        )
        ruled = await self._rulings.on(request.agent, submission)
        display = await rendered(action, len(canonical))
        return Wording(action, canonical, digest_of_bytes(canonical), display.digest, ruled.ruling, tightens)

    def prepare(
        self,
        record: RequestRecord,
        given: DecisionInput,
        wording: Wording,
        capacity: Capacity | None,
        now: datetime,
    ) -> Edited | ApprovalError:
        """Checks 2 to 5, and the record that the edit makes, sealed and not yet written."""
        refused = _refusal(record, given, wording, capacity, now)
        if refused is not None or capacity is None:
            return refused or NotEligible("nobody known")
        request = record.request
        ruling = wording.ruling
        asks = ruling.verdict is RuleVerdict.ASK
        terms = stricter(request.terms, ruling.terms if asks else request.terms)
        if terms.required_approvals > MAX_SEATS:
            return EditRefused(
                f"The edited action would need more than {MAX_SEATS} approvals. Deny it instead."
            )
        risk = max(request.risk_level, ruling.risk.level, key=lambda level: level.rank)
        changed = replace(
            request,
            action=wording.action,
            action_digest=wording.digest,
            display_digest=wording.display_digest,
            risk_level=risk,
            policy=ruling.rule if asks else request.policy,
            explanation=ruling.explanation,
            assessment=ruling.risk,
            terms=terms,
            required_approvals=terms.required_approvals,
            required_assurance=terms.required_assurance,
            revision=request.revision + 1,
            proposed_digest=request.asked_digest,
            seal_format=SEAL_FORMAT,
        )
        changed = replace(changed, seal=self._ports.sealer.seal_request(changed))
        new = [] if record.revisions else [self._revision(request, request.agent, None, request.created_at)]
        new.append(self._revision(changed, capacity.person_id, given.reason, now))
        after = RequestRecord(changed, record.decisions, (*record.revisions, *new))
        return Edited(after, tuple(new), wording, request)

    async def write(self, connection: AsyncConnection, edited: Edited, given: DecisionInput) -> RequestRecord:
        """Store an edit with its audit entry and its news, in the caller's transaction."""
        request, latest = edited.record.request, edited.revisions[-1]
        stored = replace(request, version=request.version + 1)
        await self._ports.store.revise(connection, stored, edited.wording.canonical, edited.revisions)
        await self._recorder.plan_deadlines(connection, stored)
        await self._recorder.announce(
            connection,
            stored,
            event=events.EDITED,
            actor=events.person_actor(latest.editor),
            details={
                "revision": latest.revision,
                "action_digest": latest.action_digest,
                "display_digest": latest.display_digest,
                "previous_digest": edited.before.action_digest,
                "proposed_digest": stored.proposed_digest,
                "reason": latest.reason,
                "channel": given.channel,
                "assurance": given.assurance.value,
                "policy": stored.policy,
                "required_approvals": stored.required_approvals,
                "revision_seal": latest.seal,
                "seal": stored.seal,
            },
            notification=NotificationKind.CHANGED,
        )
        return replace(edited.record, request=stored)

    def _revision(self, request: ApprovalRequest, editor: str, reason: str | None, at: datetime) -> Revision:
        made = Revision(
            request_id=request.request_id,
            revision=request.revision,
            action_digest=request.action_digest,
            display_digest=request.display_digest,
            editor=editor,
            reason=reason,
            at=at,
            seal="",
        )
        return replace(made, seal=self._ports.sealer.seal_revision(made))


def _as_decision(edit: EditInput) -> DecisionInput:
    return DecisionInput(
        request_id=edit.request_id,
        person=edit.person,
        verdict=Verdict.APPROVE,
        reason=edit.reason,
        channel=edit.channel,
        assurance=edit.assurance,
        action_digest=edit.action_digest,
        evidence=edit.evidence,
    )


def _refusal(
    record: RequestRecord, given: DecisionInput, wording: Wording, capacity: Capacity | None, now: datetime
) -> ApprovalError | None:
    request = record.request
    refused = _ineligible(record, given, capacity, now)  # 2
    if refused is not None:
        return refused
    if isinstance(transition(state_of(request), Edit(), now), Refusal):
        return EditRefused(f"Request {request.request_id} is {request.status.value}: it cannot be edited.")
    terms = request.terms
    if request.kind is RequestKind.QUESTION or not (terms.may_edit or wording.tightens):  # 3
        return EditRefused(
            f"The rule {request.policy} lets nobody edit this request. Approve it or deny it; the agent can "
            "ask for something else."
        )
    if not given.assurance.satisfies(terms.required_assurance):
        return NotEligible(
            f"A request of {request.risk_level.value} risk is not edited over {given.channel}. "
            "Open its page, sign in and edit it there."
        )
    if terms.reason_required and not (given.reason or "").strip():
        return InvalidSubmission("reason", f"is missing; the rule {request.policy} asks for one")
    if wording.action.type != request.action.type:  # 4
        return EditRefused(
            f"An edit keeps the type of the action, {request.action.type}; this one is {wording.action.type}."
        )
    if wording.digest == request.action_digest:
        return EditRefused("The edited action is the one that is asked for already. Nothing changed.")
    if request.revision >= MAX_EDITS:
        return EditRefused(
            f"Request {request.request_id} was edited {MAX_EDITS} times already. Deny it instead."
        )
    if wording.ruling.verdict is RuleVerdict.DENY:  # 5
        return EditRefused(
            f"The rule {wording.ruling.rule} denies the edited action: {wording.ruling.explanation}"
        )
    return None


def _ineligible(
    record: RequestRecord, given: DecisionInput, capacity: Capacity | None, now: datetime
) -> ApprovalError | None:
    request = record.request
    if capacity is None:
        return NotEligible(f"{given.person[:80]!r} is not known here as somebody who may decide.")
    if person_key(capacity.person_id) == person_key(request.agent):
        return NotEligible("Whoever asks does not edit. Somebody else has to.")
    # An earlier edit bars nobody from another one, whether or not editors count as approvers.
    electorate = replace(electorate_of(record), editors=())
    ballot = Ballot(capacity.person_id, Verdict.APPROVE, now, 0, acting_as(capacity, request.terms))
    if not electorate.may_decide(ballot):
        return NotEligible(f"{capacity.person_id} is not among those whom the rule {request.policy} asks.")
    if given.action_digest != request.action_digest:
        return DigestChanged(request.request_id)
    return None
