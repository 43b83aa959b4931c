"""Key files and the key ring: private, whole, rotated without losing a valid token or keeping an old one."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hitl_mcp.minting.key_files import KeyFileRefused, make_private_directory, write_private_file
from hitl_mcp.minting.keys import RETIRED_KEY_PUBLISHED, KeyRing, KeyState, UnknownKey
from server_kit.errors import HomeNotWritable
from tests.conftest import ManualClock

EVERY_FILE = ["keyring.json", "audit.pem", "seal.key", "signing"]


@pytest.fixture
def directory(tmp_path: Path, clock: ManualClock) -> Path:
    KeyRing.create(tmp_path / "keys", clock=clock)
    return tmp_path / "keys"


def file_in(directory: Path, name: str) -> Path:
    return next(directory.glob(f"{name}*"))


def refusal(directory: Path, clock: ManualClock) -> str:
    with pytest.raises(KeyFileRefused) as caught:
        KeyRing.open(directory, clock=clock)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_every_key_file_is_readable_by_its_owner_alone(directory: Path) -> None:
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for path in directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_opened_ring_has_the_keys_that_were_created(tmp_path: Path, clock: ManualClock) -> None:
    created = KeyRing.create(tmp_path / "keys", clock=clock)
    opened = KeyRing.open(tmp_path / "keys", clock=clock)
    assert opened.signing_key().key_id == created.signing_key().key_id
    assert opened.audit_key.key_id == created.audit_key.key_id
    assert opened.seal_key == created.seal_key
    assert opened.audit_key.key_id != opened.signing_key().key_id


def test_keys_are_never_replaced_by_creating_again(directory: Path, clock: ManualClock) -> None:
    with pytest.raises(KeyFileRefused, match="already"):
        KeyRing.create(directory, clock=clock)


@pytest.mark.parametrize("name", EVERY_FILE)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_file_open_to_others_is_refused(
    directory: Path, clock: ManualClock, name: str, mode: int
) -> None:
    path = file_in(directory, name)
    path.chmod(mode)
    message = refusal(directory, clock)
    assert f"{mode:04o}" in message
    assert f"chmod 600 {path}" in message


@pytest.mark.parametrize("name", EVERY_FILE)
def test_a_missing_key_file_is_refused(directory: Path, clock: ManualClock, name: str) -> None:
    path = file_in(directory, name)
    path.unlink()
    message = refusal(directory, clock)
    assert str(path) in message
    assert "missing" in message


@pytest.mark.parametrize("name", EVERY_FILE)
@pytest.mark.parametrize("content", [b"", b"secret rubbish", b"\xff\xfe", b"{}", b"A" * 70_000])
def test_a_key_file_with_other_content_is_refused_without_quoting_it(
    directory: Path, clock: ManualClock, name: str, content: bytes
) -> None:
    file_in(directory, name).write_bytes(content)
    assert "rubbish" not in refusal(directory, clock)


@pytest.mark.parametrize("name", EVERY_FILE)
def test_a_link_in_place_of_a_key_file_is_refused(directory: Path, clock: ManualClock, name: str) -> None:
    path = file_in(directory, name)
    path.rename(directory / "elsewhere")
    path.symlink_to(directory / "elsewhere")
    assert "cannot be opened" in refusal(directory, clock)


def test_a_directory_or_pipe_in_place_of_a_key_file_is_refused(directory: Path, clock: ManualClock) -> None:
    path = directory / "seal.key"
    path.unlink()
    os.mkfifo(path, 0o600)
    assert "not a regular file" in refusal(directory, clock)


def test_a_key_file_of_another_user_is_refused(directory: Path, clock: ManualClock) -> None:
    os.chown(directory / "audit.pem", 65534, 65534)
    assert "belongs to user id 65534" in refusal(directory, clock)


def test_a_key_of_another_kind_is_refused(directory: Path, clock: ManualClock) -> None:
    other = generate_private_key(SECP256R1())
    (directory / "audit.pem").write_bytes(
        other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    assert "Ed25519" in refusal(directory, clock)


def test_a_seal_key_of_the_wrong_length_is_refused(directory: Path, clock: ManualClock) -> None:
    (directory / "seal.key").write_bytes(base64.b64encode(b"short"))
    assert "5 bytes; 32 are needed" in refusal(directory, clock)


def test_a_signing_key_under_another_keys_name_is_refused(
    directory: Path, clock: ManualClock, tmp_path: Path
) -> None:
    KeyRing.create(tmp_path / "other", clock=clock)
    file_in(directory, "signing").write_bytes(file_in(tmp_path / "other", "signing").read_bytes())
    assert "another key than its name says" in refusal(directory, clock)


def edited(edit: Callable[[list[dict[str, object]]], object]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        ring = json.loads(path.read_text())
        edit(ring["keys"])
        path.write_text(json.dumps(ring))

    return apply


@pytest.mark.parametrize(
    "edit",
    [
        edited(lambda keys: keys.clear()),
        edited(lambda keys: keys.append(keys[0])),
        edited(lambda keys: keys[0].update(state="retired")),
        edited(lambda keys: keys[0].update(key_id="A" * 43)),
        edited(lambda keys: keys[0].update(key_id="../../etc/passwd")),
        edited(lambda keys: keys[0].update(public="A" * 43)),
        edited(lambda keys: keys[0].update(public="!")),
        edited(lambda keys: keys[0].update(surprise=1)),
    ],
)
def test_a_key_ring_that_contradicts_itself_is_refused(
    directory: Path, clock: ManualClock, edit: Callable[[Path], None]
) -> None:
    edit(directory / "keyring.json")
    refusal(directory, clock)


def test_rotation_publishes_the_old_key_until_its_last_token_has_expired_and_not_longer(
    directory: Path, clock: ManualClock
) -> None:
    ring = KeyRing.open(directory, clock=clock)
    old = ring.signing_key().key_id
    new = ring.rotate().key_id
    assert new != old
    assert ring.signing_key().key_id == new
    assert set(ring.public_keys()) == {old, new}
    clock.advance(RETIRED_KEY_PUBLISHED.total_seconds() - 1)
    assert set(ring.public_keys()) == {old, new}
    clock.advance(1)
    assert set(ring.public_keys()) == {new}
    assert set(KeyRing.open(directory, clock=clock).public_keys()) == {new}


def test_rotation_deletes_the_old_private_key(directory: Path, clock: ManualClock) -> None:
    before = file_in(directory, "signing")
    KeyRing.open(directory, clock=clock).rotate()
    assert not before.exists()
    assert len(list(directory.glob("signing-*"))) == 1


def test_an_old_private_key_put_back_is_not_used(directory: Path, clock: ManualClock) -> None:
    path = file_in(directory, "signing")
    content = path.read_bytes()
    ring = KeyRing.open(directory, clock=clock)
    new = ring.rotate().key_id
    write_private_file(path, content)
    assert KeyRing.open(directory, clock=clock).signing_key().key_id == new


def test_a_running_server_follows_a_rotation_by_another_process(directory: Path, clock: ManualClock) -> None:
    running = KeyRing.open(directory, clock=clock)
    running.signing_key()
    new = KeyRing.open(directory, clock=clock).rotate().key_id
    assert running.signing_key().key_id == new
    assert new in set(running.public_keys())


def test_two_rings_rotating_in_turn_lose_no_key(directory: Path, clock: ManualClock) -> None:
    one, two = KeyRing.open(directory, clock=clock), KeyRing.open(directory, clock=clock)
    identifiers = {one.signing_key().key_id, one.rotate().key_id, two.rotate().key_id, one.rotate().key_id}
    assert set(two.public_keys()) == identifiers
    assert len(identifiers) == 4


def test_a_revoked_retired_key_is_not_published_any_more(directory: Path, clock: ManualClock) -> None:
    ring = KeyRing.open(directory, clock=clock)
    old, new = ring.signing_key().key_id, ring.rotate().key_id
    ring.revoke(old)
    assert set(ring.public_keys()) == {new}
    ring.revoke(old)
    assert [entry.state for entry in ring.entries()] == [KeyState.ACTIVE, KeyState.REVOKED]


def test_a_revoked_active_key_is_replaced_at_once(directory: Path, clock: ManualClock) -> None:
    ring = KeyRing.open(directory, clock=clock)
    old = ring.signing_key().key_id
    ring.revoke(old)
    assert ring.signing_key().key_id != old
    assert old not in set(ring.public_keys())


def test_revoking_an_unknown_key_is_an_error(directory: Path, clock: ManualClock) -> None:
    with pytest.raises(UnknownKey, match="hitl keys list"):
        KeyRing.open(directory, clock=clock).revoke("nothing")


def test_a_server_whose_key_ring_disappears_stops_signing(directory: Path, clock: ManualClock) -> None:
    ring = KeyRing.open(directory, clock=clock)
    (directory / "keyring.json").unlink()
    with pytest.raises(KeyFileRefused):
        ring.signing_key()


def test_a_signing_key_never_shows_itself(directory: Path, clock: ManualClock) -> None:
    key = KeyRing.open(directory, clock=clock).signing_key()
    assert repr(key) == f"SigningKey({key.key_id})"


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeNotWritable, match="HITL_HOME"):
        make_private_directory(tmp_path / "file" / "keys")


def test_a_key_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(HomeNotWritable, match="cannot be written"):
        write_private_file(tmp_path / "absent" / "key", b"x")
