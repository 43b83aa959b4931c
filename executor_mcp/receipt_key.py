"""The executor's own Ed25519 key, made on the first start: it signs receipts and audit checkpoints, never
tokens.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hitl_contract.keys import PublicKeys, key_id
from server_kit.errors import ConfigurationError, HomeNotWritable

FILE_NAME = "receipts.pem"


@dataclass(frozen=True)
class ReceiptKey:
    """A private key with the id under which its public half is published."""

    private: Ed25519PrivateKey = field(repr=False)
    key_id: str

    def public_keys(self) -> PublicKeys:
        return PublicKeys([self.private.public_key()])


def load_or_create_receipt_key(directory: Path) -> ReceiptKey:
    """Read `receipts.pem`, or make it with mode 0600.

    Raises:
        ConfigurationError: the file is no Ed25519 private key, or others than its owner may read it.
        HomeNotWritable: it does not exist and cannot be made.
    """
    path = directory / FILE_NAME
    if not path.exists():
        _create(path)
    return _load(path)


def _create(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link fails when another process was first; its key is then the one that is read.
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise HomeNotWritable(
            f"cannot write the receipt key {path}: {error.strerror}; make the directory writable or set "
            "EXECUTOR_HOME"
        ) from error


def _load(path: Path) -> ReceiptKey:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        pem = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read the receipt key {path}: {error.strerror}") from error
    if mode & 0o077:
        raise ConfigurationError(
            f"the receipt key {path} has mode {mode:04o}: others may read it; run chmod 600 {path}"
        )
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"the receipt key {path} is not an unencrypted PEM private key; restore it from a backup, "
            "or move it away to have a new one made"
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigurationError(
            f"the receipt key {path} is not an Ed25519 key; restore it, or move it away to have a new "
            "one made"
        )
    return ReceiptKey(private, key_id(private.public_key()))
