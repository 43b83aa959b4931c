"""Which analyser reads which language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from code_safety.findings import Rule
from code_safety.inspection import Analyser, Inspection
from code_safety.javascript.code import inspect_javascript
from code_safety.plain_text import inspect_plain_text
from code_safety.python.bandit_checks import load_checks
from code_safety.python.code import inspect_python
from code_safety.shell.code import inspect_bash
from code_safety.shell.commands import inspect_joined_command
from code_safety.sql_code import inspect_sql

MAX_ANALYSED_CHARACTERS: Final = 200_000
"""Longest text that is parsed; a longer one is searched for dangerous words and said to be unknown."""


def _bounded(analyser: Analyser) -> Analyser:
    def inspect(text: str, inspection: Inspection) -> None:
        if len(text) > MAX_ANALYSED_CHARACTERS:
            inspection.add(
                Rule.NOT_ANALYSED_TOO_LARGE, detail=f"longer than {MAX_ANALYSED_CHARACTERS:,} characters"
            )
            inspect_plain_text(text, inspection)
            return
        try:
            analyser(text, inspection)
        except (RecursionError, MemoryError):
            inspection.add(Rule.NOT_ANALYSED_TOO_COMPLEX)
            inspect_plain_text(text, inspection)
        except Exception:
            inspection.add(Rule.ANALYSIS_FAILED)
            inspect_plain_text(text, inspection)

    return inspect


ANALYSERS: Final[Mapping[str, Analyser]] = {
    "python": _bounded(inspect_python),
    "nodejs": _bounded(inspect_javascript),
    "bash": _bounded(inspect_bash),
    "sql": _bounded(inspect_sql),
    "command": _bounded(inspect_joined_command),
}


def warm_up() -> None:
    """Load the parsers and analyse one program in each language, so that no request waits for it (1 s)."""
    load_checks()
    samples = {
        "python": "import hashlib\nhashlib.md5(b'')",
        "nodejs": "const a = 1",
        "bash": "ls -l",
        "sql": "SELECT 1",
    }
    for language, sample in samples.items():
        ANALYSERS[language](sample, Inspection(ANALYSERS))
