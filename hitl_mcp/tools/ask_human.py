"""`ask_human`: a typed answer of a person instead of a verdict."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from typing import Annotated, Final

from mcp_types import ToolAnnotations
from pydantic import AfterValidator, Field, JsonValue

from hitl_mcp.approvals.dialogue import MAX_QUESTION
from hitl_mcp.approvals.human_questions import MAX_CHOICE, MAX_CHOICES, HumanQuestion
from hitl_mcp.approvals.models import DEFAULT_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS, MIN_TIMEOUT_SECONDS
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.interface.arguments import Arguments, Text, WaitSeconds, not_blank, parse_arguments
from hitl_mcp.interface.dialogue import HumanAnswer
from hitl_mcp.interface.views import ApprovalViews
from hitl_mcp.tools.tool import Call
from hitl_mcp.tools.waiting import Ladder, default_wait_seconds
from server_kit.mcp_tools import ToolDefinition

_NOTHING_ASKED: Final = "Nobody was asked and nothing was stored, because:"
_DESCRIPTION: Final = (
    "Ask people a question and get a typed answer: one of choices, a value that fits answer_schema, or text. "
    "Returns ANSWERED with answer, or DECLINED, TIMEOUT, CANCELLED, or PENDING when nobody has answered yet: "
    "then call check_status with question_id as request_id. No answer is never an answer, and an answer "
    "approves nothing: for that call request_approval. The same question again, while it is PENDING, returns "
    "the same one and asks nobody twice."
)


class AskHumanArguments(Arguments):
    """Arguments of `ask_human`."""

    question: Annotated[
        Text,
        Field(min_length=1, max_length=MAX_QUESTION, description="What you want to know, in plain words"),
        AfterValidator(not_blank),
    ]
    choices: Annotated[
        tuple[Annotated[Text, Field(min_length=1, max_length=MAX_CHOICE)], ...] | None,
        Field(strict=False, max_length=MAX_CHOICES, description="The answers to choose one from"),
    ] = None
    answer_schema: Annotated[
        dict[str, JsonValue] | None,
        Field(
            description="JSON Schema (draft 2020-12) that the answer has to fit. A flat object of strings, "
            "numbers, booleans and enums is shown as a form. No $ref and no pattern; 8 KiB at most"
        ),
    ] = None
    timeout_seconds: Annotated[
        int | None,
        Field(
            ge=MIN_TIMEOUT_SECONDS,
            le=MAX_TIMEOUT_SECONDS,
            description="How long people may take before it ends unanswered; "
            f"{DEFAULT_TIMEOUT_SECONDS} when left out",
        ),
    ] = None
    wait_seconds: WaitSeconds = None


def ask_human(
    service: ApprovalService, views: ApprovalViews, ladder: Ladder
) -> ToolDefinition[Call, HumanAnswer]:
    """The tool on this service."""

    async def run(call: Call) -> HumanAnswer:
        arguments = parse_arguments(AskHumanArguments, dict(call.arguments), consequence=_NOTHING_ASKED)
        question = HumanQuestion(arguments.question, arguments.choices or (), arguments.answer_schema)
        record = await service.ask_human(call.agent, question, timeout_seconds=arguments.timeout_seconds)
        wait_seconds = arguments.wait_seconds
        if wait_seconds is None:
            wait_seconds = default_wait_seconds(call.context)
        record = await ladder.wait(
            record, call.context, wait_seconds, review_url=views.review_url(record.request.request_id)
        )
        return views.question(record)

    return ToolDefinition(
        name="ask_human",
        title="Ask people a question",
        description=_DESCRIPTION,
        input_schema=AskHumanArguments.model_json_schema(),
        answer=HumanAnswer,
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True
        ),
        run=run,
    )
