"""The frame of this server's tools: the caller named, errors worded for the agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

from executor_mcp.errors import ExecutorError, RefusalReason, Refused
from executor_mcp.sandbox.errors import SandboxError
from executor_mcp.tools.caller import require_agent
from hitl_contract.errors import InvalidAction
from server_kit.errors import ServerError
from server_kit.mcp_tools import FramedTool


@dataclass(frozen=True, slots=True)
class Call:
    """One call: which agent, if known, its arguments (not checked yet), and the channel back to it."""

    agent: str | None
    arguments: Mapping[str, object]
    context: Context[Any, Any]


class ExecutorTool(FramedTool):
    """A tool whose errors are all written for the agent. `caller` (a CallerResolver) says who calls."""

    caller: Any = Field(exclude=True)
    needs_agent: bool = Field(exclude=True)

    async def answer(self, arguments: dict[str, Any], context: Context[Any, Any]) -> BaseModel:
        """Raises ToolError that says what to do; anything else is a defect, which the SDK logs and hides."""
        try:
            agent: str | None = self.caller.agent(context.request_context)
            if self.needs_agent:
                require_agent(agent)
            return await self.definition.run(Call(agent, arguments, context))
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
