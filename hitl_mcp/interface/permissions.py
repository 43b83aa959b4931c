"""Permission for one call of a client's own tool: asked for like any action, and good for that one call.

No capability token is minted, as the client itself makes the call. The answer uses the approval up:

1. the same `tool_use_id` again is told the same, and asks nobody;
2. another call, even of the same action, needs an approval of its own;
3. whatever is not an approval, an error and a person who has not decided yet included, is a denial.
"""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, model_serializer

from hitl_contract.errors import ContractError
from hitl_mcp.approvals.errors import AlreadySpent
from hitl_mcp.approvals.models import RequestRecord, RequestStatus, Submission
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.errors import HitlError
from hitl_mcp.interface.answers import AnswerModel
from hitl_mcp.interface.arguments import Arguments, InvalidArguments, Text, parse_arguments
from hitl_mcp.interface.tool_uses import ToolUse, action_of, approved_input
from hitl_mcp.interface.views import ApprovalViews
from server_kit.errors import ServerError
from server_kit.identifiers import new_identifier

HELD_SECONDS: Final = 240
_ATTEMPTS: Final = 5
_NOT_ASKED: Final = "The call is not allowed and nobody was asked, because:"
_LONGEST_DESCRIPTION: Final = 1000

Wait = Callable[[RequestRecord], Awaitable[RequestRecord]]


class PermissionArguments(Arguments):
    """Arguments of `permission_prompt`."""

    tool_name: Annotated[Text, Field(min_length=1, max_length=180, description="The tool to be called")]
    input: Annotated[dict[str, JsonValue], Field(description="The input it is to be called with")]
    tool_use_id: Annotated[
        Text | None,
        Field(
            min_length=1,
            max_length=200,
            description="The one call this is about: asking again with the same id gives the same answer",
        ),
    ] = None


class PermissionAnswer(AnswerModel):
    """The answer in the shape that Claude Code expects of a permission prompt."""

    behavior: Annotated[
        Literal["allow", "deny"], Field(description="Whether the call may be made, this once")
    ]
    updatedInput: Annotated[  # noqa: N815 - the client's spelling
        dict[str, JsonValue] | None, Field(description="When allowed: the input to make the call with")
    ] = None
    message: Annotated[str | None, Field(description="When denied: why, and what to do")] = None
    undecided: Annotated[
        Literal[True] | None, Field(description="True when denied only because nobody has decided yet")
    ] = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class Permissions:
    """Asks for permissions through the approval service."""

    def __init__(self, service: ApprovalService, views: ApprovalViews) -> None:
        self._service = service
        self._views = views

    async def answer(
        self, agent: str, given: object, wait: Wait, *, cwd: str | None = None
    ) -> PermissionAnswer:
        """Ask, wait as `wait` does, and use the approval up. What is refused is denied, not raised."""
        try:
            arguments = parse_arguments(PermissionArguments, given, consequence=_NOT_ASKED)
            use = ToolUse(arguments.tool_name, arguments.input, cwd)
            return await self._ask(agent, arguments, use, wait)
        except (InvalidArguments, HitlError, ContractError) as error:
            return _denied(str(error))
        except ServerError as error:
            return _denied(f"The approval server cannot ask right now: {error}. Try again in a few seconds.")

    async def _ask(
        self, agent: str, arguments: PermissionArguments, use: ToolUse, wait: Wait
    ) -> PermissionAnswer:
        call = arguments.tool_use_id or new_identifier("use")
        for attempt in range(1, _ATTEMPTS + 1):
            submission = _submission(use, call if arguments.tool_use_id else None, attempt)
            record = await wait(await self._service.submit(agent, submission))
            if record.request.status is not RequestStatus.APPROVED:
                return self._refused(record)
            try:
                spent = await self._service.spend(agent, record.request.request_id, use=f"claude-code:{call}")
            except AlreadySpent:
                # An equal call that asked at the same time was attached to the same request, and was first.
                continue
            return PermissionAnswer(behavior="allow", updatedInput=approved_input(use, spent.request.action))
        return _denied("Too many equal calls at the same time. Make this call again.")

    def _refused(self, record: RequestRecord) -> PermissionAnswer:
        if record.request.status is not RequestStatus.PENDING:
            return _denied(self._views.without_token(record).next_step)
        url = self._views.review_url(record.request.request_id)
        message = (
            f"Nobody has decided yet about request {record.request.request_id}. Do not work around it: make "
            f"the same call again, which goes on waiting for the same decision. A person decides at {url}"
        )
        return PermissionAnswer(behavior="deny", message=message, undecided=True)


def _submission(use: ToolUse, call: str | None, attempt: int) -> Submission:
    key = None
    if call is not None:
        key = f"claude-code:{call}" if attempt == 1 else f"claude-code:{call}:{attempt}"
    said = use.tool_input.get("description")
    because = f" It says: {said[:_LONGEST_DESCRIPTION]}" if isinstance(said, str) and _storable(said) else ""
    metadata: dict[str, JsonValue] = {"asked_by": "claude-code", "tool_name": use.tool_name}
    if call is not None:
        metadata["tool_use_id"] = call
    return Submission(
        action=action_of(use),
        justification=f"Claude Code is about to use {use.tool_name}.{because}",
        idempotency_key=key,
        metadata=metadata,
    )


def _storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _denied(message: str) -> PermissionAnswer:
    return PermissionAnswer(behavior="deny", message=message)
