"""Events of an execution as JSON, the same over server-sent events and WebSocket."""

from __future__ import annotations

import base64
import re
from dataclasses import asdict
from typing import Final, Literal

from pydantic import JsonValue

from executor_mcp.errors import InvalidArgument
from executor_mcp.execution_feed import EndEvent, Event, IdleEvent, OutputEvent, StatusEvent, UsageEvent
from executor_mcp.interface.views import execution_answer, execution_summary
from executor_mcp.live_output import Chunk, Position

EventName = Literal["status", "stdout", "stderr", "usage", "idle", "end"]
_IDENTIFIER: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,15})(-end)?\Z")
_LONGEST_CHARACTER: Final = 4


def event_identifier(position: Position, *, ended: bool = False) -> str:
    """What a client gives back to go on from here: the bytes of both streams that it has."""
    return f"{position.stdout}-{position.stderr}" + ("-end" if ended else "")


def read_identifier(text: str | None) -> tuple[Position, bool]:
    """The position, and whether its reader has seen the end. Raises InvalidArgument."""
    if text is None:
        return Position(), False
    found = _IDENTIFIER.match(text)
    if found is None:
        raise InvalidArgument("Last-Event-ID: not the id of an event of this executor, such as 120-0")
    return Position(int(found[1]), int(found[2])), found[3] is not None


def event_documents(event: Event) -> list[tuple[EventName, dict[str, JsonValue]]]:
    """The event's name and data; two where output ends within a character."""
    match event:
        case OutputEvent(chunk):
            return [(chunk.stream, piece) for piece in _pieces(chunk)]
        case UsageEvent(sample):
            return [("usage", asdict(sample))]
        case StatusEvent(execution):
            return [("status", execution_summary(execution).model_dump(mode="json"))]
        case EndEvent(execution):
            answer = execution_answer(execution, None).model_dump(mode="json")
            # Its reader has had both already, whole.
            return [("end", {key: value for key, value in answer.items() if key not in ("stdout", "stderr")})]
        case IdleEvent():
            return [("idle", {})]


def _pieces(chunk: Chunk) -> list[dict[str, JsonValue]]:
    """As text where it is UTF-8, else as base64; a character that is cut at the end is a piece of its own."""
    for cut in range(_LONGEST_CHARACTER):
        kept = len(chunk.data) - cut
        try:
            text = chunk.data[:kept].decode()
        except UnicodeDecodeError:
            continue
        head: list[dict[str, JsonValue]] = [{"offset": chunk.offset, "text": text}] if text else []
        tail = [_binary(chunk.offset + kept, chunk.data[kept:])] if cut else []
        return [*head, *tail]
    return [_binary(chunk.offset, chunk.data)]


def _binary(offset: int, data: bytes) -> dict[str, JsonValue]:
    return {"offset": offset, "base64": base64.b64encode(data).decode()}
