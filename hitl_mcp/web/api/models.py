"""Arguments and answers that only the REST API has."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from hitl_contract.action import canonical_action
from hitl_contract.canonical import parse_strict_json
from hitl_contract.display import render_action
from hitl_mcp.approvals.models import Conditions, RequestRecord, Verdict
from hitl_mcp.approvals.standing import Standing, standing_of
from hitl_mcp.interface.answers import AnswerModel, ApprovalAnswer
from hitl_mcp.interface.arguments import MAX_WAIT_SECONDS, Arguments, Reason, Text
from hitl_mcp.interface.views import ApprovalViews

DEFAULT_POLL_SECONDS = 30


class DisplayAnswer(AnswerModel):
    """The rendering that people decide on."""

    text: str
    digest: str
    warnings: tuple[str, ...]


class ReviewAnswer(ApprovalAnswer):
    """A request as a person sees it: with the whole action and its rendering, never with a token."""

    agent: str
    justification: str
    summary: str | None
    created_at: datetime
    decided_at: datetime | None
    ended_by: str | None
    ended_reason: str | None
    revision: Annotated[int, Field(description="How often people edited the action")]
    proposed_digest: Annotated[str, Field(description="Digest of the action that the agent asked for")]
    revoked_at: datetime | None
    revocation: Annotated[
        str | None, Field(description="What revoking did and did not do; of one request, not in lists")
    ] = None
    drill: Annotated[
        str | None, Field(description="Of a drill that has ended: that it was one, and what gave it away")
    ] = None
    standing: Annotated[
        Standing, Field(description="What the rule asks, who gave it, what is missing, how risk was assessed")
    ]
    action: dict[str, Any]
    display: DisplayAnswer


def review_answer(views: ApprovalViews, record: RequestRecord, *, now: datetime) -> ReviewAnswer:
    """The answer for a person, as the request stands at `now`."""
    request, display = record.request, render_action(record.request.action)
    return ReviewAnswer.model_validate(
        {
            **views.without_token(record).model_dump(),
            "agent": request.agent,
            "justification": request.justification,
            "summary": request.summary,
            "created_at": request.created_at,
            "decided_at": request.decided_at,
            "ended_by": request.ended_by,
            "ended_reason": request.ended_reason,
            "revision": request.revision,
            "proposed_digest": request.asked_digest,
            "revoked_at": request.revoked_at,
            "drill": request.drill_notice,
            "standing": standing_of(record, now),
            "action": parse_strict_json(canonical_action(request.action)),
            "display": {"text": display.text, "digest": display.digest, "warnings": display.warnings},
        }
    )


class ReviewList(AnswerModel):
    """One page of everybody's requests, newest first."""

    requests: tuple[ReviewAnswer, ...]
    next_cursor: str | None = None


Channel = Annotated[Literal["api", "cli"], Field(description="Where you decide")]
ReviewedDigest = Annotated[
    Text, Field(max_length=100, description="Digest of the action that you reviewed: another one is refused")
]
LimitName = Annotated[Text, Field(min_length=1, max_length=100)]
LimitGiven = (
    int
    | float
    | Annotated[Text, Field(max_length=300)]
    | Annotated[tuple[Annotated[Text, Field(max_length=300)], ...], Field(strict=False, max_length=64)]
)


class ConditionsArguments(Arguments):
    """Conditions of an approval."""

    offered: Annotated[
        tuple[Annotated[Text, Field(max_length=200)], ...],
        Field(strict=False, max_length=20, description="Names of conditions that the rule offers"),
    ] = ()
    limits: Annotated[
        dict[LimitName, LimitGiven],
        Field(
            default_factory=dict[str, LimitGiven],
            max_length=20,
            description="Tighter limits, such as limits.wall_seconds: 5, network.mode: none, network.domains "
            "or profile",
        ),
    ]

    def conditions(self) -> Conditions:
        return Conditions(self.offered, self.limits)


class DenyArguments(Arguments):
    """Body of `deny`."""

    reason: Annotated[Reason | None, Field(description="Why, for the agent and the record")] = None
    action_digest: Annotated[
        ReviewedDigest | None,
        Field(
            description="Digest of what the person saw; needed to approve what was edited since it was asked"
        ),
    ] = None
    channel: Channel = "api"


class ApproveArguments(DenyArguments):
    """Body of `approve`."""

    conditions: Annotated[
        ConditionsArguments | None,
        Field(description="Conditions of the approval: they become part of what is approved"),
    ] = None


class EditArguments(Arguments):
    """Body of `edit`. `action` is checked by the contract, not here."""

    action: Annotated[object, Field(description="The whole action as it shall be; its type stays")]
    action_digest: Annotated[ReviewedDigest, Field(description="Digest of the action that you edited")]
    reason: Annotated[Reason | None, Field(description="Why, for the agent and the record")] = None
    channel: Channel = "api"


class BatchItemArguments(Arguments):
    """One verdict of several."""

    request_id: Annotated[Text, Field(min_length=1, max_length=100)]
    action_digest: ReviewedDigest
    verdict: Annotated[Verdict, Field(strict=False, description="approve or deny")]


class BatchArguments(Arguments):
    """Body of `batch`."""

    items: Annotated[
        tuple[BatchItemArguments, ...],
        Field(strict=False, min_length=1, max_length=100, description="One verdict for each request"),
    ]
    reason: Annotated[Reason | None, Field(description="Why, for all of them")] = None
    channel: Channel = "api"


class RefusalAnswer(AnswerModel):
    """Why one of several was not decided."""

    code: str
    detail: str


class BatchItemAnswer(AnswerModel):
    """What became of one item: the request as it is now, or why it was not decided."""

    request_id: str
    decided: bool
    approval: ReviewAnswer | None
    refusal: RefusalAnswer | None


class BatchAnswer(AnswerModel):
    """What became of each item, in the order given."""

    batch_id: Annotated[str, Field(description="Is in the evidence of each decision that was made")]
    results: tuple[BatchItemAnswer, ...]


class WithdrawArguments(Arguments):
    """Body of `cancel` and `revoke`."""

    reason: Annotated[Reason | None, Field(description="Why, for the record")] = None


class WaitArguments(Arguments):
    """Query of `wait`."""

    timeout_seconds: Annotated[
        int, Field(ge=0, le=MAX_WAIT_SECONDS, description="How long to wait for the request to end")
    ] = DEFAULT_POLL_SECONDS


class SessionArguments(Arguments):
    """Body of `session`."""

    person: Annotated[Text, Field(min_length=1, max_length=200, description="Your name")]
    password: Annotated[str, Field(min_length=1, max_length=2000, description="Your password")]


class SessionAnswer(AnswerModel):
    """A new session."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - RFC 6749 section 5.1
    expires_in: Annotated[int, Field(description="Seconds until it ends")]
    expires_at: datetime
    person: str
    roles: tuple[str, ...]


class PersonAnswer(AnswerModel):
    """Whose session it is."""

    person: str
    display_name: str
    roles: tuple[str, ...]
    expires_at: datetime
