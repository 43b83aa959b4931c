"""The proof that an approval is real: what stands between the database and a token.

`prove` believes nothing that is stored because it is stored. A request is approved when, in this order:

1. the request's seal holds: agent, action, quorum and times are those this server accepted; and a token id
   that is stored is the one the request has for life;
2. the action's bytes have the digest that the request names;
3. it says approved, and is not revoked;
4. each decision's seal holds, it names this request, this digest and this rendering, and an approval came
   over a channel that is good enough;
5. the audit trail has this request's creation and each of its decisions as sealed, and no decision besides,
   no other end and no revocation;
6. those who approved are enough distinct people, the requester not among them;
7. those who approved may still decide now;
8. the approval's own validity, counted from the sealed decision that completed the quorum, has not passed.

Only then is there a `ProvenApproval`; the minter takes nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hitl_contract.action import action_digest
from hitl_contract.audit_chain import AuditEntry
from hitl_mcp.approvals import events
from hitl_mcp.approvals.errors import ApprovalExpired, NotApproved, NotEligible, Revoked, SealBroken
from hitl_mcp.approvals.models import ApprovalRequest, Decision, RequestRecord, RequestStatus, Verdict
from hitl_mcp.approvals.quorum import Vote, tally
from hitl_mcp.approvals.sealer import Sealer


@dataclass(frozen=True, slots=True)
class ProvenApproval:
    """An approval that passed every check of `prove`; made by nothing else."""

    request: ApprovalRequest
    approvals: tuple[Decision, ...]
    token_id: str
    valid_until: datetime


def prove(
    record: RequestRecord,
    trail: Sequence[AuditEntry],
    *,
    sealer: Sealer,
    eligible: Collection[str],
    validity: timedelta,
    now: datetime,
) -> ProvenApproval:
    """Check `record` against its seals and its audit `trail` (the entries about it, oldest first).

    `eligible` holds the ids of the deciders who may decide at `now`.

    Raises:
        SealBroken: what is stored is not what this server wrote (1, 2, 4, 5, 6).
        NotApproved, Revoked: 3.
        NotEligible: 7.
        ApprovalExpired: 8.
    """
    request = record.request
    if not sealer.request_holds(request):  # 1
        raise SealBroken(request.request_id, "the request's seal does not hold")
    token_id = sealer.token_id(request.request_id)
    if request.token_id not in {None, token_id}:
        raise SealBroken(request.request_id, "the stored token id is not the request's own")
    if action_digest(request.action) != request.action_digest:  # 2
        raise SealBroken(request.request_id, "the stored action is not the one its digest names")
    if request.status is not RequestStatus.APPROVED:  # 3
        raise NotApproved(request.request_id, request.status.value)
    if request.revoked_at is not None:
        raise Revoked(request.request_id)
    for decision in record.decisions:  # 4
        _check_decision(request, decision, sealer)
    _check_trail(record, trail)  # 5
    votes = [Vote(decision.person, decision.verdict) for decision in record.decisions]
    if not tally(votes, required=request.required_approvals, requester=request.agent).reached:  # 6
        raise SealBroken(request.request_id, "the sealed decisions do not make the quorum")
    if not tally(
        votes, required=request.required_approvals, requester=request.agent, eligible=eligible
    ).reached:  # 7
        raise NotEligible(
            f"Not enough of those who approved request {request.request_id} may still decide. "
            "Ask for approval again."
        )
    valid_until = max(decision.decided_at for decision in record.decisions) + validity
    if now >= valid_until:  # 8
        raise ApprovalExpired(request.request_id)
    return ProvenApproval(request, record.decisions, token_id, valid_until)


def _check_decision(request: ApprovalRequest, decision: Decision, sealer: Sealer) -> None:
    if not sealer.decision_holds(decision):
        raise SealBroken(request.request_id, f"the seal of decision {decision.decision_id} does not hold")
    named = (decision.request_id, decision.action_digest, decision.display_digest)
    if named != (request.request_id, request.action_digest, request.display_digest):
        raise SealBroken(request.request_id, f"decision {decision.decision_id} is about something else")
    strong_enough = decision.assurance.satisfies(request.required_assurance)
    if decision.verdict is Verdict.APPROVE and not strong_enough:
        raise SealBroken(request.request_id, f"decision {decision.decision_id} came over too weak a channel")


def _check_trail(record: RequestRecord, trail: Sequence[AuditEntry]) -> None:
    request = record.request
    created = [entry.details.get("seal") for entry in trail if entry.event == events.CREATED]
    if created != [request.seal]:
        raise SealBroken(request.request_id, "the audit trail does not have the request's creation")
    decided = sorted(str(entry.details.get("seal")) for entry in trail if entry.event == events.DECIDED)
    if decided != sorted(decision.seal for decision in record.decisions):
        raise SealBroken(request.request_id, "the audit trail and the stored decisions differ")
    if any(entry.event == events.REVOKED for entry in trail):
        raise Revoked(request.request_id)
    if any(entry.event in {events.TIMED_OUT, events.CANCELLED} for entry in trail):
        raise SealBroken(request.request_id, "the audit trail has the request ended otherwise")
