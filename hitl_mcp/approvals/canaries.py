"""Canaries: drills that the server files itself, which must be denied. Pure.

A canary looks like any other request until it has ended, and nothing can be minted for it, because

1. its kind is under its seal, and a proof takes actions alone;
2. its audit trail commits to its kind when it is made, and a proof compares that;
3. whatever a person decides ends it, and never as approved; the database refuses an approved one besides;
4. the minter looks at the kind again;
5. it is no agent's request, whatever its name: nobody lists, reads, cancels or collects it as an agent.

The log shows no difference at first either. The entry of every creation has a commitment to the request's
kind: a hash over it and a salt, which is a MAC under the server's key and so known to nobody. When a canary
has ended, `canary.filed` reveals the salt, and everybody can see that it was a drill from the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.canonical import digest_of_bytes
from hitl_mcp.approvals import events
from hitl_mcp.approvals.models import ApprovalRequest, RequestKind, Verdict


@dataclass(frozen=True, slots=True)
class Drill:
    """`gives_away` is what an approver could have seen."""

    name: str
    gives_away: str


class CanaryBook(Protocol):
    """Which drill a canary is; implemented in `hitl_mcp.attention`."""

    async def drill_of(self, connection: AsyncConnection, request_id: str) -> Drill | None: ...


class CanaryDesk(Protocol):
    """Who files canaries: asked within the transaction that stores one."""

    async def may_file(self, connection: AsyncConnection) -> bool:
        """Take the turn; False when another process was faster."""
        ...

    async def filed(self, connection: AsyncConnection, request: ApprovalRequest) -> None:
        """Keep what belongs to it."""
        ...


def kind_commitment(salt: str, request_id: str, kind: RequestKind) -> str:
    """What the log has of a request's kind from its creation on: `sha-256:` of `salt.request_id.kind`."""
    return digest_of_bytes(f"{salt}.{request_id}.{kind.value}".encode())


def ending_of(request: ApprovalRequest, event: str, details: Mapping[str, JsonValue]) -> str:
    """The audit event that says how a drill ended: caught, missed or lapsed.

    Denied or withdrawn by a person is caught. Approved is missed, with conditions too; but who rewrote it
    first saw something in it, and neither counts.
    """
    if event == events.CANCELLED:
        return events.CANARY_CAUGHT
    if event != events.DECIDED:
        return events.CANARY_LAPSED
    if details.get("verdict") == Verdict.DENY.value:
        return events.CANARY_CAUGHT
    rewritten = request.revision > 0 and details.get("conditions") is None
    return events.CANARY_LAPSED if rewritten else events.CANARY_MISSED


_ENDINGS: Final = {
    events.CANARY_CAUGHT: "This was a drill, and it was caught.",
    events.CANARY_MISSED: "This was a drill, and it was let through.",
    events.CANARY_LAPSED: "This was a drill, and it has ended.",
}


def notice_of(ending: str, drill: Drill | None) -> str:
    """What people are told when a drill has ended. At most 450 characters."""
    text = f"{_ENDINGS[ending]} No agent asked for this, and nothing could have run."
    return text if drill is None else f"{text} What gave it away: {drill.gives_away}"[:450]
