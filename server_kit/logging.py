"""One log for a server's own events and for its libraries': on stderr, redacted, for people or as JSON lines.

Never on stdout, which belongs to the MCP protocol when a server runs over stdio.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from server_kit.redaction import redact, redact_text

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

_KEPT: Final = frozenset({"level", "timestamp", "logger"})


def configure_logging(*, level: LogLevel, format: LogFormat, stream: TextIO | None = None) -> None:  # noqa: A002
    """Send structlog's and the standard library's records to `stream` (stderr). Called once, by a command's
    start.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=True)
        if format == "json"
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact_event,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # These repeat each statement, request and step of a start; what is worth knowing of them is logged where
    # they are used.
    for noisy in (
        "sqlalchemy",
        "aiosqlite",
        "alembic",
        "httpx",
        "httpx2",
        "httpcore",
        "mcp.server.streamable_http_manager",
        "uvicorn.access",
        "uvicorn.error",
        "asyncio",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It reports as errors the plug-ins of bandit whose optional libraries are missing; none of them is used.
    logging.getLogger("stevedore").setLevel(logging.CRITICAL)


def redact_event(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Redact an event, as a structlog processor: values by name and shape, texts by shape."""
    redacted: EventDict = {}
    for key, value in event.items():
        if key in {"event", "exception", "stack"}:
            redacted[key] = redact_text(str(value))
        else:
            redacted[key] = value if key in _KEPT else redact(value, name=key)
    return redacted
