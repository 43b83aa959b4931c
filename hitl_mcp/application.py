"""Everything a running approval server is made of, put together by wiring and handed to its doors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hitl_contract.keys import PublicKeys
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.attention.filing import CanaryFiling
from hitl_mcp.attention.records import AttentionRecords
from hitl_mcp.grants.directory import GrantDirectory
from hitl_mcp.identity.absences import AbsenceDirectory
from hitl_mcp.identity.agents import AgentDirectory
from hitl_mcp.identity.delegations import DelegationDirectory
from hitl_mcp.identity.groups import GroupDirectory
from hitl_mcp.identity.people import PeopleDirectory
from hitl_mcp.identity.sessions import Sessions
from hitl_mcp.interface.views import ApprovalViews
from hitl_mcp.notifiers.base import Notifier
from hitl_mcp.notifiers.dispatcher import Dispatcher
from hitl_mcp.policies.live import LivePolicy
from hitl_mcp.settings import Settings
from server_kit.audit_archive import AuditArchive
from server_kit.audit_log import AuditLog
from server_kit.clock import Clock
from server_kit.database.base import Database

if TYPE_CHECKING:
    # The MCP SDK takes more than a second to import: a command that serves nothing does without it.
    from mcp.server.mcpserver import MCPServer
    from starlette.types import ASGIApp

    from hitl_mcp.tools.principal import PrincipalResolver


@dataclass(frozen=True)
class Application:
    """One approval server. `dispatcher` is not running: who serves runs it, and once per process."""

    settings: Settings
    database: Database
    clock: Clock
    audit: AuditLog
    archive: AuditArchive
    service: ApprovalService
    rules: LivePolicy
    """Not loaded yet: who serves loads it, and does not start when that fails."""
    agents: AgentDirectory
    people: PeopleDirectory
    groups: GroupDirectory
    delegations: DelegationDirectory
    grants: GrantDirectory
    absences: AbsenceDirectory
    sessions: Sessions
    views: ApprovalViews
    attention: AttentionRecords
    canaries: CanaryFiling
    """Not running: who serves runs it. Any number of processes may."""
    notifiers: tuple[Notifier, ...]
    dispatcher: Dispatcher
    public_keys: Callable[[], PublicKeys]
    """What verifies this server's tokens now; a rotation is followed."""
    warmed: Callable[[], AbstractAsyncContextManager[None]]
    """Loads beside the start what the first request would wait a second for. Who serves enters it."""
    build_mcp_server: Callable[[PrincipalResolver], MCPServer[Any]]
    build_http_app: Callable[[], ASGIApp]
    """The whole HTTP door. Its lifespan runs the MCP endpoint, not the dispatcher."""
