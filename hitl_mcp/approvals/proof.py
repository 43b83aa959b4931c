"""The proof that an approval is real: what stands between the database and a token.

`prove` believes nothing that is stored because it is stored. A request is approved when, in this order:

1. the request's seal holds: agent, action, ruling, terms and times are those this server accepted; and a
   token id that is stored is the one the request has for life;
2. the action's bytes have the digest that the request names;
3. it asks for an action, says approved, and is not revoked;
4. each wording that an edit replaced or made is kept under its seal, from the agent's own to the approved;
5. each decision's seal holds, it names this request and the wording it was about, and an approval of the
   approved wording keeps the terms: a channel good enough, a reason, a review long enough;
6. the audit trail has this request's creation as that of an action, each of its edits and each of its
   decisions as sealed, and no decision besides, no other end and no revocation;
7. it was approved in exactly one of four ways:
   7a. by people: the rule asks, those who approved fill every seat of every stage, and too few denied;
   7b. by a rule: the sealed ruling allows, the trail has the rule allowing exactly this, and nobody decided;
   7c. by silence: the sealed terms say `UnsafeAutoApproveOnTimeout`, the time is up, the trail has that
       approval of exactly this, and nobody denied it in any wording;
   7d. by a grant: the trail has this one sealed use approving exactly this, within the grant's count; the
      sealed grant, not revoked, is for this agent and covers this action, risk and terms; its person's own
      approval alone made the quorum then; and nobody decided or edited;
8. where people or a grant approved, those who did fill every seat still, in the capacities they have now;
9. the approval's own validity, counted from the sealed decision that completed the quorum, from the ruling,
   from the use of a grant or from the end of the time, has not passed, and neither has the grant.

Only then is there a `ProvenApproval`; the minter takes nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from hitl_contract.action import action_digest
from hitl_contract.audit_chain import AuditEntry
from hitl_mcp.approvals import events
from hitl_mcp.approvals.ballots import ballots_of, electorate_of, review_start, wording_of
from hitl_mcp.approvals.canaries import kind_commitment
from hitl_mcp.approvals.capacity import Capacity
from hitl_mcp.approvals.errors import ApprovalExpired, NotApproved, NotEligible, Revoked, SealBroken
from hitl_mcp.approvals.grants import (
    Grant,
    GrantEvidence,
    fills_its_seat,
    seat_of,
    why_not_covered,
)
from hitl_mcp.approvals.models import (
    ApprovalRequest,
    Decision,
    RequestKind,
    RequestRecord,
    RequestStatus,
    Verdict,
)
from hitl_mcp.approvals.quorum import Electorate, person_key, still_holding, tally
from hitl_mcp.approvals.sealer import Sealer
from hitl_mcp.approvals.terms import OnTimeout, RuleVerdict


class ApprovalWay(StrEnum):
    PEOPLE = "people"
    RULE = "rule"
    SILENCE = "silence"
    GRANT = "grant"


@dataclass(frozen=True, slots=True)
class ProvenApproval:
    """An approval that passed every check of `prove`; made by nothing else.

    `approvals` are the decisions that approved, none unless people did. `grant` is what approved, if one did.
    """

    request: ApprovalRequest
    approvals: tuple[Decision, ...]
    token_id: str
    valid_until: datetime
    way: ApprovalWay = ApprovalWay.PEOPLE
    grant: Grant | None = None


def prove(
    record: RequestRecord,
    trail: Sequence[AuditEntry],
    *,
    sealer: Sealer,
    capacities: Mapping[str, Capacity],
    validity: timedelta,
    now: datetime,
    granted: GrantEvidence | None = None,
) -> ProvenApproval:
    """Check `record` against its seals and its audit `trail` (the entries about it, oldest first).

    `capacities` are those of the deciders at `now`, by person key; who may not decide now has none. `granted`
    is the use of a grant for this request and that grant now, read through the register of sealed rows.

    Raises:
        SealBroken: what is stored is not what this server wrote (1, 2, 4, 5, 6, 7).
        NotApproved, Revoked: 3, and Revoked for a grant that was.
        NotEligible: 8.
        ApprovalExpired: 9.
    """
    request = record.request
    if not sealer.request_holds(request):  # 1
        raise SealBroken(request.request_id, "the request's seal does not hold")
    token_id = sealer.token_id(request.request_id)
    if request.token_id not in {None, token_id}:
        raise SealBroken(request.request_id, "the stored token id is not the request's own")
    if action_digest(request.action) != request.action_digest:  # 2
        raise SealBroken(request.request_id, "the stored action is not the one its digest names")
    if request.kind is not RequestKind.ACTION or request.status is not RequestStatus.APPROVED:  # 3
        raise NotApproved(request.request_id, request.status.value)
    if request.revoked_at is not None:
        raise Revoked(request.request_id)
    _check_revisions(record, sealer)  # 4
    for decision in record.decisions:  # 5
        _check_decision(record, decision, sealer)
    _check_trail(record, trail, sealer)  # 6
    way, since = _way(record, trail, granted, now)  # 7
    until = since + validity
    if way is ApprovalWay.PEOPLE:
        holding = still_holding(ballots_of(record), capacities)
        if not tally(holding, electorate_of(record)).reached:  # 8
            raise NotEligible(
                f"Not enough of those who approved request {request.request_id} may still decide. "
                "Ask for approval again."
            )
    grant = granted.grant if granted is not None and way is ApprovalWay.GRANT else None
    if granted is not None and grant is not None:
        capacity = capacities.get(person_key(grant.person))
        if not fills_its_seat(request, grant.person, granted.use.groups, capacity):  # 8
            raise NotEligible(
                f"{grant.person}, whose {grant.policy} covered request {request.request_id}, may not decide "
                "it any more. Ask for approval again."
            )
        until = min(until, grant.expires_at)
    if now >= until:  # 9
        raise ApprovalExpired(request.request_id)
    return ProvenApproval(request, _approvals(record), token_id, until, way, grant)


def _approvals(record: RequestRecord) -> tuple[Decision, ...]:
    return tuple(each for each in record.standing if each.verdict is Verdict.APPROVE)


def _check_revisions(record: RequestRecord, sealer: Sealer) -> None:
    request = record.request
    if not all(sealer.revision_holds(each) for each in record.revisions):
        raise SealBroken(request.request_id, "the seal of a revision does not hold")
    if any(each.request_id != request.request_id for each in record.revisions):
        raise SealBroken(request.request_id, "a stored revision is of another request")
    numbers = [each.revision for each in record.revisions]
    if numbers != (list(range(request.revision + 1)) if request.revision else []):
        raise SealBroken(request.request_id, "the stored revisions are not those the request names")
    if not record.revisions:
        if request.proposed_digest is not None:
            raise SealBroken(request.request_id, "the wording that the agent proposed is not stored")
        return
    first, last = record.revisions[0], record.revisions[-1]
    if first.action_digest != request.proposed_digest:
        raise SealBroken(request.request_id, "the first revision is not what the agent proposed")
    if (last.action_digest, last.display_digest) != (request.action_digest, request.display_digest):
        raise SealBroken(request.request_id, "the last revision is not what the request names")


def _check_decision(record: RequestRecord, decision: Decision, sealer: Sealer) -> None:
    request = record.request
    if not sealer.decision_holds(decision):
        raise SealBroken(request.request_id, f"the seal of decision {decision.decision_id} does not hold")
    wording = wording_of(record, decision.revision)
    named = (decision.request_id, decision.action_digest, decision.display_digest)
    if wording is None or named != (request.request_id, wording.action_digest, wording.display_digest):
        raise SealBroken(request.request_id, f"decision {decision.decision_id} is about something else")
    if decision.verdict is Verdict.DENY or decision.revision != request.revision:
        return
    terms = request.terms
    if not decision.assurance.satisfies(terms.required_assurance):
        raise SealBroken(request.request_id, f"decision {decision.decision_id} came over too weak a channel")
    if terms.reason_required and not (decision.reason or "").strip():
        raise SealBroken(request.request_id, f"decision {decision.decision_id} gives no reason")
    if terms.minimum_review_seconds:
        review = timedelta(seconds=terms.minimum_review_seconds)
        seen = decision.reviewed_from
        since = review_start(record, decision.revision, decision.person)
        if since is None or seen is None or seen < since or decision.decided_at < seen + review:
            raise SealBroken(request.request_id, f"decision {decision.decision_id} came too soon")


def _check_trail(record: RequestRecord, trail: Sequence[AuditEntry], sealer: Sealer) -> None:
    request = record.request
    created = _seals(trail, events.CREATED)
    edited = _seals(trail, events.EDITED)
    if len(created) != 1 or len(edited) != request.revision or [*created, *edited][-1] != request.seal:
        raise SealBroken(request.request_id, "the audit trail does not have the request's creation and edits")
    kept = [str(e.details.get("revision_seal")) for e in trail if e.event == events.EDITED]
    if kept != [each.seal for each in record.revisions[1:]]:
        raise SealBroken(request.request_id, "the audit trail and the stored revisions differ")
    committed = next(e.details.get("kind_commitment") for e in trail if e.event == events.CREATED)
    salt = sealer.kind_salt(request.request_id)
    # What the first release stored has none.
    if committed not in (None, kind_commitment(salt, request.request_id, RequestKind.ACTION)):
        raise SealBroken(request.request_id, "the audit trail has it as something else than an action")
    if sorted(_seals(trail, events.DECIDED)) != sorted(each.seal for each in record.decisions):
        raise SealBroken(request.request_id, "the audit trail and the stored decisions differ")
    if any(entry.event == events.REVOKED for entry in trail):
        raise Revoked(request.request_id)
    if any(entry.event in _OTHER_ENDS for entry in trail):
        raise SealBroken(request.request_id, "the audit trail has the request ended otherwise")


_OTHER_ENDS = frozenset({events.TIMED_OUT, events.CANCELLED, events.DENIED_BY_RULE, events.CANARY_FILED})


def _seals(trail: Sequence[AuditEntry], event: str) -> list[str]:
    return [str(entry.details.get("seal")) for entry in trail if entry.event == event]


def _way(
    record: RequestRecord, trail: Sequence[AuditEntry], granted: GrantEvidence | None, now: datetime
) -> tuple[ApprovalWay, datetime]:
    """In which way it was approved, and from when on that counts."""
    request = record.request
    allowed = _seals(trail, events.ALLOWED_BY_RULE)
    silent = _seals(trail, events.UNSAFELY_APPROVED_BY_TIMEOUT)
    uses = [entry for entry in trail if entry.event == events.APPROVED_BY_GRANT]
    if uses or request.is_granted:  # 7d
        if len(uses) != 1 or allowed or silent or record.decisions or request.revision:
            raise SealBroken(request.request_id, "the audit trail does not have a grant covering this alone")
        _check_grant(request, uses[0], granted)
        return ApprovalWay.GRANT, request.created_at
    if request.verdict is RuleVerdict.ALLOW:  # 7b
        if allowed != [request.seal] or silent or record.decisions or request.revision:
            raise SealBroken(request.request_id, "the audit trail does not have the rule allowing this alone")
        return ApprovalWay.RULE, request.created_at
    if request.verdict is not RuleVerdict.ASK or allowed:
        raise SealBroken(request.request_id, "the sealed ruling is not one that is approved")
    if silent:  # 7c
        unsafe = request.terms.on_timeout is OnTimeout.UNSAFE_AUTO_APPROVE
        denied = any(each.verdict is Verdict.DENY for each in record.decisions)
        if not unsafe or denied or silent != [request.seal] or now < request.expires_at:
            raise SealBroken(request.request_id, "the sealed terms do not let silence approve this")
        return ApprovalWay.SILENCE, request.expires_at
    if not tally(ballots_of(record), electorate_of(record)).reached:  # 7a
        raise SealBroken(request.request_id, "the sealed decisions do not make the quorum")
    return ApprovalWay.PEOPLE, max(each.decided_at for each in _approvals(record))


def _check_grant(request: ApprovalRequest, used: AuditEntry, granted: GrantEvidence | None) -> None:
    """That `granted` approved this request, and was not revoked since (7d)."""
    if granted is None:
        raise SealBroken(request.request_id, "no use of a grant that counts is stored for it")
    grant, use = granted.grant, granted.use
    if (used.details.get("seal"), used.details.get("use_seal")) != (request.seal, use.seal):
        raise SealBroken(request.request_id, "the audit trail has another use of a grant for it")
    named = (use.request_id, use.action_digest, use.grant_id, use.used_at, request.policy)
    if named != (
        request.request_id,
        request.action_digest,
        grant.grant_id,
        request.created_at,
        grant.policy,
    ):
        raise SealBroken(request.request_id, "the use of a grant is about something else")
    if not 1 <= use.number <= min(grant.used, grant.allowed):
        raise SealBroken(request.request_id, "the grant was used more often than it allows")
    if not grant.created_at <= use.used_at < grant.expires_at:
        raise SealBroken(request.request_id, "the grant was not in force when it was used")
    uncovered = why_not_covered(
        grant,
        agent=request.agent,
        action=request.action,
        risk=request.risk_level,
        terms=request.terms,
    )
    if request.verdict is not RuleVerdict.ASK or uncovered is not None:
        raise SealBroken(request.request_id, f"the grant does not cover it: {uncovered}")
    ballot = seat_of(request, grant.person, use.groups)
    if not tally([ballot], Electorate(request.terms, request.agent, request.created_at)).reached:
        raise SealBroken(request.request_id, "whoever gave the grant could not approve it")
    if grant.revoked_at is not None:
        raise Revoked(request.request_id)
