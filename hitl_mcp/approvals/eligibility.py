"""What a person may do about one request now, and in what capacity a decision is recorded."""

from __future__ import annotations

from datetime import datetime

from hitl_mcp.approvals.capacity import ActedAs, ActingFor, Capacity
from hitl_mcp.approvals.models import ApprovalRequest
from hitl_mcp.approvals.ports import ApprovalPorts
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.approvals.terms import Terms


async def capacity_for(
    ports: ApprovalPorts, request: ApprovalRequest, person: str, at: datetime
) -> Capacity | None:
    """None when this person may not decide about this request at `at`."""
    return await ports.people.capacity(
        person,
        at=at,
        agent=request.agent,
        action_type=request.action.type,
        risk=request.risk_level,
        request_id=request.request_id,
    )


def acting_as(capacity: Capacity, terms: Terms) -> ActedAs:
    """The part of a capacity that the terms ask for: what a decision is sealed with."""
    named = {quorum.group for stage in terms.stages for quorum in stage.quorums}
    named |= {group for level in terms.escalation for group in level.groups}
    wanted = {person_key(group) for group in named}
    people = {person_key(person) for level in terms.escalation for person in level.people}

    def relevant(groups: frozenset[str]) -> frozenset[str]:
        return frozenset(map(person_key, groups)) & wanted

    lent = [
        ActingFor(each.person_id, relevant(each.groups), each.delegation_id) for each in capacity.acting_for
    ]
    return ActedAs(
        relevant(capacity.groups),
        tuple(each for each in lent if each.groups or person_key(each.person_id) in people),
    )
