"""The files behind the key ring: readable as they are, or sealed under a passphrase.

A sealed directory has `sealed-keys.json`: a random data key, encrypted with AES-256-GCM under a key that
scrypt makes of the passphrase. Every other file `NAME` is `NAME.sealed`, encrypted under the data key, its
name being authenticated with it, so that no file can pass for another.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Annotated, Final, Literal, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hitl_contract.canonical import base64url_decode, base64url_encode, canonical_json
from hitl_mcp.minting.key_files import KeyFileRefused, read_private_file, write_private_file
from hitl_mcp.minting.passphrases import WrongPassphrase

SEALING_FILE: Final = "sealed-keys.json"
SUFFIX: Final = ".sealed"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class KeyStore(Protocol):
    """Reads and writes the content of key files by name. Raises KeyFileRefused and HomeNotWritable."""

    def path(self, name: str) -> Path: ...

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, content: bytes) -> None: ...


class PlainKeyStore:
    """Files of mode 0600, readable by whoever is this user."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, name: str) -> Path:
        return self._directory / name

    def read(self, name: str) -> bytes:
        return read_private_file(self.path(name))

    def write(self, name: str, content: bytes) -> None:
        write_private_file(self.path(name), content)


class KdfCost(BaseModel):
    """What one guess at the passphrase costs: scrypt (RFC 7914) takes 128 * n * r bytes, here 128 MiB."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: Annotated[int, Field(ge=2**14, le=2**20)] = 2**17
    r: Annotated[int, Field(ge=8, le=16)] = 8
    p: Annotated[int, Field(ge=1, le=4)] = 1


class _SealingFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    kdf: Literal["scrypt"] = "scrypt"
    cost: KdfCost
    salt: str
    data_key: str


class SealedKeyStore:
    """Files that only who knows the passphrase can read, or write so that they are accepted."""

    def __init__(self, directory: Path, data_key: bytes) -> None:
        self._directory = directory
        self._data_key = data_key

    @classmethod
    def create(cls, directory: Path) -> SealedKeyStore:
        """With a new data key, which `protect` has to write down."""
        return cls(directory, secrets.token_bytes(_KEY_BYTES))

    @classmethod
    def open(cls, directory: Path, passphrase: str) -> SealedKeyStore:
        """Raises WrongPassphrase, or KeyFileRefused when the file is damaged."""
        path = directory / SEALING_FILE
        try:
            sealing = _SealingFile.model_validate_json(read_private_file(path))
            salt, wrapped = base64url_decode(sealing.salt), base64url_decode(sealing.data_key)
        except (ValidationError, ValueError):
            raise KeyFileRefused(f"The file {path} is not what `hitl keys seal` writes.") from None
        key = _stretched(passphrase, salt, sealing.cost)
        try:
            return cls(directory, _decrypt(key, wrapped, _header(sealing.cost, sealing.salt)))
        except InvalidTag:
            raise WrongPassphrase(f"The passphrase does not open the keys in {directory}.") from None

    def protect(self, passphrase: str, cost: KdfCost | None = None) -> None:
        """Write the data key down under the passphrase; the one before opens nothing any more."""
        cost, salt = cost or KdfCost(), secrets.token_bytes(16)
        text = base64url_encode(salt)
        wrapped = _encrypt(_stretched(passphrase, salt, cost), self._data_key, _header(cost, text))
        content = _SealingFile(cost=cost, salt=text, data_key=base64url_encode(wrapped))
        write_private_file(
            self._directory / SEALING_FILE, (json.dumps(content.model_dump(), indent=2) + "\n").encode()
        )

    def path(self, name: str) -> Path:
        return self._directory / f"{name}{SUFFIX}"

    def read(self, name: str) -> bytes:
        path = self.path(name)
        try:
            return _decrypt(self._data_key, read_private_file(path), name.encode())
        except InvalidTag:
            raise KeyFileRefused(f"The key file {path} was changed, or belongs to other keys.") from None

    def write(self, name: str, content: bytes) -> None:
        write_private_file(self.path(name), _encrypt(self._data_key, content, name.encode()))

    def __repr__(self) -> str:
        return f"SealedKeyStore({self._directory})"


def is_sealed(directory: Path) -> bool:
    """Whether the keys in this directory are sealed."""
    return (directory / SEALING_FILE).exists()


def erase(path: Path) -> None:
    """Remove a file of secrets, writing over it first; a disk that keeps old blocks may still have it."""
    try:
        with path.open("r+b") as file:
            file.write(b"\0" * os.fstat(file.fileno()).st_size)
            file.flush()
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
    path.unlink(missing_ok=True)


def _stretched(passphrase: str, salt: bytes, cost: KdfCost) -> bytes:
    return Scrypt(salt=salt, length=_KEY_BYTES, n=cost.n, r=cost.r, p=cost.p).derive(passphrase.encode())


def _header(cost: KdfCost, salt: str) -> bytes:
    return canonical_json({"type": "hitl-sealed-keys", "cost": cost.model_dump(), "salt": salt})


def _encrypt(key: bytes, content: bytes, bound_to: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, bound_to)


def _decrypt(key: bytes, content: bytes, bound_to: bytes) -> bytes:
    if len(content) <= _NONCE_BYTES:
        raise InvalidTag
    return AESGCM(key).decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], bound_to)
