"""Rows that count only under this server's seal: whatever else is in the table is as good as absent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, and_

from hitl_mcp.identity.ports import RowSealer
from hitl_mcp.storage.schema import SEALED_WHEN_SET


class SealedRows:
    """Seals and checks rows of `table`; the seal covers every other column.

    A column that came after the table's first release is left out of the seal while it is NULL, so that rows
    sealed before it was there still hold. Setting it past the server, or clearing it, breaks the seal.
    """

    def __init__(self, table: Table, sealer: RowSealer) -> None:
        self.table = table
        self.kind = table.name
        self._columns = tuple(column.name for column in table.columns if column.name != "seal")
        self._later = frozenset(column.name for column in table.columns if column.info.get(SEALED_WHEN_SET))
        self._key = tuple(table.primary_key.columns)
        self._sealer = sealer

    def sealed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a whole row together with their seal. Only later columns may be left out."""
        row = {name: values.get(name) if name in self._later else values[name] for name in self._columns}
        return {**row, "seal": self._sealer.seal(self.kind, self._fields(row))}

    def changed(self, row: Row[Any], **changes: Any) -> dict[str, Any]:
        """The values of a stored row after some changes, sealed anew."""
        return self.sealed({**self.values_of(row), **changes})

    def holds(self, row: Row[Any]) -> bool:
        """Whether this server wrote the row as it stands."""
        return self._sealer.holds(self.kind, self._fields(self.values_of(row)), row.seal)

    def key_of(self, values: Mapping[str, Any]) -> str:
        """The primary key of a row as one string."""
        return json.dumps([values[column.name] for column in self._key], separators=(",", ":"))

    def key_of_row(self, row: Row[Any]) -> str:
        """The primary key of a stored row as one string."""
        return self.key_of(self.values_of(row))

    def is_row(self, values: Mapping[str, Any]) -> ColumnElement[bool]:
        """The condition that finds the row with the primary key in `values`."""
        return and_(*(column == values[column.name] for column in self._key))

    def values_of(self, row: Row[Any]) -> dict[str, Any]:
        """The values of a stored row, without its seal."""
        return {name: getattr(row, name) for name in self._columns}

    def _fields(self, values: Mapping[str, Any]) -> dict[str, object]:
        return {
            name: _sealable(values[name])
            for name in self._columns
            if name not in self._later or values[name] is not None
        }


def _sealable(value: Any) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value
