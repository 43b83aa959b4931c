"""Builds the MCP server of the approval server; the same one for stdio and for HTTP."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from mcp.server.mcpserver import MCPServer

from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.interface.views import ApprovalViews
from hitl_mcp.tools.ask_human import ask_human
from hitl_mcp.tools.cancel_request import cancel_request
from hitl_mcp.tools.check_status import check_status
from hitl_mcp.tools.explain_policy import Explain, explain_policy
from hitl_mcp.tools.list_requests import list_requests
from hitl_mcp.tools.permission_prompt import permission_prompt
from hitl_mcp.tools.principal import PrincipalResolver
from hitl_mcp.tools.request_approval import request_approval
from hitl_mcp.tools.tasks import ApprovalTasks
from hitl_mcp.tools.tool import ApprovalTool, Call
from hitl_mcp.tools.waiting import Ladder
from server_kit.mcp_tools import ToolDefinition

SERVER_NAME: Final = "hitl-mcp"
_INSTRUCTIONS: Final = (
    "This server asks people to approve actions before they are done. Call request_approval with the "
    "complete action; when the status is PENDING call check_status until it is final. Only an APPROVED "
    "request has a capability_token; give it to the executor server's execute tool, "
    "which runs that one action once. To learn something from a person, call ask_human: an answer approves "
    "nothing."
)


def build_mcp_server(
    service: ApprovalService,
    views: ApprovalViews,
    principal: PrincipalResolver,
    *,
    ladder: Ladder,
    explain: Explain,
) -> MCPServer[Any]:
    """A server whose tools act for the agent that `principal` names."""
    definitions: tuple[ToolDefinition[Call, Any], ...] = (
        request_approval(service, views, ladder),
        check_status(service, views, ladder),
        cancel_request(service, views),
        list_requests(service, views),
        ask_human(service, views, ladder),
        explain_policy(explain),
        permission_prompt(service, views),
    )
    return MCPServer(
        SERVER_NAME,
        title="Human approval",
        instructions=_INSTRUCTIONS,
        version=version("hitl-mcp"),
        tools=[ApprovalTool.framed(definition, principal=principal) for definition in definitions],
        extensions=[ApprovalTasks(service, views, principal)],
        # Nothing here changes while the server runs, so there is nothing to subscribe to.
        subscriptions=False,
        log_level="WARNING",
    )
