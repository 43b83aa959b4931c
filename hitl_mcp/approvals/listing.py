"""Lists of requests, newest first, a page at a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.canonical import base64url_decode, base64url_encode
from hitl_mcp.approvals.errors import InvalidCursor, InvalidSubmission
from hitl_mcp.approvals.models import Page, RequestRecord, RequestStatus
from hitl_mcp.approvals.ports import ApprovalPorts, ListPosition

MAX_PAGE: Final = 100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MAX_CURSOR: Final = 400


class Listing:
    def __init__(self, ports: ApprovalPorts) -> None:
        self._ports = ports

    async def page(
        self, agent: str | None, status: RequestStatus | None, limit: int, cursor: str | None
    ) -> Page:
        """One page of records, newest first.

        `agent` None means every agent's. Raises InvalidCursor, InvalidSubmission (limit 1 to 100).
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidSubmission("limit", f"is {limit}; 1 to {MAX_PAGE} are allowed")
        after = None if cursor is None else _position(cursor)

        async def operation(connection: AsyncConnection) -> tuple[tuple[RequestRecord, ...], bool]:
            found, more = await self._ports.store.page(
                connection, agent=agent, status=status, limit=limit, after=after
            )
            return tuple(found), more

        records, more = await self._ports.database.read(operation)
        return Page(records, _cursor(records[-1]) if more else None)


def _cursor(record: RequestRecord) -> str:
    created = (record.request.created_at - _EPOCH) // _MICROSECOND
    return base64url_encode(json.dumps([created, record.request.request_id]).encode())


def _position(cursor: str) -> ListPosition:
    try:
        value: object = json.loads(base64url_decode(cursor)) if len(cursor) <= _MAX_CURSOR else None
    except (ValueError, RecursionError) as error:
        raise InvalidCursor from error
    if not isinstance(value, list) or len(cast("list[object]", value)) != 2:
        raise InvalidCursor
    created, request_id = cast("list[object]", value)
    if type(created) is not int or not 0 <= created < 2**53 or not isinstance(request_id, str):
        raise InvalidCursor
    if "\x00" in request_id or not request_id.isascii():
        raise InvalidCursor
    return ListPosition(_EPOCH + created * _MICROSECOND, request_id)
