"""The frame every tool is in: the caller named, arguments checked, errors worded, the answer typed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from executor_mcp.errors import ExecutorError, RefusalReason, Refused
from executor_mcp.interface.arguments import Arguments, input_schema
from executor_mcp.sandbox.errors import SandboxError
from executor_mcp.tools.caller import CallerResolver, require_agent
from hitl_contract.errors import InvalidAction
from server_kit.errors import ServerError

AnswerT = TypeVar("AnswerT", bound=BaseModel)


@dataclass(frozen=True)
class Call:
    """One call: which agent, if known, its arguments (not checked yet), and the channel back to it."""

    agent: str | None
    arguments: Mapping[str, object]
    context: Context[Any, Any]


@dataclass(frozen=True)
class ToolDefinition(Generic[AnswerT]):
    """What a tool is called, takes, answers and does. `run` checks its arguments before anything else."""

    name: str
    title: str
    description: str
    arguments: type[Arguments]
    answer: type[AnswerT]
    annotations: ToolAnnotations
    run: Callable[[Call], Awaitable[AnswerT]]


class ExecutorTool(Tool):
    """A tool whose errors are all written for the agent, and whose answer is serialised once."""

    definition: Any = Field(exclude=True)
    caller: Any = Field(exclude=True)
    needs_agent: bool = Field(exclude=True)

    @classmethod
    def of(
        cls, definition: ToolDefinition[Any], caller: CallerResolver, *, needs_agent: bool
    ) -> ExecutorTool:
        return cls(
            fn=definition.run,
            name=definition.name,
            title=definition.title,
            description=definition.description,
            parameters=input_schema(definition.arguments),
            fn_metadata=FuncMetadata(arg_model=ArgModelBase, output_model=definition.answer),
            is_async=True,
            context_kwarg=None,
            annotations=definition.annotations,
            definition=definition,
            caller=caller,
            needs_agent=needs_agent,
        )

    async def run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False
    ) -> Any:
        """Raises ToolError that says what to do; anything else is a defect, which the SDK logs and hides."""
        try:
            agent: str | None = self.caller.agent(context.request_context)
            if self.needs_agent:
                require_agent(agent)
            answer = await self.definition.run(Call(agent, arguments, context))
        except Refused as refusal:
            raise ToolError(explain(refusal)) from None
        except ExecutorError as error:
            raise ToolError(str(error)) from None
        except InvalidAction as error:
            raise ToolError(f"action is not valid: {error}") from None
        except (ServerError, SandboxError) as error:
            raise ToolError(
                f"this executor cannot answer now: {error}; try again in a few seconds"
            ) from error
        return as_result(answer) if convert_result else answer


def explain(refusal: Refused) -> str:
    """The refusal for a model to act on: its code first, then what to do about the token."""
    if refusal.reason is RefusalReason.STORAGE_UNAVAILABLE:
        # The answer to a commit can be lost: then the token is spent although nothing ran.
        return (
            f"{refusal}. Nothing was run. If the same token is answered with already_used then, the loss "
            "happened after it was spent: request a new approval."
        )
    if refusal.retryable:
        return f"{refusal}. Nothing was run and the token is unspent."
    return f"{refusal}. Nothing was run by this call."


def as_result(answer: BaseModel) -> CallToolResult:
    """An answer as a tool's result: structured, and as text for clients that read only that."""
    return CallToolResult(
        content=[TextContent(type="text", text=answer.model_dump_json())],
        structured_content=answer.model_dump(mode="json"),
    )
