"""The server's keys, in files of mode 0600 in one directory outside the database.

    keyring.json            which signing key is active, which are retired or revoked; replaced in one step
    signing-<key id>.pem    the active Ed25519 signing key; a retired one's private half is deleted
    audit.pem               the Ed25519 key of audit checkpoints
    seal.key                the key of the seals (`seals.py`)

Sealed under a passphrase (`key_store.py`), each of them is NAME.sealed instead.

A retired key's public half stays published until the last token it may have signed has expired, and not
longer. A running server follows a rotation made by another process at its next use of the ring.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hitl_contract.canonical import base64url_decode, base64url_encode
from hitl_contract.capability import MAX_LIFETIME_SECONDS
from hitl_contract.keys import PublicKeys, key_id
from hitl_contract.verify import MAX_LEEWAY_SECONDS
from hitl_mcp.errors import HitlError
from hitl_mcp.minting.key_files import (
    KeyFileRefused,
    make_private_directory,
    parse_private_key,
    parse_secret,
    private_key_text,
    secret_text,
)
from hitl_mcp.minting.key_store import SEALING_FILE, KeyStore, PlainKeyStore
from hitl_mcp.minting.seals import SEAL_KEY_BYTES
from server_kit.clock import Clock

RING_FILE: Final = "keyring.json"

RETIRED_KEY_PUBLISHED: Final = timedelta(seconds=MAX_LIFETIME_SECONDS + MAX_LEEWAY_SECONDS)
"""How long a retired key stays published: longest token lifetime and largest leeway of a verifier."""


class UnknownKey(HitlError):
    """No key of this id is in the key ring."""


class KeyState(StrEnum):
    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class SigningKey:
    private: Ed25519PrivateKey
    key_id: str

    @classmethod
    def of(cls, private: Ed25519PrivateKey) -> SigningKey:
        return cls(private, key_id(private.public_key()))

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"


class KeyEntry(BaseModel):
    """One signing key as the ring remembers it; `published_until` is set once it is retired."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    public: str
    state: KeyState
    created_at: datetime
    published_until: datetime | None = None
    revoked_at: datetime | None = None


class _RingFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    keys: tuple[KeyEntry, ...]


@dataclass(frozen=True, slots=True)
class _Loaded:
    stamp: tuple[int, int]
    entries: tuple[KeyEntry, ...]
    signing: SigningKey


