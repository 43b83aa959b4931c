"""Asks the approval server about one call, over HTTP with the agent's key. Standard library only."""

from __future__ import annotations

import json
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final, cast
from urllib.parse import urlsplit

from hitl_mcp.hook.events import ToolEvent, Verdict

HELD_SECONDS: Final = 25
_ANSWER_SECONDS: Final = 15.0
_MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024


class ServerDown(Exception):
    """No server answered, or it cannot answer now."""


class ServerRefused(Exception):
    """The server does not want to be asked like this."""


def ask_server(url: str, api_key: str, event: ToolEvent, *, wait_seconds: float) -> Verdict:
    """Ask, and wait for a person at most `wait_seconds`, in pieces that every proxy on the way stands.

    Raises:
        ServerDown: it does not answer.
        ServerRefused: it refuses the key or the question; with its own words.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        left = deadline - time.monotonic()
        held = max(0, min(HELD_SECONDS, int(left)))
        answer = _post(url, api_key, _question(event, held), timeout_seconds=held + _ANSWER_SECONDS)
        if answer.get("undecided") is not True or left <= 1:
            return verdict_of(event, answer)


def verdict_of(event: ToolEvent, answer: dict[str, Any]) -> Verdict:
    """The server's answer as a verdict; what is no clear yes is a no."""
    if answer.get("behavior") == "allow" and isinstance(answer.get("updatedInput"), dict):
        updated = answer["updatedInput"]
        # Python takes True for 1, and an approver's edit from one to the other for none.
        same = json.dumps(updated, sort_keys=True) == json.dumps(event.tool_input, sort_keys=True)
        changed = None if same else updated
        return Verdict("allow", "Allowed by the approval server.", changed)
    message = answer.get("message")
    return Verdict("deny", message if isinstance(message, str) else "The approval server did not allow this.")


def question_of(event: ToolEvent) -> dict[str, Any]:
    """The arguments of `permission_prompt` for this call."""
    question: dict[str, Any] = {"tool_name": event.tool_name, "input": event.tool_input}
    if event.tool_use_id is not None:
        question["tool_use_id"] = event.tool_use_id
    return question


def _question(event: ToolEvent, held: int) -> dict[str, Any]:
    question = question_of(event) | {"wait_seconds": held}
    return question if event.cwd is None else question | {"cwd": event.cwd}


def _post(url: str, api_key: str, body: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ServerRefused("the server's address is no http or https URL; correct --url or HITL_URL")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
    try:
        connection = kind(parts.hostname, parts.port, timeout=timeout_seconds)
        try:
            content = json.dumps(body).encode()
            connection.request("POST", f"{parts.path.rstrip('/')}/api/v1/permissions", content, headers)
            return _read(connection.getresponse())
        finally:
            connection.close()
    except (OSError, HTTPException) as error:
        raise ServerDown(f"the approval server does not answer ({type(error).__name__})") from None


def _read(response: HTTPResponse) -> dict[str, Any]:
    raw = response.read(_MAX_ANSWER_BYTES + 1)
    try:
        document: object = json.loads(raw)
    except (ValueError, RecursionError):
        document = None
    fields = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    if response.status == 200 and len(raw) <= _MAX_ANSWER_BYTES and fields:
        return fields
    detail = fields.get("detail")
    said = f": {detail}" if isinstance(detail, str) else ""
    if response.status == 429 or response.status >= 500:
        raise ServerDown(f"the approval server cannot answer now ({response.status}{said})")
    raise ServerRefused(f"the approval server refused the question ({response.status}{said})")
