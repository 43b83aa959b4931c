"""A call of a Python function as an action, and an approved action as the arguments of a call."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from pydantic import JsonValue

from hitl_contract.action import Action
from hitl_contract.action_operations import ToolCall
from hitl_mcp.gate.errors import EditNotApplicable
from hitl_mcp.interface.edit_feedback import wanted_instead

_LARGEST_INTEGER: Final = 2**53 - 1
_DEPTH: Final = 50


class FunctionCalls:
    """The calls of one async function. `server` is the name under which rules know its program."""

    def __init__(self, function: Callable[..., Any], server: str) -> None:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(
                f"{_name(function)} is no async function. Approval can take hours, in which a sync function "
                "would hold everything else up; declare it with `async def`."
            )
        self._signature = inspect.signature(function)
        self._name = _name(function)
        self._server = server

    @property
    def name(self) -> str:
        return self._name

    def action_of(self, positional: tuple[Any, ...], named: Mapping[str, Any]) -> Action:
        """The call with every argument, defaults included.

        Raises:
            TypeError: the arguments do not fit the function, or one is not plain JSON.
        """
        bound = self._signature.bind(*positional, **named)
        bound.apply_defaults()
        arguments: dict[str, JsonValue] = {}
        for parameter, value in bound.arguments.items():
            kind = self._signature.parameters[parameter].kind
            stated: object = list(value) if kind is inspect.Parameter.VAR_POSITIONAL else value
            arguments[parameter] = _plain(stated, f"{self._name}: argument {parameter!r}", 0)
        return ToolCall(server=self._server, tool=self._name, arguments=arguments)

    def arguments_of(self, approved: Action) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """How to call the function with exactly what was approved.

        Raises:
            EditNotApplicable: an approver's edit is no call of this function.
        """
        if not isinstance(approved, ToolCall) or (approved.server, approved.tool) != (
            self._server,
            self._name,
        ):
            raise EditNotApplicable(
                f"The approver's edit is no call of {self._name}. Nothing was done. "
                f"{wanted_instead(approved)}"
            )
        if approved.arguments.keys() != self._signature.parameters.keys():
            raise self._does_not_fit(approved)
        bound = inspect.BoundArguments(self._signature, cast("Any", {}))
        for parameter in self._signature.parameters.values():
            value: Any = approved.arguments[parameter.name]
            variadic = {inspect.Parameter.VAR_POSITIONAL: list, inspect.Parameter.VAR_KEYWORD: dict}
            expected = variadic.get(parameter.kind)
            if expected is not None and not isinstance(value, expected):
                raise self._does_not_fit(approved)
            bound.arguments[parameter.name] = tuple(cast("list[Any]", value)) if expected is list else value
        return bound.args, bound.kwargs

    def _does_not_fit(self, approved: Action) -> EditNotApplicable:
        return EditNotApplicable(
            f"The approver's edit does not fit {self._name}. Nothing was done. {wanted_instead(approved)}"
        )


def _name(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', '?')}"


def _plain(value: object, where: str, depth: int) -> JsonValue:
    """A copy of `value`, so that nobody changes it while people think."""
    if depth > _DEPTH:
        raise TypeError(f"{where} is nested deeper than {_DEPTH} levels")
    match value:
        case None | bool() | str():
            return value
        case int() if abs(value) <= _LARGEST_INTEGER:
            return value
        case float() if math.isfinite(value):
            return value
        case list():
            return [_plain(each, where, depth + 1) for each in cast("list[object]", value)]
        case dict() if all(isinstance(key, str) for key in cast("dict[object, object]", value)):
            fields = cast("dict[str, object]", value)
            return {key: _plain(each, where, depth + 1) for key, each in fields.items()}
        case _:
            raise TypeError(
                f"{where} is of type {type(value).__name__}, which has no exact form in JSON that a person "
                "could be shown. Pass text, numbers, booleans, lists, dicts with text keys, or None."
            )