class KeyRing:
    """All keys of one server. `create` makes them, `open` reads them; both raise KeyFileRefused."""

    def __init__(self, directory: Path, clock: Clock, store: KeyStore) -> None:
        self._directory = directory
        self._clock = clock
        self._store = store
        self._loaded = self._load()
        self.audit_key = SigningKey.of(_read_private_key(store, "audit.pem"))
        self.seal_key = parse_secret(store.read("seal.key"), store.path("seal.key"), SEAL_KEY_BYTES)

    @classmethod
    def open(cls, directory: Path, *, clock: Clock, store: KeyStore | None = None) -> KeyRing:
        """The keys in `store`; without one they are read as they lie in the directory."""
        return cls(directory, clock, store or PlainKeyStore(directory))

    @classmethod
    def create(cls, directory: Path, *, clock: Clock) -> KeyRing:
        """Make every key. Refuses a directory that has a key ring already: keys are never replaced."""
        make_private_directory(directory)
        if (directory / RING_FILE).exists() or (directory / SEALING_FILE).exists():
            raise KeyFileRefused(f"{directory} has a key ring already. Use it, or run `hitl keys rotate`.")
        store = PlainKeyStore(directory)
        store.write("seal.key", secret_text(secrets.token_bytes(SEAL_KEY_BYTES)))
        store.write("audit.pem", private_key_text(Ed25519PrivateKey.generate()))
        entry = _generate(store, clock.now())
        _write_ring(store, (entry,))
        return cls(directory, clock, store)

    def signing_key(self) -> SigningKey:
        """The active key; a rotation by another process is noticed here."""
        return self._current().signing

    def public_keys(self) -> PublicKeys:
        """What `/.well-known/jwks.json` publishes now: the active key, and retired ones within their time."""
        now = self._clock.now()
        return PublicKeys(_public(entry) for entry in self._current().entries if _published(entry, now))

    def entries(self) -> tuple[KeyEntry, ...]:
        """Every signing key the ring remembers, newest first."""
        return self._current().entries

    def rotate(self) -> SigningKey:
        """Sign with a new key from now on; the old one only verifies, until its last token has expired."""
        with self._locked():
            self._replace_active(KeyState.RETIRED)
        return self.signing_key()

    def revoke(self, identifier: str) -> None:
        """Stop publishing a key at once: every token it signed is refused. An active one is replaced.

        Raises UnknownKey.
        """
        with self._locked():
            entry = next((entry for entry in self.entries() if entry.key_id == identifier), None)
            if entry is None:
                raise UnknownKey(f"No key {identifier[:80]!r} is in the key ring. See `hitl keys list`.")
            if entry.state is KeyState.ACTIVE:
                self._replace_active(KeyState.REVOKED)
            elif entry.state is KeyState.RETIRED:
                _write_ring(
                    self._store,
                    tuple(
                        _revoked(each, self._clock.now()) if each is entry else each
                        for each in self.entries()
                    ),
                )

    def _replace_active(self, state: Literal[KeyState.RETIRED, KeyState.REVOKED]) -> None:
        now = self._clock.now()
        before = self._current().entries
        new = _generate(self._store, now)
        retire = _retired if state is KeyState.RETIRED else _revoked
        _write_ring(
            self._store,
            (new, *(retire(entry, now) if entry.state is KeyState.ACTIVE else entry for entry in before)),
        )
        for entry in before:
            self._store.path(_signing_file(entry.key_id)).unlink(missing_ok=True)

    def _current(self) -> _Loaded:
        if self._stamp() != self._loaded.stamp:
            self._loaded = self._load()
        return self._loaded

    def _stamp(self) -> tuple[int, int]:
        try:
            found = os.stat(self._store.path(RING_FILE))
        except OSError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_ino)

    def _load(self) -> _Loaded:
        stamp = self._stamp()
        path = self._store.path(RING_FILE)
        try:
            ring = _RingFile.model_validate_json(self._store.read(RING_FILE))
            publics = {entry.key_id: key_id(_public(entry)) for entry in ring.keys}
        except (ValidationError, ValueError):
            raise KeyFileRefused(f"The key file {path} is not a key ring.") from None
        active = [entry for entry in ring.keys if entry.state is KeyState.ACTIVE]
        if len(active) != 1 or any(named != actual for named, actual in publics.items()):
            raise KeyFileRefused(
                f"The key file {path} does not name exactly one active key, or misnames one."
            )
        name = _signing_file(active[0].key_id)
        signing = SigningKey.of(_read_private_key(self._store, name))
        if signing.key_id != active[0].key_id:
            raise KeyFileRefused(
                f"The key file {self._store.path(name)} holds another key than its name says."
            )
        return _Loaded(stamp, ring.keys, signing)

    @contextmanager
    def _locked(self) -> Generator[None]:
        # Two rotations at once would each retire the same key and lose one of the new ones.
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _read_private_key(store: KeyStore, name: str) -> Ed25519PrivateKey:
    return parse_private_key(store.read(name), store.path(name))


def _generate(store: KeyStore, now: datetime) -> KeyEntry:
    private = Ed25519PrivateKey.generate()
    identifier = key_id(private.public_key())
    store.write(_signing_file(identifier), private_key_text(private))
    public = base64url_encode(private.public_key().public_bytes_raw())
    return KeyEntry(key_id=identifier, public=public, state=KeyState.ACTIVE, created_at=now)


def _signing_file(identifier: str) -> str:
    return f"signing-{identifier}.pem"


def _public(entry: KeyEntry) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(base64url_decode(entry.public))


def _published(entry: KeyEntry, now: datetime) -> bool:
    if entry.state is KeyState.ACTIVE:
        return True
    return (
        entry.state is KeyState.RETIRED and entry.published_until is not None and now < entry.published_until
    )


def _retired(entry: KeyEntry, now: datetime) -> KeyEntry:
    return entry.model_copy(
        update={"state": KeyState.RETIRED, "published_until": now + RETIRED_KEY_PUBLISHED}
    )


def _revoked(entry: KeyEntry, now: datetime) -> KeyEntry:
    return entry.model_copy(update={"state": KeyState.REVOKED, "published_until": None, "revoked_at": now})


def _write_ring(store: KeyStore, entries: tuple[KeyEntry, ...]) -> None:
    content = json.dumps(_RingFile(keys=entries).model_dump(mode="json"), indent=2) + "\n"
    store.write(RING_FILE, content.encode())
