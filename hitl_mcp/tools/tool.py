"""The frame of this server's tools: the agent named, errors worded for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

from hitl_mcp.errors import HitlError
from hitl_mcp.interface.arguments import InvalidArguments
from server_kit.errors import ServerError
from server_kit.mcp_tools import FramedTool


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool: which agent, with which arguments (not checked yet), and the channel back to it."""

    agent: str
    arguments: Mapping[str, object]
    context: Context[Any, Any]


class ApprovalTool(FramedTool):
    """A tool whose errors are all written for the agent. `principal` (a PrincipalResolver) says who calls."""

    principal: Any = Field(exclude=True)

    async def answer(self, arguments: dict[str, Any], context: Context[Any, Any]) -> BaseModel:
        """Call the tool.

        Raises:
            ToolError: with a message that tells the agent what to do. Any other error is a defect, which
                the SDK logs and hides from the agent.
        """
        try:
            agent = await self.principal.agent(context.request_context)
            return await self.definition.run(Call(agent, arguments, context))
        except (InvalidArguments, HitlError) as error:
            raise ToolError(str(error)) from None
        except ServerError as error:
            raise ToolError(
                f"The approval server cannot do this right now: {error}. Nothing was decided by this call; "
                "call again in a few seconds."
            ) from error
