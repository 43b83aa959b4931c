"""The pool's pure parts: a container's life, and how many of them wait."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from executor_mcp.sandbox.pool import sizing
from executor_mcp.sandbox.pool.sizing import Demand, expected_wait
from executor_mcp.sandbox.pool.slots import Event, NotAllowed, Slot, State


def wanted(rate: float, launch_seconds: float, *, minimum: int, maximum: int) -> int:
    return sizing.wanted(rate, launch_seconds, minimum=minimum, maximum=maximum, worth_keeping=0.05)


EVENTS = st.lists(st.sampled_from(list(Event)), max_size=30)


@given(EVENTS)
def test_whatever_happens_a_container_is_taken_at_most_once_and_never_comes_back(events: list[Event]) -> None:
    slot = Slot()
    taken = 0
    order = list(State)
    for event in events:
        before = slot.state
        try:
            slot.happened(event)
        except NotAllowed:
            assert slot.state is before
            continue
        assert order.index(slot.state) > order.index(before)
        taken += event is Event.TAKE
    assert taken <= 1


def test_only_one_that_waits_can_be_taken() -> None:
    for state in State:
        slot = Slot()
        slot._state = state  # pyright: ignore[reportPrivateUsage] - there is no other way into each state
        try:
            slot.happened(Event.TAKE)
            allowed = True
        except NotAllowed:
            allowed = False
        assert allowed is (state is State.WARM)


@given(st.floats(0, 1000), st.floats(0.01, 30), st.integers(0, 8), st.integers(0, 64))
def test_what_waits_stays_between_the_minimum_and_the_maximum(
    rate: float, launch: float, minimum: int, maximum: int
) -> None:
    count = wanted(rate, launch, minimum=minimum, maximum=maximum)
    assert min(minimum, maximum) <= count <= max(minimum, maximum)


@given(st.floats(0, 100), st.floats(0, 100))
def test_more_calls_never_make_fewer_wait(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert wanted(low, 0.5, minimum=0, maximum=8) <= wanted(high, 0.5, minimum=0, maximum=8)


def test_a_class_asked_for_twice_in_a_row_has_one_waiting_and_none_again_after_a_while() -> None:
    demand = Demand().noted(100.0)
    assert wanted(demand.at(100.0), 0.3, minimum=0, maximum=8) == 0
    demand = demand.noted(101.0)
    assert wanted(demand.at(101.0), 0.3, minimum=0, maximum=8) == 1
    assert wanted(demand.at(200.0), 0.3, minimum=0, maximum=8) == 0


@given(st.integers(0, 100), st.floats(0.01, 10), st.integers(1, 8))
def test_nobody_is_told_a_shorter_wait_for_having_more_people_ahead(
    ahead: int, launch: float, at_a_time: int
) -> None:
    wait = expected_wait(ahead, launch, at_a_time)
    assert launch <= wait <= expected_wait(ahead + 1, launch, at_a_time)
