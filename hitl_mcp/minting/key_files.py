"""Files that hold secrets: written whole or not at all, and read only when nobody else could read them."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from server_kit.durable_files import replace_durably
from server_kit.errors import ConfigurationError, HomeNotWritable

DIRECTORY_MODE: Final = 0o700
_MAX_BYTES: Final = 65_536


class KeyFileRefused(ConfigurationError):
    """A key file is missing, open to others, or not what it should be. Never quotes its content."""


def make_private_directory(directory: Path) -> None:
    """Make the directory for key files, readable by its owner alone. Raises HomeNotWritable."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=DIRECTORY_MODE)
        directory.chmod(DIRECTORY_MODE)
    except OSError as error:
        raise HomeNotWritable(
            f"The directory for keys {directory} cannot be made ({error.strerror}). Set HITL_HOME to a "
            "directory you may write."
        ) from error


def write_private_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` durably: after a crash there is the old file or the new one.

    Raises HomeNotWritable.
    """
    try:
        replace_durably(path, content)
    except OSError as error:
        raise HomeNotWritable(f"The key file {path} cannot be written ({error.strerror}).") from error


def read_private_file(path: Path) -> bytes:
    """The content of a file of this user that no other user can open.

    Raises KeyFileRefused: missing, a link or no file, another owner, permissions for others, or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise KeyFileRefused(
            f"The key file {path} is missing. Run `hitl init`, or restore it from a backup."
        ) from error
    except OSError as error:
        raise KeyFileRefused(f"The key file {path} cannot be opened ({error.strerror}).") from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise KeyFileRefused(f"The key file {path} is not a regular file.")
        if found.st_uid != os.geteuid():
            raise KeyFileRefused(
                f"The key file {path} belongs to user id {found.st_uid}, not to {os.geteuid()} who runs this."
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise KeyFileRefused(
                f"The key file {path} has mode {stat.S_IMODE(found.st_mode):04o}, which lets others at it. "
                f"Run: chmod 600 {path}"
            )
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise KeyFileRefused(f"The key file {path} is too large to be a key.")
    return content


def private_key_text(key: Ed25519PrivateKey) -> bytes:
    """The key as PKCS #8 PEM, unencrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def parse_private_key(content: bytes, path: Path) -> Ed25519PrivateKey:
    """Inverse of `private_key_text`; `path` is for the message. Raises KeyFileRefused."""
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not chained: the parser's message could quote the file.
        raise KeyFileRefused(f"The key file {path} is not an unencrypted private key in PEM form.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileRefused(f"The key file {path} holds another kind of key; an Ed25519 key is needed.")
    return key


def secret_text(secret: bytes) -> bytes:
    """The secret as base64."""
    return base64.b64encode(secret) + b"\n"


def parse_secret(content: bytes, path: Path, length: int) -> bytes:
    """Inverse of `secret_text`, of a secret of `length` bytes. Raises KeyFileRefused."""
    try:
        secret = base64.b64decode(content.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise KeyFileRefused(f"The key file {path} is not base64.") from None
    if len(secret) != length:
        raise KeyFileRefused(f"The key file {path} holds {len(secret)} bytes; {length} are needed.")
    return secret
