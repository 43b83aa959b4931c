"""Cards as channels are given them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hitl_contract.display import render_action, safe_text
from hitl_mcp.approvals.models import Assurance, RequestStatus, RiskLevel
from hitl_mcp.notifiers.base import Card
from tests.approvals.world import program

REQUEST = "req_mzxw6ytboi4hk3dqnrswc5dfoi"


def make_card(
    code: str = "print(6 * 7)\n",
    *,
    justification: str = "to know the answer",
    summary: str | None = None,
    risk: RiskLevel = RiskLevel.LOW,
    assurance: Assurance = Assurance.CHAT,
    review_url: str = "https://approvals.example.com/requests/1",
) -> Card:
    now = datetime.now(UTC)
    return Card(
        request_id=REQUEST,
        version=1,
        status=RequestStatus.PENDING,
        agent="agent-1",
        risk_level=risk,
        justification=safe_text(justification, multiline=True),
        summary=None if summary is None else safe_text(summary),
        display=render_action(program(code)),
        action_digest="sha-256:" + "A" * 43,
        created_at=now,
        expires_at=now + timedelta(hours=1),
        review_url=review_url,
        required_assurance=assurance,
        nonce="n" * 43,
    )


def ended(card: Card, status: RequestStatus = RequestStatus.APPROVED, by: str | None = "anna") -> Card:
    return replace(
        card, status=status, version=card.version + 1, decided_by=() if by is None else (by,), reason=None
    )


def shared(*codes: str) -> Card:
    """One card of a request for each of these programs."""
    items = [
        replace(
            make_card(code, justification=f"reason {number}"),
            request_id=REQUEST if number == 0 else f"req_other{number}",
            action_digest="sha-256:" + f"{codes.index(code)}" * 43,
            agent=f"agent-{number}",
        )
        for number, code in enumerate(codes)
    ]
    return replace(items[0], others=tuple(items[1:]))


def squeezed(text: str) -> str:
    """Text without what a channel may add between lines."""
    return "".join(text.split())
