"""Turns refused arguments into sentences: the field, the value that was given, what is allowed.

Written for a model that reads the answer and tries again, so every sentence says what would be right. Payload
is never quoted: a value longer than a line is described by its kind and size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hitl_contract.display import safe_text
from hitl_contract.errors import FieldProblem

_LONGEST_QUOTED_VALUE: Final = 60
_MOST_PROBLEMS: Final = 20


def problems_of(error: ValidationError, *, allowed: Sequence[str]) -> tuple[FieldProblem, ...]:
    """Describe what pydantic refused. `allowed` names the arguments that exist."""
    return tuple(
        _problem_of(details, allowed)
        for details in error.errors(include_url=False, include_context=False)[:_MOST_PROBLEMS]
    )


def sentence(problems: Iterable[FieldProblem], *, consequence: str) -> str:
    """One line per problem, after a first line that says what did not happen."""
    return "\n".join([consequence, *(f"- {problem.field}: {problem.message}" for problem in problems)])


def _problem_of(details: ErrorDetails, allowed: Sequence[str]) -> FieldProblem:
    field = safe_text(".".join(str(part) for part in details["loc"])[:200]) or "arguments"
    match details["type"]:
        case "missing":
            return FieldProblem(field, "is missing and required")
        case "extra_forbidden":
            return FieldProblem(field, f"is not an argument; the arguments are {', '.join(allowed)}")
        case _:
            message = details["msg"].removeprefix("Value error, ").removeprefix("Input ")
            return FieldProblem(field, f"{message} (given: {described(details.get('input'))})")


def described(value: object) -> str:
    """A value as it may stand in a message: quoted when short, else its kind and size."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            text = repr(value)
            return text if len(text) <= _LONGEST_QUOTED_VALUE else f"a number of {len(text)} digits"
        case str() if len(value) <= _LONGEST_QUOTED_VALUE:
            return f'"{safe_text(value)}"'
        case str():
            return f"a string of {len(value)} characters"
        case list() | tuple():
            return f"a list of {len(value)} items"  # pyright: ignore[reportUnknownArgumentType]
        case dict():
            return f"an object of {len(value)} fields"  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return f"a value of type {type(value).__name__}"
