"""Sealing and unsealing a directory of keys, so that a crash in between leaves one of the two, whole."""

from __future__ import annotations

from pathlib import Path

from hitl_mcp.minting.key_files import KeyFileRefused
from hitl_mcp.minting.key_store import (
    SEALING_FILE,
    SUFFIX,
    KdfCost,
    KeyStore,
    PlainKeyStore,
    SealedKeyStore,
    erase,
    is_sealed,
)
from hitl_mcp.minting.passphrases import Passphrases


def open_store(directory: Path, passphrases: Passphrases) -> KeyStore:
    """The files of these keys, opened with the passphrase where they are sealed.

    Raises:
        WrongPassphrase, PassphraseMissing: the keys stay closed.
        KeyFileRefused: readable keys lie where sealed ones are expected: somebody may have put them there.
    """
    if not is_sealed(directory):
        if passphrases.configured is not None:
            raise KeyFileRefused(
                f"{passphrases.configured} is set, but the keys in {directory} are not sealed. Run "
                "`hitl keys seal`; if they were sealed before, somebody has replaced them."
            )
        return PlainKeyStore(directory)
    readable = _plain_names(directory)
    if readable:
        raise KeyFileRefused(
            f"{directory} has sealed keys and the readable {readable[0]} besides. Run `hitl keys seal` to "
            "finish what was interrupted."
        )
    return SealedKeyStore.open(directory, passphrases.get(f"Passphrase of the keys in {directory}: "))


def seal_keys(directory: Path, passphrase: str, *, cost: KdfCost | None = None) -> None:
    """Encrypt every key file under the passphrase and remove the readable ones.

    1. Every file is written sealed, under a data key that exists in memory alone, and read back.
    2. The data key is written down under the passphrase: from here on the directory is sealed.
    3. The readable files are written over and removed.

    After an interruption between 2 and 3, running it again with the same passphrase finishes it.
    """
    names = _plain_names(directory)
    if is_sealed(directory):
        sealed = SealedKeyStore.open(directory, passphrase)
        if not names:
            raise KeyFileRefused(f"The keys in {directory} are sealed already.")
        for name in names:
            sealed.read(name)
    else:
        plain, sealed = PlainKeyStore(directory), SealedKeyStore.create(directory)
        for name in names:  # 1
            sealed.write(name, plain.read(name))
            if sealed.read(name) != plain.read(name):
                raise KeyFileRefused(f"The sealed form of {name} cannot be read back; nothing was changed.")
        sealed.protect(passphrase, cost)  # 2
    for name in names:  # 3
        erase(directory / name)


def unseal_keys(directory: Path, passphrase: str) -> None:
    """Make every key file readable for its owner again and remove the sealed ones."""
    if not is_sealed(directory):
        raise KeyFileRefused(f"The keys in {directory} are not sealed.")
    sealed, plain = SealedKeyStore.open(directory, passphrase), PlainKeyStore(directory)
    found = sorted(path for path in directory.iterdir() if path.name.endswith(SUFFIX))
    for path in found:
        name = path.name.removesuffix(SUFFIX)
        plain.write(name, sealed.read(name))
    (directory / SEALING_FILE).unlink()
    for path in found:
        path.unlink()


def change_passphrase(directory: Path, old: str, new: str) -> None:
    """Let the new passphrase open the keys, and the old one no more. Raises WrongPassphrase."""
    if not is_sealed(directory):
        raise KeyFileRefused(f"The keys in {directory} are not sealed. Run `hitl keys seal`.")
    SealedKeyStore.open(directory, old).protect(new)


def _plain_names(directory: Path) -> list[str]:
    wanted = {"keyring.json", "audit.pem", "seal.key"}
    return sorted(
        path.name
        for path in directory.iterdir()
        if path.name in wanted or (path.name.startswith("signing-") and path.suffix == ".pem")
    )
