"""Settings from a YAML file, overridden by environment variables, checked whole before anything starts.

A server's settings are a tree of `SettingsModel`s. `http.port` in the file is `PREFIX_HTTP__PORT` in the
environment. An empty variable counts as not set. A list may be given in the environment with commas or as
JSON.
"""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, cast, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from server_kit.errors import ConfigurationError

_SECRET_NAME = re.compile(r"token|secret|password|passphrase|(?:^|_)keys?$|webhook", re.IGNORECASE)
_CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/@\s]*@")
_MAX_SHOWN = 80


class SettingsModel(BaseModel):
    """The base of every group of settings: unknown names are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, validate_default=True)


S = TypeVar("S", bound=SettingsModel)


def load_settings(
    model: type[S],
    *,
    prefix: str,
    environment: Mapping[str, str],
    file: Path | None = None,
    not_settings: Iterable[str] = (),
) -> S:
    """Return the settings, or raise ConfigurationError: one line per mistake, naming setting, value and what
    is allowed.

    `prefix` ends with an underscore: `HITL_`. `not_settings` are variables with that prefix that mean
    something else, such as `HITL_CONFIG`.
    """
    values = {} if file is None else _read_file(file)
    others = set(not_settings)
    mistakes: list[str] = []
    for variable, raw in environment.items():
        if variable.startswith(prefix) and variable not in others and raw != "":
            _overlay(values, model, variable, prefix, raw, mistakes)
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(
            "\n".join(_describe(item, model, prefix) for item in error.errors())
        ) from None


def _read_file(file: Path) -> dict[str, Any]:
    try:
        content: object = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"the settings file {file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        raise ConfigurationError(f"the settings file {file} is not YAML{place}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"the settings file {file} must have settings as 'name: value'")
    return cast("dict[str, Any]", content)


def _overlay(
    values: dict[str, Any], model: type[BaseModel], variable: str, prefix: str, raw: str, mistakes: list[str]
) -> None:
    *groups, last = variable.removeprefix(prefix).lower().split("__")
    place, current = values, model
    for depth, name in enumerate([*groups, last]):
        field = _field(current, name)
        if field is None:
            mistakes.append(f"{variable} is not a setting; {_suggestion(name, current)}")
            return
        inner = _inner_model(field.annotation)
        if depth == len(groups):
            place[_key(current, name)] = _parse(raw, field, inner)
            return
        if inner is None:
            mistakes.append(f"{variable} is not a setting: {name!r} has no parts")
            return
        key = _key(current, name)
        if not isinstance(place.get(key), dict):
            place[key] = {}
        place, current = place[key], inner


def _field(model: type[BaseModel], name: str) -> FieldInfo | None:
    for field_name, field in model.model_fields.items():
        if name in {field_name, field.alias}:
            return field
    return None


def _key(model: type[BaseModel], name: str) -> str:
    field = _field(model, name)
    return name if field is None or field.alias is None else field.alias


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in {Union, types.UnionType} else (annotation,)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    for candidate in _alternatives(annotation):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _parse(raw: str, field: FieldInfo, inner: type[BaseModel] | None) -> object:
    origins = {get_origin(candidate) or candidate for candidate in _alternatives(field.annotation)}
    sequence = bool(origins & {list, tuple, set, frozenset})
    if (sequence and raw.startswith("[")) or ((inner is not None or dict in origins) and raw.startswith("{")):
        try:
            return json.loads(raw)
        except ValueError:
            return raw
    return [part.strip() for part in raw.split(",")] if sequence else raw


def _describe(error: ErrorDetails, model: type[BaseModel], prefix: str) -> str:
    path = [str(part) for part in error["loc"]]
    name = ".".join(path)
    variable = prefix + "__".join(path).upper()
    if error["type"] == "extra_forbidden":
        return f"{name} ({variable}) is not a setting; {_suggestion(path[-1], _model_at(model, path[:-1]))}"
    if error["type"] == "missing":
        return f"{name} ({variable}) is not set and has no default"
    reason = error["msg"].removeprefix("Value error, ")
    return f"{name or 'settings'} ({variable}) has the value {_shown(path, error['input'])}: {reason}"


def _model_at(model: type[BaseModel], path: list[str]) -> type[BaseModel]:
    current = model
    for name in path:
        field = _field(current, name)
        inner = None if field is None else _inner_model(field.annotation)
        if inner is None:
            break
        current = inner
    return current


def _suggestion(name: str, model: type[BaseModel]) -> str:
    allowed = sorted(field.alias or field_name for field_name, field in model.model_fields.items())
    near = difflib.get_close_matches(name, allowed, n=1)
    return f"did you mean {near[0]!r}?" if near else f"allowed are {', '.join(allowed)}"


def _shown(path: list[str], value: object) -> str:
    secret = isinstance(value, (SecretStr, SecretBytes)) or any(_SECRET_NAME.search(part) for part in path)
    # What a validator of a whole group was given may have a secret anywhere inside it.
    if secret or isinstance(value, (dict, list, BaseModel)):
        return "(not shown)"
    text = _CREDENTIALS_IN_URL.sub("…@", repr(value))
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
