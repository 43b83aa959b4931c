"""Entries as CSV, for a spreadsheet: to look at, not to verify."""

from __future__ import annotations

import csv
import io
from typing import Final

from hitl_contract.audit_chain import AuditEntry
from hitl_contract.canonical import canonical_json

HEADER: Final = (
    "sequence",
    "at",
    "event",
    "actor",
    "subject",
    "details",
    "previous_hash",
    "entry_hash",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_header() -> str:
    """The first line."""
    return _line(HEADER)


def csv_line(entry: AuditEntry) -> str:
    """One entry. What a spreadsheet would take for a formula gets an apostrophe in front."""
    details = canonical_json(dict(entry.details)).decode("utf-8")
    texts = (
        entry.at,
        entry.event,
        entry.actor,
        entry.subject,
        details,
        entry.previous_hash,
        entry.entry_hash,
    )
    return _line((str(entry.sequence), *(_inert(text) for text in texts)))


def _inert(text: str) -> str:
    # Spreadsheets pass over leading white space before they look for a formula.
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _line(cells: tuple[str, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue()
