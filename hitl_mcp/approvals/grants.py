"""Grants: what a person allowed an agent in advance, and when that covers a request. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from hitl_contract.action import Action
from hitl_contract.canonical import digest_of_bytes
from hitl_mcp.approvals.capacity import ActedAs, Capacity
from hitl_mcp.approvals.documents import terms_text
from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.models import GRANT_POLICY, ApprovalRequest, Verdict
from hitl_mcp.approvals.quorum import Ballot, Electorate, person_key, still_holding, tally
from hitl_mcp.approvals.terms import RuleVerdict, Terms
from hitl_mcp.shapes.shape import Shape


@dataclass(frozen=True, slots=True)
class Grant:
    """A person's leave for one agent, derived from the request that they reviewed.

    `allowed` uses until `expires_at`, `used` so far; for a risk of at most `max_risk`; as long as `rule` asks
    on the terms of `terms_digest`. `wording` is what the person read, its digest what they confirmed.
    `assurance` is how well the channel proved who they are.
    """

    grant_id: str
    agent: str
    person: str
    shape: Shape
    wording: str
    wording_digest: str
    rule: str
    terms_digest: str
    max_risk: RiskLevel
    allowed: int
    used: int
    request_id: str
    channel: str
    assurance: Assurance
    reason: str | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str | None = None

    @property
    def policy(self) -> str:
        """The policy of the requests that this covers."""
        return f"{GRANT_POLICY}{self.grant_id}"

    @property
    def remaining(self) -> int:
        return max(0, self.allowed - self.used)

    def is_live(self, now: datetime) -> bool:
        """Whether it may cover one request more."""
        return self.in_force(now) and self.remaining > 0

    def in_force(self, now: datetime) -> bool:
        """Whether what it covered still holds."""
        return self.revoked_at is None and self.created_at <= now < self.expires_at


@dataclass(frozen=True, slots=True)
class GrantUse:
    """The `number`th use of a grant, for one request. `groups` are those that its person had then."""

    request_id: str
    grant_id: str
    number: int
    action_digest: str
    groups: frozenset[str]
    used_at: datetime
    seal: str


@dataclass(frozen=True, slots=True)
class GrantEvidence:
    """The use that approved a request, and its grant as it is now; both counted when they were read."""

    grant: Grant
    use: GrantUse


@dataclass(frozen=True, slots=True)
class GrantOffer:
    """A grant that covers a new request, which `request` then is."""

    grant: Grant
    request: ApprovalRequest
    groups: frozenset[str] = field(default_factory=frozenset[str])


def terms_digest(terms: Terms) -> str:
    """What a grant remembers of the terms that it was made under."""
    return digest_of_bytes(terms_text(terms).encode())


def why_not_grantable(terms: Terms) -> str | None:
    """Why a grant cannot fill such terms; None when it can. One person fills one seat and no more."""
    if terms.required_approvals != 1:
        return f"it needs {terms.required_approvals} approvals, and a grant is the approval of one person"
    if terms.minimum_review_seconds:
        return "each of these has to be reviewed for some time"
    return None


def why_not_covered(grant: Grant, *, agent: str, action: Action, risk: RiskLevel, terms: Terms) -> str | None:
    """Why this grant, in force, does not cover such a request; None when it does. In this order:

    1. it is for this agent;
    2. the risk is not above its ceiling, and not critical;
    3. the terms are those that it was made under, and one person can fill them;
    4. the channel on which it was made is good enough for them, and a reason is there if they ask for one;
    5. the action is of its shape.
    """
    if grant.agent != agent:  # 1
        return "it is for another agent"
    if risk is RiskLevel.CRITICAL or risk.rank > grant.max_risk.rank:  # 2
        return f"the risk is {risk.value}"
    if terms_digest(terms) != grant.terms_digest:  # 3
        return "the terms have changed"
    if reason := why_not_grantable(terms):
        return reason
    if not grant.assurance.satisfies(terms.required_assurance):  # 4
        return "it was made over too weak a channel"
    if terms.reason_required and not (grant.reason or "").strip():
        return "it gives no reason"
    return None if grant.shape.matches(action) else "the action is of another shape"  # 5


def seat_of(request: ApprovalRequest, person: str, groups: frozenset[str]) -> Ballot:
    """The approval that a use of a grant is: the person's own, never that of somebody they act for."""
    return Ballot(person, Verdict.APPROVE, request.created_at, 0, ActedAs(groups))


def fills_its_seat(
    request: ApprovalRequest, person: str, groups: frozenset[str], capacity: Capacity | None
) -> bool:
    """Whether this person's approval alone, in what is left of `groups` now, reaches the quorum.

    The requester and those whom the terms exclude never do.
    """
    if capacity is None or not request.terms.stages or request.verdict is not RuleVerdict.ASK:
        return False
    key = person_key(person)
    if key != person_key(capacity.person_id):
        return False
    holding = still_holding([seat_of(request, person, groups)], {key: capacity})
    electorate = Electorate(request.terms, request.agent, request.created_at)
    return tally(holding, electorate).reached
