"""What a look at a password costs, and that nobody's costs the same."""

from __future__ import annotations

from argon2 import PasswordHasher, extract_parameters

from hitl_mcp.identity.passwords import Passwords


class RememberingHasher(PasswordHasher):
    """Argon2id as ever; keeps what it compared with."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.compared: list[str] = []
        self.made = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.made += 1
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002
        self.compared.append(str(hash))
        return super().verify(hash, password)


async def test_a_password_of_nobody_is_compared_with_a_hash_that_costs_the_same_and_never_fits() -> None:
    hasher = RememberingHasher()
    passwords = Passwords(hasher)
    stored = await passwords.hash("correct horse battery", person="ada")
    assert await passwords.matches(stored, "correct horse battery")
    assert not await passwords.matches(stored, "correct horse")
    assert not await passwords.matches(None, "correct horse battery")
    of_somebody, _, of_nobody = hasher.compared
    assert extract_parameters(of_nobody) == extract_parameters(of_somebody)
    assert hasher.made == 1, "looking at a password makes no hash of its own"


async def test_the_hash_of_nobody_is_another_in_each_process() -> None:
    first, second = RememberingHasher(), RememberingHasher()
    assert not await Passwords(first).matches(None, "correct horse battery")
    assert not await Passwords(second).matches(None, "correct horse battery")
    assert first.compared != second.compared


async def test_the_hashes_of_the_server_are_as_slow_as_recommended() -> None:
    """RFC 9106 section 4, the second recommended option: 64 MiB, three passes, four lanes."""
    parameters = extract_parameters(await Passwords().hash("correct horse battery", person="ada"))
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) >= (65536, 3, 4)
