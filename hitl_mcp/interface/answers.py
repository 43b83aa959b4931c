"""What the tools and the REST API answer: the one model of a request's state, and how a record becomes it."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from hitl_mcp.approvals.models import RequestKind, RequestStatus, RiskLevel, Verdict
from hitl_mcp.interface.answer_model import AnswerModel
from hitl_mcp.interface.dialogue import QuestionBackAnswer

__all__ = ["AnswerModel", "ApprovalAnswer", "ApprovalCount", "ApprovalList", "DecisionAnswer"]


class ApprovalCount(AnswerModel):
    """How many approvals are needed, and how many there are."""

    required: Annotated[int, Field(description="Approvals by different people that are needed")]
    received: Annotated[int, Field(description="Approvals by different people so far")]


class DecisionAnswer(AnswerModel):
    """One person's decision."""

    verdict: Verdict
    approver: Annotated[str, Field(description="Who decided")]
    reason: str | None
    conditions: Annotated[str | None, Field(description="Conditions the approver attached")]
    at: datetime
    channel: Annotated[str, Field(description="Where it was decided: web, cli, slack, telegram, ...")]


class ApprovalAnswer(AnswerModel):
    """The state of a request for approval."""

    request_id: str
    status: Annotated[
        RequestStatus,
        Field(
            description="PENDING: a person has not decided yet. APPROVED: use capability_token now. "
            "DENIED, TIMEOUT, CANCELLED: final, the action must not be done. ANSWERED: a question of "
            "ask_human was answered"
        ),
    ]
    needs_approval: Annotated[bool, Field(description="Whether people are asked about this action")]
    auto_approved: Annotated[bool, Field(description="Whether a rule approved it without asking anybody")]
    risk_level: RiskLevel
    action_digest: Annotated[str, Field(description="SHA-256 of the canonical action: what is approved")]
    policy: Annotated[str, Field(description="Name of the rule that applied")]
    explanation: Annotated[str, Field(description="Why that rule applied")] = ""
    approvals: ApprovalCount
    decisions: tuple[DecisionAnswer, ...]
    effective_action: Annotated[
        dict[str, JsonValue] | None,
        Field(description="The action as an approver edited it; null when it stands as requested"),
    ] = None
    expires_at: Annotated[datetime, Field(description="When a pending request ends in TIMEOUT")]
    poll_after_seconds: Annotated[
        int | None, Field(description="While PENDING: ask again with check_status after this many seconds")
    ] = None
    review_url: Annotated[str, Field(description="Page where a person can review and decide")]
    capability_token: Annotated[
        str | None,
        Field(description="Give this to the executor's execute tool: it runs this one action, once"),
    ] = None
    token_expires_at: datetime | None = None
    kind: Annotated[
        Literal[RequestKind.ACTION, RequestKind.QUESTION],
        Field(description="action: asks for approval. question: was asked with ask_human"),
    ] = RequestKind.ACTION
    answer: Annotated[
        JsonValue, Field(description="A person's answer to a question, once it is ANSWERED")
    ] = None
    questions: Annotated[
        tuple[QuestionBackAnswer, ...],
        Field(
            description="What people asked you about this request. Answer the first that has no answer with "
            "check_status(request_id, answer='…')"
        ),
    ] = ()
    next_step: Annotated[str, Field(description="What to do now")]


class ApprovalList(AnswerModel):
    """One page of requests, newest first."""

    requests: tuple[ApprovalAnswer, ...]
    next_cursor: Annotated[
        str | None, Field(description="Give this as cursor for the next page; null on the last one")
    ] = None
