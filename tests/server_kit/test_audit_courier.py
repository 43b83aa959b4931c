"""The second place: checkpoints get there in the end, acts wait only so long, a dispute stops everything."""

from __future__ import annotations

import asyncio
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hitl_contract.audit_chain import Checkpoint, sign_checkpoint
from hitl_contract.keys import key_id
from server_kit.audit_courier import WitnessCourier
from server_kit.errors import AuditUnavailable

PRIVATE = Ed25519PrivateKey.generate()


def checkpoint(sequence: int) -> Checkpoint:
    return sign_checkpoint(
        chain="test",
        sequence=sequence,
        entry_hash=f"sha-256:{sequence}",
        at="2026-11-21T00:00:00.000000Z",
        private_key=PRIVATE,
        key_id=key_id(PRIVATE.public_key()),
    )


class Place:
    """A second place that answers what a test wants."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.kept: list[int] = []
        self.answered = asyncio.Event()

    async def post(self, body: bytes) -> int:
        answer = self.answers.pop(0) if self.answers else 204
        if answer == 0:
            raise OSError("connection refused")
        if 200 <= answer < 300:
            self.kept.append(json.loads(body)["sequence"])
        self.answered.set()
        return answer


async def until(place: Place, count: int) -> None:
    async with asyncio.timeout(20):
        while len(place.kept) < count:
            place.answered.clear()
            await place.answered.wait()


async def test_a_checkpoint_is_sent_again_until_it_is_kept() -> None:
    place = Place(0, 503, 204)
    courier = WitnessCourier(place.post, required=False)
    courier.send(checkpoint(3))
    courier.send(checkpoint(7))
    await until(place, 2)
    await courier.close()
    assert place.kept == [3, 7]
    assert courier.state().behind == 0


async def test_without_required_being_behind_is_only_reported() -> None:
    courier = WitnessCourier(Place(*[0] * 1000).post, required=False, max_behind=1, timeout_seconds=0.05)
    for sequence in range(1, 20):
        await courier.admit(sequence)
    courier.send(checkpoint(19))
    await courier.close()
    assert courier.state().behind == 19


async def test_with_required_an_act_waits_a_bounded_time_and_is_refused_until_the_place_answers() -> None:
    place = Place(*[0, 0])
    courier = WitnessCourier(place.post, required=True, max_behind=2, timeout_seconds=0.05)
    for sequence in range(1, 3):
        await courier.admit(sequence)
    for _ in range(2):
        with pytest.raises(AuditUnavailable, match="3 entries behind"):
            await courier.admit(3)
    courier.send(checkpoint(2))
    await until(place, 1)
    await courier.admit(3)
    await courier.close()


async def test_an_act_that_waits_goes_on_as_soon_as_the_place_has_caught_up() -> None:
    place = Place(0)
    courier = WitnessCourier(place.post, required=True, max_behind=2, timeout_seconds=20)
    for sequence in range(1, 3):
        await courier.admit(sequence)
    courier.send(checkpoint(2))
    await courier.admit(3)
    assert place.kept == [2]
    await courier.close()


async def test_a_place_that_remembers_another_history_stops_every_act() -> None:
    place = Place(409)
    courier = WitnessCourier(place.post, required=False)
    await courier.admit(1)
    courier.send(checkpoint(1))
    await courier.close()
    with pytest.raises(AuditUnavailable, match="another history"):
        await courier.admit(2)
