"""What the approval server withdrew reaches the executor, and not knowing is a refusal."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from executor_mcp.bounded_fetch import FetchFailed
from executor_mcp.errors import RevocationsUnavailable
from executor_mcp.revocation_list import MAX_AGE_SECONDS, SignedRevocationList, read_file
from executor_mcp.settings import Settings
from hitl_contract.keys import PublicKeys, key_id
from hitl_contract.revocations import LIST_LIFETIME_SECONDS, encode_revocations
from tests.conftest import ManualClock

ISSUER = "https://approvals.example.com"
PRIVATE, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


class Issuer:
    """Publishes a list, or does not."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.revoked: set[str] = set()
        self.key, self.issuer, self.age, self.down, self.reads = PRIVATE, ISSUER, 0, False, 0
        self.monotonic = 0.0

    async def keys(self, key_id: str | None) -> PublicKeys:
        del key_id
        return PublicKeys([PRIVATE.public_key()])

    async def read(self) -> bytes:
        self.reads += 1
        if self.down:
            raise FetchFailed("ConnectError")
        return encode_revocations(
            issuer=self.issuer,
            token_ids=self.revoked,
            issued_at=int(self.clock.now().timestamp()) - self.age,
            private_key=self.key,
            key_id=key_id(self.key.public_key()),
        ).encode()

    def list(self, *, required: bool = True) -> SignedRevocationList:
        return SignedRevocationList(
            self.read,
            source="the issuer",
            keys=self,
            issuer=ISSUER,
            leeway_seconds=0,
            required=required,
            clock=self.clock,
            monotonic=lambda: self.monotonic,
        )


@pytest.fixture
def issuer(clock: ManualClock) -> Issuer:
    return Issuer(clock)


async def test_a_withdrawn_token_is_known_within_two_seconds(issuer: Issuer) -> None:
    checked = issuer.list()
    assert not await checked.is_revoked("tok_1")
    issuer.revoked.add("tok_1")
    assert not await checked.is_revoked("tok_1")
    assert issuer.reads == 1
    issuer.monotonic += MAX_AGE_SECONDS + 0.01
    assert await checked.is_revoked("tok_1")
    assert not await checked.is_revoked("tok_2")


@pytest.mark.parametrize(
    "harm", ["down", "stranger", "another issuer", "expired", "from the future", "older"]
)
async def test_a_list_that_cannot_be_trusted_is_no_list(issuer: Issuer, harm: str) -> None:
    checked, lenient = issuer.list(), issuer.list(required=False)
    issuer.revoked.add("tok_1")
    assert await checked.is_revoked("tok_1")
    assert await lenient.is_revoked("tok_1")
    issuer.revoked.clear()
    if harm == "down":
        issuer.down = True
    elif harm == "stranger":
        issuer.key = STRANGER
    elif harm == "another issuer":
        issuer.issuer = "https://elsewhere.example.com"
    else:
        issuer.age = {"expired": LIST_LIFETIME_SECONDS + 1, "from the future": -5, "older": 10}[harm]
    issuer.monotonic += MAX_AGE_SECONDS + 0.01
    assert await checked.is_revoked("tok_1")
    with pytest.raises(RevocationsUnavailable, match="unspent"):
        await checked.is_revoked("tok_2")
    assert await lenient.is_revoked("tok_1")
    assert not await lenient.is_revoked("tok_2")


async def test_a_list_may_be_a_file(issuer: Issuer, tmp_path: Path) -> None:
    file = tmp_path / "revoked"
    issuer.revoked.add("tok_1")
    file.write_bytes(await issuer.read())
    assert await read_file(file)() == file.read_bytes()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"jwks": "https://a.example/.well-known/jwks.json"}, "https://a.example/.well-known/revoked-tokens"),
        ({"issuer": "https://a.example"}, "https://a.example/.well-known/revoked-tokens"),
        ({"jwks": "/etc/hitl/jwks.json"}, None),
        ({"issuer": "https://a.example", "revocations": "none"}, None),
        ({"jwks": "/etc/hitl/jwks.json", "revocations": "/run/list"}, "/run/list"),
    ],
)
def test_the_list_is_beside_the_keys_unless_it_is_set(settings: dict[str, str], expected: str | None) -> None:
    assert Settings.model_validate(settings).effective_revocations == expected
