"""What every kind of action shares: strictness and the checks of single values."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


class ActionModel(BaseModel):
    """Base of all actions and their parts: frozen, no coercion, no unknown fields, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _refuse_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain a NUL character")
    return value


def relative_path(value: str) -> str:
    """The path itself; ValueError where it is absolute, climbs, or is not in its shortest form."""
    path = PurePosixPath(_refuse_nul(value))
    if not value or path.is_absolute() or ".." in path.parts or str(path) != value or value == ".":
        raise ValueError(
            "must be a relative path in its shortest form, without '..' (for example data/input.csv)"
        )
    if len(path.parts) > 16:
        raise ValueError("must have at most 16 parts")
    if any(len(part.encode("utf-8", "surrogatepass")) > 255 for part in path.parts):
        raise ValueError("must have parts of at most 255 bytes")
    return value


def _base64(value: str) -> str:
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("must be base64 (RFC 4648 section 4)") from error
    if base64.b64encode(decoded).decode("ascii") != value:
        raise ValueError("must be base64 in its canonical form, with padding")
    return value


_DOMAIN = re.compile(
    r"^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])$"
)


def _domain(value: str) -> str:
    if not _DOMAIN.match(value):
        raise ValueError(
            "must be a lower-case domain name without scheme, port or path (for example api.example.com)"
        )
    return value


def _image_digest(value: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", value):
        raise ValueError("must be an image digest: sha256: and 64 hexadecimal digits")
    return value


PlainText = Annotated[str, AfterValidator(_refuse_nul)]
RelativePath = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(relative_path)]
Base64Text = Annotated[str, AfterValidator(_base64)]
Domain = Annotated[str, AfterValidator(_domain)]
ImageDigest = Annotated[str, AfterValidator(_image_digest)]
Requirement = Annotated[str, Field(pattern=r"^[A-Za-z0-9@][A-Za-z0-9@/._\[\],<>=!~^* -]{0,199}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_refuse_nul)]
