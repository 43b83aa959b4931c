from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import insert, update

from hitl_mcp.errors import (
    AlreadyExists,
    NameRefused,
    PasswordRefused,
    SignInRefused,
    TooManyAttempts,
    UnknownPerson,
)
from hitl_mcp.identity.people import NOBODY, Role
from hitl_mcp.identity.sealed_rows import SealedRows
from hitl_mcp.identity.sign_in import FAILURES_FROM_ADDRESS, FAILURES_OF_PERSON_FROM_ADDRESS, WINDOW
from hitl_mcp.minting.seals import RecordSealer
from hitl_mcp.storage.schema import channel_identities, people
from tests.conftest import ManualClock
from tests.identity.directories import Directories

PASSWORD = "correct horse"


async def test_a_person_signs_in_under_every_spelling_of_the_name(directories: Directories) -> None:
    await directories.people.add("Ada", PASSWORD)
    for spelling in ("ada", "ADA", " Ada ", "\uff21da"):
        assert (await directories.people.authenticate(spelling, PASSWORD)).person_id == "ada"


async def test_two_spellings_are_not_two_people(directories: Directories) -> None:
    await directories.people.add("Ada", PASSWORD)
    with pytest.raises(AlreadyExists):
        await directories.people.add("\uff21DA", PASSWORD)


@pytest.mark.parametrize(
    ("person", "password"), [("ada", "wrong horse"), ("eve", PASSWORD), ("", ""), ("ada", "x" * 5000)]
)
async def test_a_wrong_name_and_a_wrong_password_are_refused_in_the_same_words(
    directories: Directories, person: str, password: str
) -> None:
    await directories.people.add("ada", PASSWORD)
    with pytest.raises(SignInRefused) as refused:
        await directories.people.authenticate(person, password)
    assert str(refused.value) == "The name or the password is wrong."
    assert directories.trail.events()[-1] == "sign_in.refused"


async def test_a_person_without_a_password_cannot_sign_in(directories: Directories) -> None:
    await directories.people.add("ada", None)
    with pytest.raises(SignInRefused):
        await directories.people.authenticate("ada", "nobody has this password")


async def test_guessing_is_refused_before_the_password_is_looked_at(directories: Directories) -> None:
    await directories.people.add("ada", PASSWORD)
    for _ in range(FAILURES_OF_PERSON_FROM_ADDRESS):
        with pytest.raises(SignInRefused):
            await directories.people.authenticate("ada", "wrong horse", address="192.0.2.1")
    with pytest.raises(TooManyAttempts) as refused:
        await directories.people.authenticate("ada", PASSWORD, address="192.0.2.1")
    assert 0 < refused.value.retry_after_seconds <= WINDOW.total_seconds() + 1


async def test_guesses_made_at_the_same_time_are_all_counted(directories: Directories) -> None:
    await directories.people.add("ada", PASSWORD)
    guesses = [
        directories.people.authenticate("ada", f"wrong {number}", address="192.0.2.1") for number in range(30)
    ]
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    looked_at = [outcome for outcome in outcomes if isinstance(outcome, SignInRefused)]
    assert len(looked_at) == FAILURES_OF_PERSON_FROM_ADDRESS


async def test_a_stranger_elsewhere_does_not_lock_somebody_out(directories: Directories) -> None:
    await directories.people.add("ada", PASSWORD)
    for _ in range(FAILURES_OF_PERSON_FROM_ADDRESS):
        with pytest.raises(SignInRefused):
            await directories.people.authenticate("ada", "wrong horse", address="192.0.2.1")
    assert await directories.people.authenticate("ada", PASSWORD, address="192.0.2.2")


async def test_an_address_that_tries_many_people_is_refused(directories: Directories) -> None:
    for number in range(FAILURES_FROM_ADDRESS):
        with pytest.raises(SignInRefused):
            await directories.people.authenticate(f"person {number}", PASSWORD, address="192.0.2.1")
    with pytest.raises(TooManyAttempts):
        await directories.people.authenticate("somebody else", PASSWORD, address="192.0.2.1")


async def test_a_throttled_person_may_try_again_after_the_window(
    directories: Directories, clock: ManualClock
) -> None:
    await directories.people.add("ada", PASSWORD)
    for _ in range(FAILURES_OF_PERSON_FROM_ADDRESS):
        with pytest.raises(SignInRefused):
            await directories.people.authenticate("ada", "wrong horse", address="192.0.2.1")
    clock.advance(WINDOW.total_seconds() + 1)
    assert await directories.people.authenticate("ada", PASSWORD, address="192.0.2.1")


async def test_signing_in_forgives_the_slips_before_it(directories: Directories) -> None:
    await directories.people.add("ada", PASSWORD)
    for _ in range(3):
        for _ in range(FAILURES_OF_PERSON_FROM_ADDRESS - 1):
            with pytest.raises(SignInRefused):
                await directories.people.authenticate("ada", "wrong horse", address="192.0.2.1")
        assert await directories.people.authenticate("ada", PASSWORD, address="192.0.2.1")


