"""Which requests may be put to people on one card. Pure.

A card that carries several spares people the interruption, never the reading: each request keeps its own row,
digest, quorum, seal and token, and is decided by its own digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from hitl_contract.action import Action
from hitl_contract.action_code import CodeExecution
from hitl_contract.action_operations import FileChange, Generic, HttpRequest, ShellCommand, ToolCall
from hitl_contract.action_packages import PackageAddition
from hitl_contract.canonical import canonical_json, digest_of_bytes
from hitl_mcp.approvals.documents import terms_text
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import ApprovalRequest, RequestKind, RequestRecord, RequestStatus

# After one of these, an interpreter is handed a program.
_TAKES_CODE: Final = frozenset({"-c", "-e", "--eval", "--command"})


def may_share(record: RequestRecord) -> bool:
    """Whether this request may be on one card with others.

    1. It is about an action, and pending.
    2. Its risk is not critical: such a thing is looked at alone.
    3. Nobody has decided or edited it: who decided already would not look at what joins later.
    """
    request = record.request
    return (
        request.kind is RequestKind.ACTION  # 1
        and request.status is RequestStatus.PENDING
        and request.risk_level is not RiskLevel.CRITICAL  # 2
        and not record.decisions  # 3
        and not request.revision
    )


def asked_alike(one: ApprovalRequest, other: ApprovalRequest) -> bool:
    """Whether the same people are asked in the same way: one rule, one risk, the same terms."""
    return _way_of_asking(one) == _way_of_asking(other)


def kin_of(request: ApprovalRequest) -> str | None:
    """What requests of one burst have in common; None for an action that is like no other.

    Kin have one agent, are asked alike, and do the same kind of thing: change a file, call the same tool with
    the same names of arguments, write to the same host. Programs and packages are never kin: each is
    read by itself.
    """
    alike = _likeness(request.action)
    if alike is None:
        return None
    fields = {"agent": request.agent, "asked": _way_of_asking(request), "action": alike}
    return digest_of_bytes(canonical_json(fields))


def _way_of_asking(request: ApprovalRequest) -> Mapping[str, object]:
    return {
        "policy": request.policy,
        "risk": request.risk_level.value,
        "terms": terms_text(request.terms),
        "approvals": request.required_approvals,
        "assurance": request.required_assurance.value,
    }


def _likeness(action: Action) -> Mapping[str, object] | None:
    match action:
        case CodeExecution() | PackageAddition():
            return None
        case ShellCommand():
            if _TAKES_CODE.intersection(action.argv):
                return None
            # What is acted on may differ; options are part of what is done.
            options = [each if each.startswith("-") else "" for each in action.argv[1:]]
            return {
                "program": action.argv[0],
                "options": options,
                "cwd": action.cwd,
                "env": dict(action.env),
            }
        case ToolCall():
            return {"server": action.server, "tool": action.tool, "arguments": sorted(action.arguments)}
        case HttpRequest():
            parts = urlsplit(action.url)
            host = f"{parts.scheme}://{parts.netloc}"
            return {"method": action.method, "host": host, "headers": sorted(action.headers)}
        case FileChange():
            return {"changes": "a file"}
        case Generic():
            return {"operation": action.operation, "details": sorted(action.details)}
