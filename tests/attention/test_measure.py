"""What decisions say about attention, without a database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_mcp.approvals.models import RequestKind, Verdict
from hitl_mcp.attention.measure import Attention, JudgedDecision, ReadingSpeed, Withdrawal, measured
from hitl_mcp.attention.rubber_stamping import (
    APPROVES_NEARLY_EVERYTHING,
    LEAST_DECISIONS,
    MISSED_DRILLS,
    WITHIN_SECONDS,
    stamping,
)
from tests.conftest import ManualClock

NOW = ManualClock().now()
SPEED = ReadingSpeed(words_per_minute=600, least_seconds=3)


def decided(
    seconds: float,
    verdict: Verdict = Verdict.APPROVE,
    *,
    person: str = "ada",
    characters: int = 60,
    kind: RequestKind = RequestKind.ACTION,
    rewritten: bool = False,
) -> JudgedDecision:
    since = NOW - timedelta(seconds=seconds)
    return JudgedDecision(person, verdict, kind, NOW, since, characters, rewritten)


def of_ada(*made: JudgedDecision, withdrawals: tuple[Withdrawal, ...] = ()) -> Attention:
    (ada,) = measured(made, SPEED, withdrawals)
    return ada


def test_the_times_are_ones_that_were_really_taken() -> None:
    ada = of_ada(*(decided(seconds) for seconds in (1, 2, 3, 4, 5, 6, 7, 8, 9, 100)))
    assert (ada.seconds_p50, ada.seconds_p90) == (5, 9)
    assert (ada.decided, ada.approved, ada.approved_share) == (10, 10, 1.0)


def test_two_spellings_are_one_person() -> None:
    (ada,) = measured([decided(9), decided(9, person="ADA")], SPEED)
    assert ada.decided == 2


def test_an_approval_is_too_fast_within_the_least_time_or_faster_than_reading() -> None:
    # 6,000 characters are 1,000 words, which take 100 seconds at 600 a minute.
    assert SPEED.seconds_for(6000) == pytest.approx(100)
    assert of_ada(decided(2.9), decided(3)).hasty == 1
    assert of_ada(decided(99, characters=6000), decided(101, characters=6000)).hasty == 1


def test_a_denial_is_never_too_fast() -> None:
    ada = of_ada(decided(0, Verdict.DENY, characters=100_000))
    assert (ada.hasty, ada.hasty_share, ada.approved_share) == (0, None, 0.0)


def test_drills_are_counted_apart_from_everything_else() -> None:
    drill = RequestKind.CANARY
    ada = of_ada(
        decided(60),
        decided(1, kind=drill),
        decided(1, Verdict.DENY, kind=drill),
        decided(1, kind=drill, rewritten=True),
        withdrawals=(Withdrawal("Ada"),),
    )
    assert (ada.decided, ada.approved, ada.hasty, ada.seconds_p50) == (1, 1, 0, 60)
    assert (ada.canaries_caught, ada.canaries_missed) == (2, 1)


def test_who_only_withdrew_a_drill_is_measured_too() -> None:
    ada = of_ada(withdrawals=(Withdrawal("ada"),))
    assert (ada.decided, ada.seconds_p50, ada.canaries_caught) == (0, None, 1)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.integers(0, 10**6))
def test_the_measure_keeps_its_order_and_its_bounds(times: list[float], characters: int) -> None:
    ada = of_ada(*(decided(each, characters=characters) for each in times))
    assert ada.seconds_p50 is not None
    assert ada.seconds_p90 is not None
    assert 0 <= ada.seconds_p50 <= ada.seconds_p90
    assert 0 <= ada.hasty <= ada.approved == ada.decided == len(times)


def stamped(count: int, seconds: float, *, denied: int = 0, characters: int = 60) -> str | None:
    approvals = [decided(seconds, characters=characters) for _ in range(count - denied)]
    return stamping(of_ada(*approvals, *(decided(60, Verdict.DENY) for _ in range(denied))))


def test_who_approves_nearly_everything_within_seconds_is_warned_about() -> None:
    why = stamped(LEAST_DECISIONS, WITHIN_SECONDS - 1)
    assert why == "approves 100% of 20, half of them within 4 s"


def test_who_reads_longer_than_seconds_but_less_than_it_takes_is_warned_about() -> None:
    why = stamped(LEAST_DECISIONS, 30, characters=60_000)
    assert why == "approves 100% of 20, 100% of these faster than they can be read"


@pytest.mark.parametrize(
    ("count", "seconds", "denied"),
    [
        (LEAST_DECISIONS - 1, 1, 0),
        (LEAST_DECISIONS, WITHIN_SECONDS, 0),
        (100, 1, round(100 * (1 - APPROVES_NEARLY_EVERYTHING)) + 1),
    ],
    ids=["too few to say", "long enough to look", "denies now and then"],
)
def test_who_may_be_careful_is_not_warned_about(count: int, seconds: float, denied: int) -> None:
    assert stamped(count, seconds, denied=denied) is None


def test_one_missed_drill_is_bad_luck_and_two_are_not() -> None:
    missed = decided(60, kind=RequestKind.CANARY)
    caught = decided(60, Verdict.DENY, kind=RequestKind.CANARY)
    assert stamping(of_ada(missed)) is None
    assert stamping(of_ada(*[missed] * MISSED_DRILLS)) == "let 2 drills through and caught 0"
    assert stamping(of_ada(missed, missed, caught, caught)) is None
