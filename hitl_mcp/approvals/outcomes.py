"""What acts of people share: reading the request, and refusing without losing the record of the refusal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.errors import ApprovalError, RequestNotFound
from hitl_mcp.approvals.models import RequestRecord
from hitl_mcp.approvals.ports import ApprovalPorts


@dataclass(frozen=True, slots=True)
class Refused:
    """An act that was refused, to be raised once the record of the refusal is durable."""

    error: ApprovalError


async def load_record(ports: ApprovalPorts, connection: AsyncConnection, request_id: str) -> RequestRecord:
    """Raises RequestNotFound."""
    record = await ports.store.load(connection, request_id)
    if record is None:
        raise RequestNotFound(request_id)
    return record


async def finished(
    ports: ApprovalPorts, operation: Callable[[AsyncConnection], Awaitable[RequestRecord | Refused]]
) -> RequestRecord:
    """Run `operation` as one write; raise its refusal, if it is one, after the commit."""
    result = await ports.database.write(operation)
    if isinstance(result, Refused):
        raise result.error
    return result
