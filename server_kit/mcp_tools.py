"""The frame that tools of both servers are in: one definition, a typed answer, serialised once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from server_kit.output_schemas import output_schema

CallT = TypeVar("CallT")
AnswerT = TypeVar("AnswerT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ToolDefinition(Generic[CallT, AnswerT]):
    """What a tool is called, takes, answers and does. `run` checks its arguments before anything else."""

    name: str
    title: str
    description: str
    input_schema: Mapping[str, Any]
    answer: type[AnswerT]
    annotations: ToolAnnotations
    run: Callable[[CallT], Awaitable[AnswerT]]


class FramedTool(Tool):
    """A tool of a definition. A server's own subclass names the caller and words the errors in `answer`."""

    definition: Any = Field(exclude=True)

    @classmethod
    def framed(cls, definition: ToolDefinition[Any, Any], **fields: Any) -> Self:
        """The tool of a definition; `fields` are those of the subclass."""
        metadata = FuncMetadata(
            arg_model=ArgModelBase,
            output_model=definition.answer,
            output_schema=output_schema(definition.answer),
        )
        return cls(
            fn=definition.run,
            name=definition.name,
            title=definition.title,
            description=definition.description,
            parameters=dict(definition.input_schema),
            fn_metadata=metadata,
            is_async=True,
            context_kwarg=None,
            annotations=definition.annotations,
            definition=definition,
            **fields,
        )

    async def answer(self, arguments: dict[str, Any], context: Context[Any, Any]) -> BaseModel:
        """Raises ToolError that says what to do; anything else is a defect, which the SDK logs and hides."""
        raise NotImplementedError

    async def run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False
    ) -> Any:
        """Call the tool, as the SDK does. Raises what `answer` raises."""
        answer = await self.answer(arguments, context)
        return as_result(answer) if convert_result else answer


def as_result(answer: BaseModel) -> CallToolResult:
    """An answer as a tool's result: structured, and as text for clients that read only that."""
    return CallToolResult(
        content=[TextContent(type="text", text=answer.model_dump_json())],
        structured_content=answer.model_dump(mode="json"),
    )
