"""The state machine against every state, event and time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_mcp.approvals.models import RequestStatus
from hitl_mcp.approvals.state_machine import (
    Answer,
    Approve,
    Cancel,
    DeadlineReached,
    Deny,
    Edit,
    Event,
    Refusal,
    RefusalReason,
    Revoke,
    State,
    Transition,
    transition,
)

EXPIRES = datetime(2030, 1, 1, tzinfo=UTC)
BEFORE = EXPIRES - timedelta(microseconds=1)
PENDING = State(RequestStatus.PENDING, EXPIRES)

ACTS: list[Event] = [
    Approve(quorum_reached=True),
    Approve(quorum_reached=False),
    Deny(),
    Deny(enough=False),
    Edit(),
    Answer(),
    Cancel(),
]
AUTO_APPROVE = DeadlineReached(unsafe_auto_approve=True)
EVENTS = st.sampled_from([*ACTS, DeadlineReached(), Revoke()])
STATUSES = st.sampled_from(list(RequestStatus))
DAY = timedelta(days=1)
TIMES = st.timedeltas(min_value=-DAY, max_value=DAY).map(lambda each: EXPIRES + each)


def after(state: State, event: Event, now: datetime) -> RequestStatus | RefusalReason:
    outcome = transition(state, event, now)
    return outcome.state.status if isinstance(outcome, Transition) else outcome.reason


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (Approve(quorum_reached=True), RequestStatus.APPROVED),
        (Approve(quorum_reached=False), RequestStatus.PENDING),
        (Deny(), RequestStatus.DENIED),
        (Deny(enough=False), RequestStatus.PENDING),
        (Edit(), RequestStatus.PENDING),
        (Answer(), RequestStatus.ANSWERED),
        (Cancel(), RequestStatus.CANCELLED),
    ],
)
def test_in_time_every_act_of_a_person_or_agent_has_its_effect(event: Event, status: RequestStatus) -> None:
    assert after(PENDING, event, BEFORE) is status


@pytest.mark.parametrize("event", ACTS)
def test_at_the_deadline_and_after_no_act_has_an_effect(event: Event) -> None:
    assert after(PENDING, event, EXPIRES) is RefusalReason.EXPIRED


def test_a_timer_ends_a_request_at_its_deadline_and_not_before() -> None:
    assert after(PENDING, DeadlineReached(), BEFORE) is RefusalReason.NOT_DUE
    assert after(PENDING, DeadlineReached(), EXPIRES) is RequestStatus.TIMEOUT
    assert after(PENDING, AUTO_APPROVE, BEFORE) is RefusalReason.NOT_DUE
    assert after(PENDING, AUTO_APPROVE, EXPIRES) is RequestStatus.APPROVED


def test_only_an_approval_can_be_revoked_and_only_once() -> None:
    approved = State(RequestStatus.APPROVED, EXPIRES)
    revoked = transition(approved, Revoke(), BEFORE)
    assert revoked == Transition(State(RequestStatus.APPROVED, EXPIRES, revoked=True))
    assert isinstance(revoked, Transition)
    assert transition(revoked.state, Revoke(), BEFORE) == Refusal(RefusalReason.ALREADY_REVOKED)
    assert transition(PENDING, Revoke(), BEFORE) == Refusal(RefusalReason.NOT_APPROVED)


@given(status=STATUSES, event=EVENTS | st.just(AUTO_APPROVE), now=TIMES)
def test_a_terminal_status_never_changes(status: RequestStatus, event: Event, now: datetime) -> None:
    outcome = transition(State(status, EXPIRES), event, now)
    if status.is_terminal and isinstance(outcome, Transition):
        assert outcome.state.status is status
        assert isinstance(event, Revoke)


@given(events=st.lists(st.tuples(EVENTS, TIMES), max_size=12))
def test_no_sequence_of_events_without_a_reached_quorum_approves(
    events: list[tuple[Event, datetime]],
) -> None:
    state = PENDING
    for event, now in events:
        outcome = transition(state, event, now)
        if isinstance(outcome, Transition):
            if outcome.state.status is RequestStatus.APPROVED and state.status is RequestStatus.PENDING:
                assert event == Approve(quorum_reached=True)
                assert now < EXPIRES
            state = outcome.state
