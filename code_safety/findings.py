"""What static analysis can say about a program before anybody runs it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a reader should care.

    `UNKNOWN` means that the question could not be answered, not that all is well.
    """

    INFO = "info"
    WARNING = "warning"
    DANGER = "danger"
    UNKNOWN = "unknown"


class Rule(StrEnum):
    """Names of the findings. They are stable: policies block by these names."""

    PYTHON_SYNTAX_ERROR = "python.syntax_error"
    PYTHON_SOURCE_ENCODING = "python.source_encoding"
    PYTHON_RUNS_TEXT_AS_CODE = "python.runs_text_as_code"
    PYTHON_STARTS_PROCESSES = "python.starts_processes"
    PYTHON_OPENS_NETWORK = "python.opens_network"
    PYTHON_UNPICKLES = "python.unpickles"
    PYTHON_CALLS_NATIVE_CODE = "python.calls_native_code"
    PYTHON_DELETES_FILES = "python.deletes_files"
    BIDIRECTIONAL_CONTROL = "text.bidirectional_control"
    INVISIBLE_CHARACTER = "text.invisible_character"
    CONTROL_CHARACTER = "text.control_character"
    NOT_ANALYSED = "analysis.not_analysed"
    NOT_ANALYSED_TOO_LARGE = "analysis.too_large"
    NOT_ANALYSED_TOO_COMPLEX = "analysis.too_complex"


@dataclass(frozen=True)
class Finding:
    """One observation.

    `line` and `column` count from 1 within `where`; the message never quotes the program.
    """

    rule: Rule
    severity: Severity
    message: str
    where: str = "code"
    line: int | None = None
    column: int | None = None
