"""Identifiers and the clock."""

from __future__ import annotations

import re
from datetime import UTC, timedelta

import pytest

from server_kit.clock import SystemClock
from server_kit.identifiers import new_identifier


def test_an_identifier_has_its_prefix_and_128_random_bits() -> None:
    made = {new_identifier("req") for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"req_[a-z2-7]{26}", identifier) for identifier in made)


@pytest.mark.parametrize("prefix", ["", "Req", "a_b", "1a", "a" * 17, "é"])
def test_a_prefix_that_would_need_escaping_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        new_identifier(prefix)


def test_the_clock_is_aware_and_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC
    assert SystemClock().now().utcoffset() == timedelta(0)
