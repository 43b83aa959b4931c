"""What cards say of the rule and the risk, and where they offer no Approve."""

from __future__ import annotations

from dataclasses import replace

from hitl_mcp.approvals.models import RequestRecord, RiskLevel
from hitl_mcp.approvals.terms import GroupQuorum, RiskAssessment, RiskVote, Stage, Terms
from hitl_mcp.notifiers.cards import build_card
from hitl_mcp.notifiers.layout import lay_out
from hitl_mcp.notifiers.slack.blocks import layout_of as slack_layout
from hitl_mcp.notifiers.telegram.messages import layout_of as telegram_layout
from hitl_mcp.notifiers.wording import facts, why_no_approve
from tests.timers.asking import asked

STAGES = (Stage((GroupQuorum("security"), GroupQuorum("platform", 2))), Stage((GroupQuorum(),)))


def record(terms: Terms, reason: str = "deletes files") -> RequestRecord:
    votes = (
        RiskVote("claim", RiskLevel.LOW, "the agent says so"),
        RiskVote("slow", None, "took too long"),
        RiskVote("patterns", RiskLevel.MEDIUM, reason),
    )
    assessment = RiskAssessment(RiskLevel.MEDIUM, votes)
    request = replace(asked(terms), required_approvals=terms.required_approvals, assessment=assessment)
    return RequestRecord(request, ())


def test_a_card_says_in_one_line_each_what_the_rule_asks_and_why_the_risk_is_what_it_is() -> None:
    card = build_card(record(Terms(stages=STAGES)), review_url="https://a.example/r", nonce="n")
    assert card == build_card(record(Terms(stages=STAGES)), review_url="https://a.example/r", nonce="n")
    said = dict(facts(card))
    assert said["Rule"] == (
        "on-terms asks 1 from security and 2 from platform, then 1 approver; 0 of 4 so far"
    )
    assert said["Risk"] == "medium: deletes files"


def test_what_an_assessor_quotes_of_an_agent_is_inert_and_short() -> None:
    card = build_card(
        record(Terms(), reason="reads \u202eevil\n" + "x" * 5000), review_url="https://a.example/r", nonce="n"
    )
    said = dict(facts(card))["Risk"]
    assert "\u202e" not in said
    assert "\n" not in said
    assert len(said) < 300


def test_where_a_reason_is_asked_for_no_chat_offers_approve_and_the_card_says_where_to_give_one() -> None:
    for required in (False, True):
        card = build_card(
            record(Terms(reason_required=required)), review_url="https://a.example/r", nonce="n"
        )
        for layout in (lay_out(card, budget=16_000), slack_layout(card), telegram_layout(card)):
            assert layout.offers_approve is not required
            assert ("reason" in (why_no_approve(card, layout) or "")) is required
