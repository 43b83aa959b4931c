"""Requests, their revisions, decisions and idempotency keys in the database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping, Select, Update, bindparam, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.action import Action, parse_action_json
from hitl_contract.canonical import digest_of_bytes
from hitl_mcp.approvals.models import (
    ApprovalRequest,
    Decision,
    RequestKind,
    RequestRecord,
    RequestStatus,
    Revision,
)
from hitl_mcp.approvals.ports import ListPosition, RevokedToken
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.storage import rows
from hitl_mcp.storage.deadline_store import SqlDeadlineStore
from hitl_mcp.storage.dialogue_store import SqlDialogueStore
from hitl_mcp.storage.errors import ConcurrentChange, StoredActionDamaged, StoredRowDamaged
from hitl_mcp.storage.schema import actions, decisions, idempotency_keys, requests, revisions
from server_kit.database.base import Dialect
from server_kit.database.row_insert import RowInsert

_CACHED_ACTIONS: Final = 512
_CACHED_ACTION_BYTES: Final = 65_536
_PAGE_ACTION_BYTES: Final = 8 * 1024 * 1024

_REQUEST = select(requests).where(requests.c.request_id == bindparam("id"))
_REQUESTS = select(requests).where(requests.c.request_id.in_(bindparam("ids", expanding=True)))
_DECISIONS = (
    select(decisions)
    .where(decisions.c.request_id.in_(bindparam("ids", expanding=True)))
    .order_by(decisions.c.decided_at, decisions.c.decision_id)
)
_REVISIONS = (
    select(revisions)
    .where(revisions.c.request_id.in_(bindparam("ids", expanding=True)))
    .order_by(revisions.c.revision)
)
_REVOKED = (
    select(requests.c.token_id, requests.c.request_id, requests.c.revoked_at, requests.c.valid_until)
    .where(
        requests.c.revoked_at.is_not(None),
        requests.c.revoked_at >= bindparam("since"),
        requests.c.valid_until > bindparam("now"),
        requests.c.token_id.is_not(None),
    )
    .order_by(requests.c.revoked_at, requests.c.request_id)
)
_ACTION = select(actions.c.canonical).where(actions.c.digest == bindparam("digest"))
_STATUSES = select(requests.c.request_id, requests.c.status).where(
    requests.c.request_id.in_(bindparam("ids", expanding=True))
)
_VERSIONS = select(requests.c.request_id, requests.c.version).where(
    requests.c.request_id.in_(bindparam("ids", expanding=True))
)
_ATTACHED = select(requests.c.request_id).where(
    requests.c.agent == bindparam("agent"), requests.c.attachable_digest == bindparam("digest")
)
_OF_KEY = select(idempotency_keys.c.request_id).where(
    idempotency_keys.c.agent == bindparam("agent"), idempotency_keys.c.idempotency_key == bindparam("key")
)
_UPDATE = update(requests).where(
    requests.c.request_id == bindparam("id"), requests.c.version == bindparam("version_before")
)
_CHANGE = _UPDATE.values({name: bindparam(f"new_{name}") for name in rows.CHANGED_COLUMNS})
_DETACH = update(requests).where(requests.c.request_id == bindparam("id")).values(attachable_digest=None)


class SqlRequestStore(SqlDeadlineStore, SqlDialogueStore):
    """Implements `approvals.ports.RequestStore` on both databases."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        insert = sqlite_insert if dialect == "sqlite" else postgresql_insert
        self._insert_action = RowInsert(insert(actions).on_conflict_do_nothing(index_elements=["digest"]))
        self._insert_request = RowInsert(
            insert(requests).on_conflict_do_nothing(index_elements=["agent", "attachable_digest"])
        )
        self._insert_revision = insert(revisions)
        self._insert_decision = insert(decisions)
        self._insert_key = insert(idempotency_keys)
        # An action never changes under its digest, so what was parsed once need not be read or parsed again.
        self._parsed: OrderedDict[str, Action] = OrderedDict()

    async def insert(self, connection: AsyncConnection, request: ApprovalRequest, canonical: bytes) -> bool:
        await self._insert_action.execute(
            connection,
            {"digest": request.action_digest, "canonical": canonical, "created_at": request.created_at},
        )
        if await self._insert_request.execute(connection, rows.request_to_row(request)) == 0:
            return False
        self._keep(request.action_digest, request.action, len(canonical))
        return True

    async def load(self, connection: AsyncConnection, request_id: str) -> RequestRecord | None:
        if not request_id.isascii() or "\x00" in request_id:
            # No id is like that, and PostgreSQL would refuse the question.
            return None
        records = await self._records(connection, await self._found(connection, _REQUEST, {"id": request_id}))
        return records[0] if records else None

    async def load_all(
        self, connection: AsyncConnection, request_ids: Collection[str]
    ) -> Sequence[RequestRecord]:
        return await self._records(
            connection, await self._found(connection, _REQUESTS, {"ids": list(request_ids)})
        )

    async def attached(self, connection: AsyncConnection, agent: str, digest: str) -> str | None:
        return (await connection.execute(_ATTACHED, {"agent": agent, "digest": digest})).scalar_one_or_none()

    async def detach(self, connection: AsyncConnection, request_id: str) -> None:
        await connection.execute(_DETACH, {"id": request_id})

    async def update(self, connection: AsyncConnection, request: ApprovalRequest) -> None:
        """Raises ConcurrentChange when the stored version is not the one before `request.version`."""
        changed = {f"new_{name}": value for name, value in rows.changed_columns(request).items()}
        await self._execute(connection, request, _CHANGE, changed)
        if request.status.is_terminal:
            await self.drop_deadlines(connection, request.request_id)

    async def revise(
        self,
        connection: AsyncConnection,
        request: ApprovalRequest,
        canonical: bytes,
        revisions: Sequence[Revision],
    ) -> None:
        """Raises ConcurrentChange when the stored version is not the one before `request.version`."""
        await self._insert_action.execute(
            connection,
            {"digest": request.action_digest, "canonical": canonical, "created_at": revisions[-1].at},
        )
        await self._write(connection, request, rows.request_to_row(request))
        await connection.execute(self._insert_revision, [rows.revision_to_row(each) for each in revisions])

    async def add_decision(self, connection: AsyncConnection, decision: Decision) -> None:
        row = rows.decision_to_row(decision) | {"person_key": person_key(decision.person)}
        await connection.execute(self._insert_decision, row)

    async def _write(
        self, connection: AsyncConnection, request: ApprovalRequest, values: Mapping[str, Any]
    ) -> None:
        await self._execute(connection, request, _UPDATE.values(dict(values)), {})

    async def _execute(
        self,
        connection: AsyncConnection,
        request: ApprovalRequest,
        statement: Update,
        values: Mapping[str, Any],
    ) -> None:
        which = {"id": request.request_id, "version_before": request.version - 1}
        if (await connection.execute(statement, {**which, **values})).rowcount != 1:
            raise ConcurrentChange(request.request_id, request.version)

    async def request_of_key(self, connection: AsyncConnection, agent: str, key: str) -> str | None:
        return (await connection.execute(_OF_KEY, {"agent": agent, "key": key})).scalar_one_or_none()

    async def remember_key(
        self, connection: AsyncConnection, agent: str, key: str, request_id: str, at: datetime
    ) -> None:
        row = {"agent": agent, "idempotency_key": key, "request_id": request_id, "created_at": at}
        await connection.execute(self._insert_key, row)

    async def statuses(
        self, connection: AsyncConnection, request_ids: Collection[str]
    ) -> Mapping[str, RequestStatus]:
        found = await connection.execute(_STATUSES, {"ids": list(request_ids)})
        return {request_id: RequestStatus(status) for request_id, status in found}

    async def versions(self, connection: AsyncConnection, request_ids: Collection[str]) -> Mapping[str, int]:
        found = await connection.execute(_VERSIONS, {"ids": list(request_ids)})
        return {request_id: int(version) for request_id, version in found}

    async def page(
        self,
        connection: AsyncConnection,
        *,
        agent: str | None,
        status: RequestStatus | None,
        limit: int,
        after: ListPosition | None,
    ) -> tuple[Sequence[RequestRecord], bool]:
        size = func.length(actions.c.canonical).label("action_bytes")
        query = (
            select(requests, size)
            .outerjoin(actions, actions.c.digest == requests.c.action_digest)
            .order_by(requests.c.created_at.desc(), requests.c.request_id.desc())
        )
        if agent is not None:
            # A drill is no agent's, whatever name it goes by.
            query = query.where(requests.c.agent == agent, requests.c.kind != RequestKind.CANARY.value)
        if status is not None:
            query = query.where(requests.c.status == status.value)
        if after is not None:
            position = tuple_(requests.c.created_at, requests.c.request_id)
            query = query.where(position < (after.created_at, after.request_id))
        found = await self._found(connection, query.limit(limit + 1), {})
        taken = _fitting(found[:limit])
        return await self._records(connection, taken), len(taken) < len(found)

    async def revoked_tokens(
        self, connection: AsyncConnection, *, since: datetime, now: datetime
    ) -> Sequence[RevokedToken]:
        found = await connection.execute(_REVOKED, {"since": since, "now": now})
        return [RevokedToken(*row) for row in found]

    async def action_bytes(self, connection: AsyncConnection, digest: str) -> bytes | None:
        """Raises StoredActionDamaged when the stored bytes do not have this digest."""
        canonical = (await connection.execute(_ACTION, {"digest": digest})).scalar_one_or_none()
        if canonical is not None and digest_of_bytes(canonical) != digest:
            raise StoredActionDamaged(digest)
        return canonical

    async def _found(
        self, connection: AsyncConnection, query: Select[Any], parameters: Mapping[str, object]
    ) -> Sequence[RowMapping]:
        try:
            return (await connection.execute(query, parameters)).mappings().all()
        except (ValueError, TypeError) as error:
            raise StoredRowDamaged from error

    async def _records(self, connection: AsyncConnection, found: Sequence[RowMapping]) -> list[RequestRecord]:
        try:
            # A request of version 1 has not changed since it was made, so nothing was said about it.
            changed = [row["request_id"] for row in found if row["version"] > 1]
            decided = await self._decisions(connection, changed)
            asked = await self.questions_about(connection, changed)
            answered = await self.answers_to(
                connection,
                [row["request_id"] for row in found if row["status"] == RequestStatus.ANSWERED.value],
            )
            revised = await self._revisions(
                connection, [row["request_id"] for row in found if row["revision"] > 0]
            )
            return [
                RequestRecord(
                    rows.request_from_row(row, await self._action(connection, row["action_digest"])),
                    tuple(decided.get(row["request_id"], ())),
                    tuple(revised.get(row["request_id"], ())),
                    answered.get(row["request_id"]),
                    tuple(asked.get(row["request_id"], ())),
                )
                for row in found
            ]
        except (ValueError, TypeError) as error:
            raise StoredRowDamaged from error

    async def _decisions(
        self, connection: AsyncConnection, request_ids: list[str]
    ) -> Mapping[str, list[Decision]]:
        decided: dict[str, list[Decision]] = {}
        if request_ids:
            for row in (await connection.execute(_DECISIONS, {"ids": request_ids})).mappings():
                decided.setdefault(row["request_id"], []).append(rows.decision_from_row(row))
        return decided

    async def _revisions(
        self, connection: AsyncConnection, request_ids: list[str]
    ) -> Mapping[str, list[Revision]]:
        revised: dict[str, list[Revision]] = {}
        if request_ids:
            for row in (await connection.execute(_REVISIONS, {"ids": request_ids})).mappings():
                revised.setdefault(row["request_id"], []).append(rows.revision_from_row(row))
        return revised

    async def _action(self, connection: AsyncConnection, digest: str) -> Action:
        known = self._parsed.get(digest)
        if known is not None:
            self._parsed.move_to_end(digest)
            return known
        canonical = await self.action_bytes(connection, digest)
        if canonical is None:
            raise StoredActionDamaged(digest)
        action = parse_action_json(canonical)
        self._keep(digest, action, len(canonical))
        return action

    def _keep(self, digest: str, action: Action, size: int) -> None:
        if size > _CACHED_ACTION_BYTES:
            return
        self._parsed[digest] = action
        if len(self._parsed) > _CACHED_ACTIONS:
            self._parsed.popitem(last=False)


def _fitting(found: Sequence[RowMapping]) -> Sequence[RowMapping]:
    """The first rows, at least one, whose actions are together no larger than a page may be."""
    total = 0
    for index, row in enumerate(found):
        total += row["action_bytes"] or 0
        if total > _PAGE_ACTION_BYTES and index:
            return found[:index]
    return found
