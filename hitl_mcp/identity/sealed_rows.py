"""Rows that count only under this server's seal: whatever else is in the table is as good as absent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, Table

from hitl_mcp.identity.ports import RowSealer


class SealedRows:
    """Seals and checks rows of `table`; the seal covers every other column."""

    def __init__(self, table: Table, sealer: RowSealer) -> None:
        self._kind = table.name
        self._columns = tuple(column.name for column in table.columns if column.name != "seal")
        self._sealer = sealer

    def sealed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a whole row together with their seal."""
        row = {name: values[name] for name in self._columns}
        return {**row, "seal": self._sealer.seal(self._kind, self._fields(row))}

    def changed(self, row: Row[Any], **changes: Any) -> dict[str, Any]:
        """The values of a stored row after some changes, sealed anew."""
        return self.sealed({**self._values(row), **changes})

    def holds(self, row: Row[Any]) -> bool:
        """Whether this server wrote the row as it stands."""
        return self._sealer.holds(self._kind, self._fields(self._values(row)), row.seal)

    def _values(self, row: Row[Any]) -> dict[str, Any]:
        return {name: getattr(row, name) for name in self._columns}

    def _fields(self, values: Mapping[str, Any]) -> dict[str, object]:
        return {name: _sealable(values[name]) for name in self._columns}


def _sealable(value: Any) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value
