"""CEL conditions: compiled and type-checked once, and true only when they say exactly true.

cel-expr-python hands run-time errors back as values that are truthy. Nothing counts as true here but a value
of type BOOL that is True; everything else is `UNKNOWN`, and the caller decides what doubt means for it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from hitl_contract.action_code import CodeExecution
from hitl_contract.action_operations import FileChange, Generic, HttpRequest, ShellCommand, ToolCall
from hitl_contract.action_packages import PackageAddition
from hitl_mcp.policies.errors import ConditionRefused

if TYPE_CHECKING:
    from cel_expr_python import cel  # pyright: ignore[reportMissingTypeStubs]

_log = logging.getLogger(__name__)

VARIABLES: Final[Mapping[str, str]] = {
    "action": "map<string, dyn>",
    "action_type": "string",
    "agent.name": "string",
    "agent.roles": "list<string>",
    "agent.environment": "string",
    "agent.trusted": "bool",
    "agent.owner": "string",
    "environment": "string",
    "risk": "int",
    "low": "int",
    "medium": "int",
    "high": "int",
    "critical": "int",
    "claimed_risk": "int",
    "votes": "map<string, int>",
    "findings": "list<map<string, dyn>>",
    "execution_time": "int",
    "network": "bool",
    "hosts": "list<string>",
    "packages": "list<string>",
    "path": "string",
    "program": "string",
    "language": "string",
    "code_length": "int",
    "justification": "string",
    "now": "timestamp",
}
"""What a condition may name, and its type. docs/policies.md says what each holds and when it is missing."""

ACTION_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    str(model.model_fields["type"].default): frozenset(model.model_fields)
    for model in (
        CodeExecution,
        PackageAddition,
        ShellCommand,
        ToolCall,
        HttpRequest,
        FileChange,
        Generic,
    )
}
"""The top-level fields of each type of action."""

_LITERALS: Final = re.compile(
    r"[rRbB]{0,2}(?:'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")", re.S
)
_COMMENT: Final = re.compile(r"//[^\n]*")
_LOOP_OR_PARENTHESIS: Final = re.compile(
    r"\.\s*(?:all|exists|exists_one|existsOne|map|filter|transform\w*)\s*\(|[()]"
)
MOST_LOOPS: Final = 8
DEEPEST_LOOP: Final = 2
MOST_ROUNDS: Final = 10_000
MOST_CHARACTERS: Final = 5_000_000
"""What the loops of a condition may cost: rounds, and rounds times the longest text that they could look at.
About 20 ms, during which nothing else is served."""
_ACTION_FIELD: Final = re.compile(r"(?<![.\w])action\s*\.\s*([A-Za-z_]\w*)(?!\s*\()")


class Truth(Enum):
    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


class Condition:
    """One condition. Compiling costs a third of a millisecond, evaluating a hundredth."""

    __slots__ = ("_expression", "_loops", "text")

    def __init__(self, text: str) -> None:
        """
        Raises:
            ConditionRefused: it is no CEL, names what does not exist, is of another type than bool, or has
                more loops or loops nested deeper than may be.
        """
        self.text = text
        self._expression = _compiled(text)
        self._loops = _depth_of_loops(text)

    @property
    def uses_findings(self) -> bool:
        return re.search(r"(?<![.\w])findings\b", _LITERALS.sub("''", self.text)) is not None

    def evaluate(self, variables: Variables) -> Truth:
        """Never raises: whatever goes wrong is UNKNOWN, and so is what would take too long."""
        if self._loops and variables.is_too_much(self._loops):
            _log.warning("an action is too large for the loops of a condition, which counts as undecided")
            return Truth.UNKNOWN
        try:
            value = self._expression.eval(variables.activation())
            if value.type() != _cel().Type.BOOL:
                return Truth.UNKNOWN
            plain = value.value()
        except Exception:
            return Truth.UNKNOWN
        if plain is True:
            return Truth.TRUE
        return Truth.FALSE if plain is False else Truth.UNKNOWN


class Variables:
    """The values that conditions see, bound once for all conditions about one request."""

    __slots__ = ("_activation", "_size", "_values")

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values
        self._activation: Any = None
        self._size: tuple[int, int] | None = None

    def activation(self) -> Any:
        if self._activation is None:
            self._activation = _environment().Activation(dict(self._values))
        return self._activation

    def is_too_much(self, depth: int) -> bool:
        """Whether loops nested that deep could cost more than they may, whatever they go through."""
        if self._size is None:
            self._size = _size(self._values)
        rounds = self._size[0] ** depth
        return rounds > MOST_ROUNDS or rounds * self._size[1] > MOST_CHARACTERS


def check_action_fields(text: str, action_types: frozenset[str]) -> None:
    """
    Raises:
        ConditionRefused: `action.x` where none of these types of action has a field `x`.
    """
    known = frozenset[str]().union(*(ACTION_FIELDS[each] for each in action_types))
    for name in _ACTION_FIELD.findall(_LITERALS.sub("''", text)):
        if name not in known:
            raise ConditionRefused(
                f"names action.{name}, which no action of type {' or '.join(sorted(action_types))} has; "
                f"there are {', '.join(sorted(known))}"
            )


def _size(values: Mapping[str, object]) -> tuple[int, int]:
    """How many values there are in all lists and maps together, and the length of the longest text."""
    count, longest = 0, 0
    waiting: list[object] = list(values.values())
    while waiting and count <= MOST_ROUNDS:
        value = waiting.pop()
        if isinstance(value, str):
            longest = max(longest, len(value))
        elif isinstance(value, Mapping):
            inner = cast("Mapping[str, object]", value)
            count += len(inner)
            waiting += (*inner, *inner.values())
        elif isinstance(value, list | tuple):
            items = cast("list[object]", value)
            count += len(items)
            waiting += items
    return count, longest


def _depth_of_loops(text: str) -> int:
    """How deep loops are nested; 0 without any. Raises ConditionRefused."""
    open_loops: list[bool] = []
    loops = deepest = 0
    for found in _LOOP_OR_PARENTHESIS.findall(_COMMENT.sub("", _LITERALS.sub("''", text))):
        if found == ")":
            if not open_loops:
                raise ConditionRefused(
                    "has quotes in which no loops can be told from texts; write it simpler"
                )
            open_loops.pop()
            continue
        open_loops.append(found != "(")
        loops += open_loops[-1]
        deepest = max(deepest, sum(open_loops))
    if deepest > DEEPEST_LOOP:
        raise ConditionRefused(f"has loops nested {deepest} deep; {DEEPEST_LOOP} is the most")
    if loops > MOST_LOOPS:
        raise ConditionRefused(f"has {loops} loops; {MOST_LOOPS} is the most")
    return deepest


def _compiled(text: str) -> cel.Expression:
    try:
        expression = _environment().compile(text)
    except RuntimeError as error:
        raise ConditionRefused(f"is no condition: {_reason(str(error))}") from None
    kind = expression.return_type()
    if kind not in (_cel().Type.BOOL, _cel().Type.DYN):
        raise ConditionRefused(f"is of type {kind.name().lower()}; a condition is true or false")
    return expression


def _reason(message: str) -> str:
    first = message.partition("\n")[0].removeprefix("INVALID_ARGUMENT: ")
    return re.sub(r"^ERROR: <input>:\d+:(\d+): ", r"at character \1, ", first).replace(
        " (in container '')", ""
    )


def _cel() -> Any:
    # Loading it takes tens of milliseconds, which a start over stdio without conditions should not pay.
    from cel_expr_python import cel  # pyright: ignore[reportMissingTypeStubs]

    return cel


@cache
def _environment() -> cel.Env:
    cel = _cel()
    return cel.NewEnv(variables={name: cel.Type(signature) for name, signature in VARIABLES.items()})
