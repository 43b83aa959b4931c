"""Keys under a passphrase: nothing readable on the disk, nothing without it, and the same keys with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hitl_mcp.minting import sealing
from hitl_mcp.minting.key_files import KeyFileRefused
from hitl_mcp.minting.key_store import SEALING_FILE, KdfCost, SealedKeyStore
from hitl_mcp.minting.keys import KeyRing, KeyState, SigningKey
from hitl_mcp.minting.passphrases import PassphraseMissing, Passphrases, WrongPassphrase
from hitl_mcp.minting.sealing import change_passphrase, open_store, seal_keys, unseal_keys
from tests.conftest import ManualClock

PASSPHRASE = "correct horse battery staple"
CHEAP = KdfCost(n=2**14)


def given(passphrase: str) -> Passphrases:
    return Passphrases({}, ask=lambda _: passphrase)


def opened(directory: Path, clock: ManualClock, passphrase: str = PASSPHRASE) -> KeyRing:
    return KeyRing.open(directory, clock=clock, store=open_store(directory, given(passphrase)))


@pytest.fixture
def plain(tmp_path: Path, clock: ManualClock) -> KeyRing:
    return KeyRing.create(tmp_path / "keys", clock=clock)


@pytest.fixture
def signing(plain: KeyRing) -> SigningKey:
    return plain.signing_key()


@pytest.fixture
def directory(tmp_path: Path, signing: SigningKey) -> Path:
    seal_keys(tmp_path / "keys", PASSPHRASE, cost=CHEAP)
    return tmp_path / "keys"


def test_sealed_keys_are_the_same_keys_and_nothing_readable_is_left(
    directory: Path, plain: KeyRing, signing: SigningKey, clock: ManualClock
) -> None:
    ring = opened(directory, clock)
    assert ring.signing_key().key_id == signing.key_id
    assert ring.seal_key == plain.seal_key
    assert ring.audit_key.key_id == plain.audit_key.key_id
    assert all(path.name == SEALING_FILE or path.suffix == ".sealed" for path in directory.iterdir())
    everything = b"".join(path.read_bytes() for path in directory.iterdir())
    for secret in (plain.seal_key, signing.private.private_bytes_raw(), b"PRIVATE KEY"):
        assert secret not in everything
    assert all(path.stat().st_mode & 0o077 == 0 for path in directory.iterdir())


def test_a_wrong_or_missing_passphrase_opens_nothing_and_says_so_in_one_line(
    directory: Path, clock: ManualClock
) -> None:
    with pytest.raises(WrongPassphrase) as wrong:
        opened(directory, clock, "correct horse battery stapler")
    assert "\n" not in str(wrong.value)
    assert "stapler" not in str(wrong.value)
    with pytest.raises(PassphraseMissing, match="HITL_PASSPHRASE_FD"):
        open_store(directory, Passphrases({}, ask=lambda _: None))


def test_rotation_works_sealed_and_a_running_server_follows_it(directory: Path, clock: ManualClock) -> None:
    running, operator = opened(directory, clock), opened(directory, clock)
    before = running.signing_key().key_id
    after = operator.rotate().key_id
    assert running.signing_key().key_id == after != before
    assert {entry.state for entry in running.entries()} == {KeyState.ACTIVE, KeyState.RETIRED}
    assert not list(directory.glob("*.pem"))
    assert not (directory / f"signing-{before}.pem.sealed").exists()
    operator.revoke(before)
    assert opened(directory, clock).signing_key().key_id == after


def test_another_passphrase_takes_over_and_the_old_one_opens_nothing(
    directory: Path, clock: ManualClock
) -> None:
    change_passphrase(directory, PASSPHRASE, "a new passphrase")
    with pytest.raises(WrongPassphrase):
        opened(directory, clock)
    opened(directory, clock, "a new passphrase")
    unseal_keys(directory, "a new passphrase")
    KeyRing.open(directory, clock=clock)
    assert not list(directory.glob("*.sealed"))


def test_a_file_that_was_changed_swapped_or_planted_is_refused(directory: Path, clock: ManualClock) -> None:
    audit, other = directory / "audit.pem.sealed", next(directory.glob("signing-*.sealed"))
    original = audit.read_bytes()
    for content in (other.read_bytes(), original[:-1] + bytes([original[-1] ^ 1]), b"", b"x" * 40):
        audit.write_bytes(content)
        with pytest.raises(KeyFileRefused):
            opened(directory, clock)
    audit.write_bytes(original)
    planted = directory / "seal.key"
    planted.write_bytes(b"A" * 44)
    planted.chmod(0o600)
    with pytest.raises(KeyFileRefused, match="besides"):
        opened(directory, clock)


def test_readable_keys_in_the_place_of_sealed_ones_are_refused(plain: KeyRing, tmp_path: Path) -> None:
    """Somebody who takes the sealed keys away and puts own ones there gets no server that signs with them."""
    source = tmp_path / "passphrase"
    source.write_text(PASSPHRASE)
    source.chmod(0o600)
    with pytest.raises(KeyFileRefused, match="not sealed"):
        open_store(tmp_path / "keys", Passphrases({"HITL_PASSPHRASE_FILE": str(source)}))


@pytest.mark.parametrize("calls", range(1, 5))
def test_sealing_that_is_interrupted_loses_no_key_and_can_be_finished(
    signing: SigningKey, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    directory, left = tmp_path / "keys", [calls]

    def stop(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    erase = sealing.erase
    monkeypatch.setattr(sealing, "erase", lambda path: (stop(), erase(path)))
    with pytest.raises(KeyboardInterrupt):
        seal_keys(directory, PASSPHRASE, cost=CHEAP)
    monkeypatch.setattr(sealing, "erase", erase)
    with pytest.raises(KeyFileRefused, match="besides"):
        opened(directory, clock)
    seal_keys(directory, PASSPHRASE, cost=CHEAP)
    assert opened(directory, clock).signing_key().key_id == signing.key_id


def test_sealing_that_stops_before_it_counts_leaves_the_readable_keys(
    plain: KeyRing, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SealedKeyStore, "protect", stop)
    with pytest.raises(KeyboardInterrupt):
        seal_keys(tmp_path / "keys", PASSPHRASE)
    assert KeyRing.open(tmp_path / "keys", clock=clock).signing_key().key_id == plain.signing_key().key_id


def test_a_passphrase_comes_by_descriptor_file_or_command_once_and_by_one_way_alone(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"by descriptor\n")
    os.close(writing)
    by_descriptor = Passphrases({"HITL_PASSPHRASE_FD": str(reading)})
    assert by_descriptor.get("") == by_descriptor.get("") == "by descriptor"
    file = tmp_path / "secret"
    file.write_text("by file\n")
    file.chmod(0o600)
    assert Passphrases({"HITL_PASSPHRASE_FILE": str(file)}).get("") == "by file"
    file.chmod(0o644)
    with pytest.raises(KeyFileRefused, match="open to every user"):
        Passphrases({"HITL_PASSPHRASE_FILE": str(file)}).get("")
    assert Passphrases({"HITL_PASSPHRASE_COMMAND": "echo 'by command'"}).get("") == "by command"
    with pytest.raises(KeyFileRefused, match="status 1"):
        Passphrases({"HITL_PASSPHRASE_COMMAND": "false"}).get("")
    with pytest.raises(KeyFileRefused, match="Set one of them"):
        Passphrases({"HITL_PASSPHRASE_COMMAND": "true", "HITL_PASSPHRASE_FD": "3"}).get("")


def test_a_new_passphrase_is_typed_twice_and_not_too_short() -> None:
    answers = iter(["long enough it is", "long enough it was"])
    with pytest.raises(KeyFileRefused, match="differ"):
        Passphrases({}, ask=lambda _: next(answers)).get_new("")
    with pytest.raises(KeyFileRefused, match="12 are the least"):
        given("short").get_new("")