async def test_only_approvers_who_are_not_suspended_are_eligible(directories: Directories) -> None:
    await directories.people.add("ada", PASSWORD)
    await directories.people.add("root", PASSWORD, [Role.ADMIN])
    assert await directories.people.eligible("ADA") is not None
    assert await directories.people.eligible("root") is None
    assert await directories.people.eligible("nobody") is None
    await directories.people.suspend("ada")
    assert await directories.people.eligible("ada") is None
    await directories.people.reinstate("ada")
    assert await directories.people.eligible("ada") is not None


async def test_a_suspended_person_cannot_sign_in(directories: Directories) -> None:
    await directories.people.add("ada", PASSWORD)
    await directories.people.suspend("ada")
    with pytest.raises(SignInRefused):
        await directories.people.authenticate("ada", PASSWORD)


async def test_a_person_or_role_written_past_the_server_does_not_count(directories: Directories) -> None:
    await directories.people.add("mallory", PASSWORD, [])
    await directories.database.write(
        lambda connection: connection.execute(update(people).values(roles=["approver", "admin"]))
    )
    assert await directories.people.eligible("mallory") is None
    assert await directories.people.list() == []


async def test_a_row_sealed_under_another_key_does_not_count(
    directories: Directories, clock: ManualClock
) -> None:
    row = {
        "person_id": "mallory",
        "display_name": "mallory",
        "password_hash": None,
        "roles": ["approver"],
        "suspended_at": None,
        "created_at": clock.now(),
    }
    sealed = SealedRows(people, RecordSealer(b"x" * 32)).sealed(row)
    await directories.database.write(lambda connection: connection.execute(insert(people).values(**sealed)))
    assert await directories.people.eligible("mallory") is None


async def test_an_account_on_a_channel_is_one_persons(directories: Directories) -> None:
    await directories.people.add("ada", PASSWORD)
    await directories.people.add("bob", PASSWORD)
    await directories.people.link("slack", "U1", "Ada")
    assert await directories.people.resolve("slack", "U1") == "ada"
    assert await directories.people.resolve("telegram", "U1") is None
    with pytest.raises(AlreadyExists, match="ada"):
        await directories.people.link("slack", "U1", "bob")
    await directories.people.unlink("slack", "U1")
    assert await directories.people.resolve("slack", "U1") is None


async def test_an_account_of_a_suspended_person_is_nobodys(directories: Directories) -> None:
    await directories.people.add("ada", PASSWORD)
    await directories.people.link("slack", "U1", "ada")
    await directories.people.suspend("ada")
    assert await directories.people.resolve("slack", "U1") is None


async def test_an_account_linked_past_the_server_is_nobodys(
    directories: Directories, clock: ManualClock
) -> None:
    await directories.people.add("ada", PASSWORD)
    row = {
        "channel": "slack",
        "external_id": "U666",
        "person_id": "ada",
        "created_at": clock.now(),
        "seal": "hmac-sha256:forged",
    }
    await directories.database.write(
        lambda connection: connection.execute(insert(channel_identities).values(**row))
    )
    assert await directories.people.resolve("slack", "U666") is None


@pytest.mark.parametrize("password", ["short", "a" * 1025, "ada lovelace"])
async def test_a_weak_password_is_refused(directories: Directories, password: str) -> None:
    with pytest.raises(PasswordRefused) as refused:
        await directories.people.add("ada lovelace", password)
    assert password not in str(refused.value)


@pytest.mark.parametrize("name", ["", "   ", "a" * 65, "a\u202eb", "a\u200bb", "<b>", "...", "a\x00b"])
async def test_a_name_that_could_mislead_is_refused(directories: Directories, name: str) -> None:
    with pytest.raises(NameRefused):
        await directories.people.add(name, PASSWORD)


async def test_a_new_password_replaces_the_old_one(directories: Directories) -> None:
    await directories.people.add("ada", PASSWORD)
    await directories.people.set_password("ada", "another horse")
    with pytest.raises(SignInRefused):
        await directories.people.authenticate("ada", PASSWORD)
    assert await directories.people.authenticate("ada", "another horse")
    with pytest.raises(UnknownPerson):
        await directories.people.set_password("eve", "another horse")


@pytest.mark.parametrize("name", ["a\x00b", "a\ud800b", "\x1b[31m", "x" * 5000])
async def test_a_name_that_nobody_can_have_is_refused_like_any_other(
    directories: Directories, name: str
) -> None:
    with pytest.raises(SignInRefused):
        await directories.people.authenticate(name, PASSWORD)
    assert await directories.people.eligible(name) is None
    # What a stranger typed is not what an entry of the log is about.
    assert directories.trail.entries[-1] == ("sign_in.refused", "terminal", NOBODY)
