"""Actions that are approved here and carried out by somebody else's executor."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, field_validator

from hitl_contract.action_fields import ActionModel, Name, PlainText

_HEADER_NAME = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")
_VARIABLE_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")


class ShellCommand(ActionModel):
    """Run a command by its argument vector; no shell takes it apart."""

    type: Literal["shell_command"] = "shell_command"
    argv: Annotated[
        tuple[Annotated[PlainText, Field(max_length=131_072)], ...],
        Field(strict=False, min_length=1, max_length=1024),
    ]
    cwd: Annotated[PlainText | None, Field(min_length=1, max_length=4096)] = None
    env: Annotated[
        dict[str, Annotated[PlainText, Field(max_length=131_072)]],
        Field(max_length=256, default_factory=dict),
    ]

    @field_validator("argv")
    @classmethod
    def _names_a_program(cls, argv: tuple[str, ...]) -> tuple[str, ...]:
        if not argv[0]:
            raise ValueError("must name the program first")
        return argv

    @field_validator("env")
    @classmethod
    def _has_variable_names(cls, env: dict[str, str]) -> dict[str, str]:
        for name in env:
            if not _VARIABLE_NAME.match(name):
                raise ValueError(f"has a key that is no variable name: {name[:50]!r}")
        return env


class ToolCall(ActionModel):
    """Call a tool of an MCP server with exactly these arguments."""

    type: Literal["tool_call"] = "tool_call"
    server: Name
    tool: Name
    arguments: Annotated[dict[str, JsonValue], Field(default_factory=dict)]


class HttpRequest(ActionModel):
    """Send one HTTP request; a body is bound by its digest."""

    type: Literal["http_request"] = "http_request"
    method: Annotated[
        Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], Field(description="In capitals")
    ]
    url: Annotated[PlainText, Field(min_length=1, max_length=8192)]
    headers: Annotated[
        dict[str, Annotated[PlainText, Field(max_length=8192)]], Field(max_length=100, default_factory=dict)
    ]
    body_sha256: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$")] = None

    @field_validator("url")
    @classmethod
    def _is_absolute(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            has_host = bool(parts.hostname)
        except ValueError as error:
            raise ValueError("must be an absolute http or https address") from error
        if parts.scheme not in {"http", "https"} or not has_host or re.search(r"[\s\x00-\x1f\x7f\\]", url):
            raise ValueError("must be an absolute http or https address without white space")
        return url

    @field_validator("headers")
    @classmethod
    def _has_header_names(cls, headers: dict[str, str]) -> dict[str, str]:
        lowered = [name.lower() for name in headers]
        if len(set(lowered)) != len(lowered):
            raise ValueError("must not name a header twice in different letter case")
        for name, value in headers.items():
            if not _HEADER_NAME.match(name):
                raise ValueError(f"has a key that is no header name: {name[:50]!r}")
            if "\r" in value or "\n" in value:
                raise ValueError(f"must not contain a line break in {name}")
        return headers


class FileChange(ActionModel):
    """Change one file by a unified diff."""

    type: Literal["file_change"] = "file_change"
    path: Annotated[PlainText, Field(min_length=1, max_length=4096)]
    diff: Annotated[str, Field(min_length=1, max_length=4_000_000)]


class Generic(ActionModel):
    """Anything else, named by ``operation`` and spelled out in ``details``."""

    type: Literal["generic"] = "generic"
    operation: Name
    details: Annotated[dict[str, JsonValue], Field(default_factory=dict)]
