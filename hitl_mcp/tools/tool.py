"""The frame every tool is in: arguments checked, the agent named, errors worded, the answer typed."""

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

from hitl_mcp.errors import HitlError
from hitl_mcp.interface.arguments import InvalidArguments
from hitl_mcp.tools.principal import PrincipalResolver
from server_kit.errors import ServerError

AnswerT = TypeVar("AnswerT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool: which agent, with which arguments (not checked yet), and the channel back to it."""

    agent: str
    arguments: Mapping[str, object]
    context: Context[Any, Any]


@dataclass(frozen=True, slots=True)
class ToolDefinition(Generic[AnswerT]):
    """What a tool is called, takes, answers and does. `run` checks its arguments before anything else."""

    name: str
    title: str
    description: str
    input_schema: Mapping[str, Any]
    answer: type[AnswerT]
    annotations: ToolAnnotations
    run: Callable[[Call], Awaitable[AnswerT]]


class ApprovalTool(Tool):
    """A tool whose errors are all written for the agent, and whose answer is serialised once."""

    definition: Any = Field(exclude=True)
    principal: Any = Field(exclude=True)

    @classmethod
    def of(cls, definition: ToolDefinition[Any], principal: PrincipalResolver) -> ApprovalTool:
        """The tool of a definition, called by whom `principal` says."""
        return cls(
            fn=definition.run,
            name=definition.name,
            title=definition.title,
            description=definition.description,
            parameters=dict(definition.input_schema),
            fn_metadata=FuncMetadata(arg_model=ArgModelBase, output_model=definition.answer),
            is_async=True,
            context_kwarg=None,
            annotations=definition.annotations,
            definition=definition,
            principal=principal,
        )

    async def run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False
    ) -> Any:
        """Call the tool.

        Raises:
            ToolError: with a message that tells the agent what to do. Any other error is a defect, which
                the SDK logs and hides from the agent.
        """
        try:
            agent = await self.principal.agent(context.request_context)
            answer = await self.definition.run(Call(agent, arguments, context))
        except (InvalidArguments, HitlError) as error:
            raise ToolError(str(error)) from None
        except ServerError as error:
            raise ToolError(
                f"The approval server cannot do this right now: {error}. Nothing was decided by this call; "
                "call again in a few seconds."
            ) from error
        return as_result(answer) if convert_result else answer


def as_result(answer: BaseModel) -> CallToolResult:
    """An answer as a tool's result: structured, and as text for clients that read only that."""
    return CallToolResult(
        content=[TextContent(type="text", text=answer.model_dump_json())],
        structured_content=answer.model_dump(mode="json"),
    )
