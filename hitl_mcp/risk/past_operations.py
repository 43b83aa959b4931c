"""An agent's record, read from the requests."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import RowMapping, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.action import parse_action_json
from hitl_contract.errors import InvalidAction
from hitl_mcp.approvals.models import RequestKind, RequestStatus
from hitl_mcp.approvals.terms import RuleVerdict
from hitl_mcp.risk.history import PastOperation
from hitl_mcp.risk.shapes import Shape, shape_of
from hitl_mcp.storage.schema import actions, requests
from server_kit.database.base import Database

_NEWEST: Final = 50
_MOST_BYTES: Final = 16_384
_KNOWN_SHAPES: Final = 8192

# Answered, for each status, by the index over agent, status and creation, from its end.
_RECORD: Final = (
    select(
        requests.c.action_digest,
        requests.c.verdict,
        requests.c.status,
        requests.c.revoked_at,
        requests.c.created_at,
    )
    .where(
        requests.c.agent == bindparam("agent"),
        requests.c.status == bindparam("status"),
        requests.c.kind == RequestKind.ACTION.value,
    )
    .order_by(requests.c.created_at.desc(), requests.c.request_id.desc())
    .limit(_NEWEST)
)
_ACTIONS: Final = select(actions.c.digest, actions.c.canonical).where(
    actions.c.digest.in_(bindparam("digests", expanding=True)),
    func.length(actions.c.canonical) <= _MOST_BYTES,
)


class SqlPastOperations:
    """Implements `risk.history.PastOperations`: the newest 50 approved and 50 denied, newest first.

    Actions of more than 16 KB are left out: reading them would cost more than they tell.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # An action never changes under its digest. None: it is too large, or damaged.
        self._shapes: OrderedDict[str, Shape | None] = OrderedDict()

    async def decided(self, agent: str) -> Sequence[PastOperation]:
        async def operation(connection: AsyncConnection) -> list[RowMapping]:
            rows: list[RowMapping] = []
            for status in (RequestStatus.DENIED, RequestStatus.APPROVED):
                found = await connection.execute(_RECORD, {"agent": agent, "status": status.value})
                # What a rule decided by itself says nothing about what people think.
                rows.extend(row for row in found.mappings() if row["verdict"] == RuleVerdict.ASK.value)
            await self._learn(connection, {row["action_digest"] for row in rows} - self._shapes.keys())
            return rows

        rows = await self._database.read(operation)
        rows.sort(key=lambda row: row["created_at"], reverse=True)
        return [
            PastOperation(row["action_digest"], shape, _approved(row))
            for row in rows
            if (shape := self._shapes.get(row["action_digest"])) is not None
        ]

    async def _learn(self, connection: AsyncConnection, digests: Collection[str]) -> None:
        if not digests:
            return
        found = await connection.execute(_ACTIONS, {"digests": list(digests)})
        canonical = {row.digest: bytes(row.canonical) for row in found}
        for digest in digests:
            self._shapes[digest] = _shape(canonical.get(digest))
        while len(self._shapes) > _KNOWN_SHAPES:
            self._shapes.popitem(last=False)


def _approved(row: RowMapping) -> bool:
    return row["status"] == RequestStatus.APPROVED.value and row["revoked_at"] is None


def _shape(canonical: bytes | None) -> Shape | None:
    if canonical is None:
        return None
    try:
        return shape_of(parse_action_json(canonical))
    except InvalidAction:
        # A damaged row is found, and refused, where it matters; here it only has no voice.
        return None
