"""The audit log as it is read: pages, searches, exports, verification."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import Any, Final

from sqlalchemy import Row, RowMapping, Select, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.audit_chain import AuditEntry, Checkpoint, checkpoint_to_json
from hitl_contract.audit_segments import SegmentRecord, segment_to_json
from hitl_contract.canonical import canonical_json
from server_kit.audit_tables import AuditTables
from server_kit.database.base import Database

PAGE_ENTRIES: Final = 500
_EXPORT_ENTRIES: Final = 2000
_ESCAPE: Final = "\\"


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries to find: all that are given must hold.

    `event` may end with `*`. `since` and `until` are RFC 3339 in UTC, as entries have them; `until` is not
    included. `text` is looked for in the details, whatever its case; it alone is not indexed.
    """

    event: str | None = None
    actor: str | None = None
    subject: str | None = None
    since: str | None = None
    until: str | None = None
    text: str | None = None

    def holds(self, entry: AuditEntry) -> bool:
        """Whether an entry, of an archived segment for instance, is one of those looked for."""
        prefix = self.event is not None and self.event.endswith("*")
        return (
            (
                self.event is None
                or entry.event == self.event
                or (prefix and entry.event.startswith(self.event[:-1]))
            )
            and self.actor in {None, entry.actor}
            and self.subject in {None, entry.subject}
            and (self.since is None or entry.at >= self.since)
            and (self.until is None or entry.at < self.until)
            and (
                self.text is None or self.text.lower() in canonical_json(dict(entry.details)).decode().lower()
            )
        )


EVERYTHING: Final = AuditQuery()


class AuditRecords:
    """One chain in a database, for reading."""

    def __init__(self, *, database: Database, tables: AuditTables, chain: str) -> None:
        self.chain = chain
        self._database = database
        self._tables = tables
        self._select_checkpoints = select(tables.checkpoints).order_by(tables.checkpoints.c.sequence)
        self._select_segments = select(tables.segments).order_by(tables.segments.c.last_sequence)
        entries = tables.entries
        self._select_after = (
            select(entries).where(entries.c.sequence > bindparam("after")).order_by(entries.c.sequence)
        )

    async def page(self, after: int, limit: int = PAGE_ENTRIES) -> list[AuditEntry]:
        """Return up to `limit` entries that follow the sequence number `after`."""
        return await self.search(EVERYTHING, after=after, limit=limit)

    async def search(
        self, query: AuditQuery, *, after: int = 0, limit: int = PAGE_ENTRIES
    ) -> list[AuditEntry]:
        """Return up to `limit` entries that `query` asks for and that follow `after`, oldest first."""
        statement = _restricted(self._select_after, self._tables, query).limit(limit)
        return await self._database.read(lambda connection: _entries(connection, statement, {"after": after}))

    async def tail(self, count: int) -> list[AuditEntry]:
        """Return the last `count` entries, oldest first."""
        entries = self._tables.entries
        statement = select(entries).order_by(entries.c.sequence.desc()).limit(count)
        return (await self._database.read(lambda connection: _entries(connection, statement, {})))[::-1]

    async def segments(self) -> tuple[SegmentRecord, ...]:
        """Return the records of all archived segments, oldest first."""

        async def operation(connection: AsyncConnection) -> tuple[SegmentRecord, ...]:
            rows = await connection.execute(self._select_segments)
            return tuple(
                SegmentRecord(**{str(name): value for name, value in row.items()}) for row in rows.mappings()
            )

        return await self._database.read(operation)

    async def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return every checkpoint that is in the database."""

        async def operation(connection: AsyncConnection) -> tuple[Checkpoint, ...]:
            rows = await connection.execute(self._select_checkpoints)
            return tuple(Checkpoint(**row) for row in rows.mappings())

        return await self._database.read(operation)

    async def lines(
        self, query: AuditQuery = EVERYTHING, *, through: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield the log as JSON Lines, each in canonical form: what `audit_verifier` checks.

        Segment records come first, then entries, each checkpoint behind its entry. Of a search there are only
        the entries, which prove nothing by themselves.
        """
        whole = query == EVERYTHING
        marks = list(await self.checkpoints())[::-1] if whole else []
        for record in await self.segments() if whole and through is None else ():
            yield line_of(segment_to_json(record))
        after = 0
        while page := await self._raw_page(query, after):
            for row in page:
                if through is not None and row.sequence > through:
                    return
                while marks and marks[-1].sequence < row.sequence:
                    yield line_of(checkpoint_to_json(marks.pop()))
                yield entry_line(row)
            after = page[-1].sequence
        for mark in marks[::-1]:
            if through is None or mark.sequence <= through:
                yield line_of(checkpoint_to_json(mark))

    async def _raw_page(self, query: AuditQuery, after: int) -> list[Row[Any]]:
        statement = _restricted(self._select_after, self._tables, query).limit(_EXPORT_ENTRIES)

        async def operation(connection: AsyncConnection) -> list[Row[Any]]:
            return list(await connection.execute(statement, {"after": after}))

        return await self._database.read(operation)


def entry_line(row: Row[Any]) -> bytes:
    """The canonical JSON of a stored entry and a line break; its details are stored in canonical form."""
    quoted, details = encode_basestring, row.details
    if "\n" in details or not details.startswith("{"):
        # Somebody edited it: made harmless, so that verification finds it and an export shows it.
        details = json.dumps({"unreadable": details})
    return (
        f'{{"actor":{quoted(row.actor)},"at":{quoted(row.at)},"chain":{quoted(row.chain)},"details":{details},'
        f'"entry_hash":{quoted(row.entry_hash)},"event":{quoted(row.event)},'
        f'"previous_hash":{quoted(row.previous_hash)},"sequence":{row.sequence},'
        f'"subject":{quoted(row.subject)}}}\n'
    ).encode("utf-8", "surrogatepass")


def audit_time(moment: datetime) -> str:
    """A time as entries have it."""
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def line_of(document: Mapping[str, object]) -> bytes:
    """One line of an export that is no entry."""
    return canonical_json(dict(document)) + b"\n"


def _restricted(statement: Select[Any], tables: AuditTables, query: AuditQuery) -> Select[Any]:
    columns = tables.entries.c
    if query.event is not None:
        if query.event.endswith("*"):
            statement = statement.where(columns.event.like(_pattern(query.event[:-1]) + "%", escape=_ESCAPE))
        else:
            statement = statement.where(columns.event == query.event)
    for column, wanted in ((columns.actor, query.actor), (columns.subject, query.subject)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if query.since is not None:
        statement = statement.where(columns.at >= query.since)
    if query.until is not None:
        statement = statement.where(columns.at < query.until)
    if query.text is not None:
        pattern = f"%{_pattern(query.text.lower())}%"
        statement = statement.where(func.lower(columns.details).like(pattern, escape=_ESCAPE))
    return statement


def _pattern(text: str) -> str:
    return text.replace(_ESCAPE, _ESCAPE * 2).replace("%", f"{_ESCAPE}%").replace("_", f"{_ESCAPE}_")


async def _entries(
    connection: AsyncConnection, statement: Select[Any], parameters: Mapping[str, int]
) -> list[AuditEntry]:
    return [_entry(row) for row in (await connection.execute(statement, parameters)).mappings()]


def _entry(row: RowMapping) -> AuditEntry:
    fields: dict[str, Any] = {str(name): value for name, value in row.items()}
    try:
        fields["details"] = json.loads(fields["details"])
    except ValueError:
        fields["details"] = {"unreadable": fields["details"]}
    return AuditEntry(**fields)
