"""The Action: a complete description of what will happen, and its digest.

Defaults are filled in before the digest is taken, so the digest is over what will really run. Values are
normalised through their RFC 8785 bytes: what an executor reads is what the bytes say, never what a JSON
parser happened to keep (``1.0`` is ``1``, ``-0.0`` is ``0``, object keys are in canonical order).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from typing import Annotated, Union, cast

from pydantic import Field, TypeAdapter, ValidationError

from hitl_contract.action_code import CodeExecution
from hitl_contract.action_fields import ActionModel
from hitl_contract.action_files import InputFile
from hitl_contract.action_operations import FileChange, Generic, HttpRequest, ShellCommand, ToolCall
from hitl_contract.action_packages import PackageAddition
from hitl_contract.action_problems import describe_problems
from hitl_contract.canonical import canonical_json, digest_of_bytes, parse_strict_json
from hitl_contract.errors import CanonicalizationError, FieldProblem, InvalidAction

Action = Annotated[
    Union[  # noqa: UP007 - pydantic reads it
        CodeExecution, PackageAddition, ShellCommand, ToolCall, HttpRequest, FileChange, Generic
    ],
    Field(discriminator="type"),
]

MAX_ACTION_BYTES = 8 * 1024 * 1024
"""Largest canonical form of an action, in bytes."""

MAX_VALUES = 100_000
"""Most JSON values in an action: whoever parses, canonicalises or draws it works on each of them."""

MAX_LINES = 100_000
"""Most lines in all texts of an action together; a display has at least as many."""

_ADAPTER: TypeAdapter[Action] = TypeAdapter(Action)


def parse_action(value: object) -> Action:
    """Return the action that a JSON value describes, with every default filled in.

    Args:
        value: a JSON object (a ``dict``), or an action, which comes back normalised.

    Raises:
        InvalidAction: naming each field that is wrong and what is allowed there.
    """
    document = value.model_dump() if isinstance(value, ActionModel) else value
    _refuse_excess(document)
    return _normalise(_validate(document))


def parse_action_json(data: bytes | str) -> Action:
    """Like :func:`parse_action`, from JSON text; duplicate keys are refused.

    Raises:
        InvalidAction: the text is no JSON, or no action.
    """
    try:
        document = parse_strict_json(data)
    except CanonicalizationError as error:
        raise InvalidAction((FieldProblem("action", str(error)),)) from error
    return parse_action(document)


def canonical_action(action: Action) -> bytes:
    """Return the RFC 8785 bytes that the digest is over."""
    return canonical_json(action.model_dump())


def action_digest(action: Action) -> str:
    """Return ``sha-256:<base64url>`` of the action's canonical bytes."""
    return digest_of_bytes(canonical_action(action))


def action_json_schema() -> dict[str, object]:
    """Return the JSON Schema of an action as callers may send it (defaults may be left out)."""
    return deepcopy(_action_json_schema())


@cache
def _action_json_schema() -> dict[str, object]:
    return cast("dict[str, object]", _ADAPTER.json_schema(mode="validation"))


def _refuse_excess(document: object) -> None:
    """Refuse what would take long to check, before it is checked."""
    waiting, values, lines = [document], 0, 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            held = cast("dict[object, object]", value)
            waiting.extend(held.values())
            values += len(held)
        elif isinstance(value, list | tuple):
            items = cast("Sequence[object]", value)
            waiting.extend(items)
            values += len(items)
        elif isinstance(value, str):
            lines += value.count("\n")
        if values > MAX_VALUES or lines > MAX_LINES:
            what = f"{MAX_VALUES} values" if values > MAX_VALUES else f"{MAX_LINES} lines of text"
            raise InvalidAction(
                (FieldProblem("action", f"holds more than {what}; nobody could review that"),)
            )


def _refuse_hidden_lines(action: Action) -> None:
    """Base64 that holds text is shown as the text that it is."""
    if not isinstance(action, CodeExecution):
        return
    files = (file for file in action.files if isinstance(file, InputFile))
    encoded = (file.content_base64 for file in files if file.content_base64)
    if sum(base64.b64decode(each).count(b"\n") for each in encoded) > MAX_LINES:
        message = f"holds more than {MAX_LINES} lines of text; nobody could review that"
        raise InvalidAction((FieldProblem("files", message),))


def _validate(document: object) -> Action:
    try:
        return _ADAPTER.validate_python(document)
    except ValidationError as error:
        raise InvalidAction(describe_problems(error)) from error


def _normalise(action: Action) -> Action:
    try:
        canonical = canonical_action(action)
        normal_form = parse_strict_json(canonical)
    except CanonicalizationError as error:
        raise InvalidAction((FieldProblem("action", str(error)),)) from error
    if len(canonical) > MAX_ACTION_BYTES:
        message = f"is {len(canonical)} bytes in all; at most {MAX_ACTION_BYTES} are allowed"
        raise InvalidAction((FieldProblem("action", message),))
    _refuse_hidden_lines(action)
    return _validate(normal_form)
