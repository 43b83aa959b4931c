"""What the inbox tells people about their requests, in one place and one tone."""

from __future__ import annotations

from hitl_mcp.approvals.models import RequestRecord, Verdict
from hitl_mcp.notifiers.base import InboxAnswer
from hitl_mcp.notifiers.cards import build_card, name_of
from hitl_mcp.notifiers.wording import headline, moment


def not_linked(channel: str, external_user_id: str) -> InboxAnswer:
    account = name_of(external_user_id)
    return InboxAnswer(
        f"Your {channel} account ({account}) is not linked to an approver here. Nothing was decided. "
        "Ask an administrator to link it."
    )


def no_such_request(request_id: str) -> InboxAnswer:
    return InboxAnswer(f"There is no request {name_of(request_id)} to decide here.")


def how_it_ended(record: RequestRecord) -> InboxAnswer:
    card = build_card(record, review_url="", nonce="")
    return InboxAnswer(f"This request has ended: {headline(card)}. Nothing changed.", ended=True)


def thanks(record: RequestRecord, verdict: Verdict) -> InboxAnswer:
    if record.request.drill_notice is not None:
        return InboxAnswer(record.request.drill_notice, decided=True, ended=True)
    if record.request.status.is_terminal:
        return InboxAnswer("Approved." if verdict is Verdict.APPROVE else "Denied.", decided=True, ended=True)
    given = f"{record.received_approvals} of {record.request.required_approvals}"
    return InboxAnswer(f"Your approval is recorded: {given}.", decided=True)


def line_of(record: RequestRecord) -> str:
    request = record.request
    agent = name_of(request.agent)
    return (
        f"{request.request_id}  {request.risk_level.value} risk, {agent}, until {moment(request.expires_at)}"
    )
