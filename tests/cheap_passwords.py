"""Homes for tests, whose people sign in at once."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

from argon2 import PasswordHasher

from hitl_mcp.identity import passwords


@contextmanager
def cheap_password_hashes() -> Generator[None]:
    """Hashes made in this process meanwhile cost next to nothing, and so does each later look at them: a hash
    names its own parameters. The servers know no such setting; only the test process can do this.
    """
    cheap = partial(PasswordHasher, time_cost=1, memory_cost=64, parallelism=1)
    with patch.object(passwords, "PasswordHasher", cheap):
        yield
