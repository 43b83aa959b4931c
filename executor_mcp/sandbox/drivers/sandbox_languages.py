"""What the supervisors know of the languages. `supervisor_program` writes a module like this for each set."""

from __future__ import annotations

INTERPRETERS: tuple[str, ...] = ()
PREFLIGHTS: dict[str, str] = {}
ENVIRONMENT: dict[str, str] = {}
"""What most programs find; an interpreter that waits has it already."""
