"""Turns the text of a rules file into documents; each mistake has its line, its value and what is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hitl_contract.display import safe_text
from hitl_mcp.policies.documents import PolicyDocument
from hitl_mcp.policies.errors import PolicyProblem, PolicyRefused
from hitl_mcp.policies.places import Path, PlacedDocument, read_document

ModelT = TypeVar("ModelT", bound=BaseModel)
_MOST_SHOWN: Final = 80
_MOST_PROBLEMS: Final = 50


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """One file that has the right shape; whether it makes sense is checked later."""

    document: PolicyDocument
    placed: PlacedDocument


def parse_file(text: str, file: str) -> ParsedFile:
    """
    Raises:
        PolicyRefused: with every mistake of shape in the file.
    """
    placed = read_document(text, file)
    empty = tuple(_empty(placed, placed.values, ()))
    if empty:
        raise PolicyRefused(empty)
    return ParsedFile(validated(PolicyDocument, placed, "rules"), placed)


def validated(model: type[ModelT], placed: PlacedDocument, section: str) -> ModelT:
    """The document as a model. `section` is what such a file has at least.

    Raises:
        PolicyRefused: with every mistake of shape.
    """
    values = placed.values
    if not isinstance(values, dict):
        raise PolicyRefused((placed.problem((), f"must have `{section}:` and what belongs to it"),))
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_problem(model, placed, details) for details in error.errors()[:_MOST_PROBLEMS]]
        raise PolicyRefused(tuple(dict.fromkeys(problems))) from None


def _empty(placed: PlacedDocument, value: object, path: Path) -> Iterator[PolicyProblem]:
    """What has a name and no value: in a match it would silently mean everything."""
    if value is None:
        yield placed.problem(path, "is empty; give it a value or leave it out")
    elif isinstance(value, dict):
        for key, each in cast("dict[str, object]", value).items():
            yield from _empty(placed, each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(cast("list[object]", value)):
            yield from _empty(placed, each, (*path, index))


def _problem(model: type[BaseModel], placed: PlacedDocument, details: ErrorDetails) -> PolicyProblem:
    path = _real_path(placed, details["loc"])
    match details["type"]:
        case "missing":
            return placed.problem(path, "is missing and required")
        case "extra_forbidden":
            return placed.problem(path, f"is not a field here; {_suggestion(model, path)}")
        case _:
            reason = details["msg"].removeprefix("Value error, ").removeprefix("Input ")
            reason = reason.replace("valid tuple", "list").replace("valid dictionary", "mapping")
            return placed.problem(path, f"has the value {shown(details['input'])}: {reason}")


def _real_path(placed: PlacedDocument, location: tuple[str | int, ...]) -> Path:
    """The location without what pydantic adds to it, such as the name of a union's branch."""
    path: Path = ()
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if (*path, part) in placed.lines or (last and isinstance(part, str) and part.isidentifier()):
            path = (*path, part)
    return path


def _suggestion(model: type[BaseModel], path: Path) -> str:
    allowed = sorted(_fields_at(model, path))
    near = get_close_matches(str(path[-1]), allowed, n=1)
    return f"did you mean {near[0]!r}?" if near else f"allowed are {', '.join(allowed)}"


def _fields_at(model: type[BaseModel], path: Path) -> list[str]:
    """The names that may stand where the last part of `path` stands."""
    for part in path[:-1]:
        if isinstance(part, str):
            for name, field in model.model_fields.items():
                if part in {name, field.alias}:
                    model = _model_in(field.annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    arguments = cast("tuple[object, ...]", get_args(annotation))
    return next((found for each in arguments if (found := _model_in(each)) is not None), None)


def shown(value: object) -> str:
    """A value as it may stand in a message."""
    text = safe_text(repr(value))
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…"
