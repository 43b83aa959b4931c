"""The planner alone: which deadlines follow from terms, and what each does whenever it is looked at."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_mcp.approvals.deadlines import (
    Deadline,
    DeadlineKind,
    Effect,
    firing,
    held_until,
    levels_reached,
    plan,
    postponed,
)
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import ApprovalRequest
from hitl_mcp.approvals.quiet import quiet_until
from hitl_mcp.approvals.terms import EscalationLevel, QuietHours, Terms
from tests.timers.asking import HOUR, NIGHT, asked, escalating

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Australia/Lord_Howe"]

hours = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 59]))
quiet_hours = st.builds(QuietHours, hours, hours, st.sampled_from(ZONES), st.booleans())
seconds = st.integers(0, 3 * 24 * HOUR)
terms = st.builds(
    Terms,
    escalation=st.lists(
        seconds.map(lambda after: EscalationLevel(after, ("group",), ("person",))), max_size=4
    ).map(tuple),
    reminders=st.lists(seconds, max_size=5).map(tuple),
    quiet_hours=st.none() | quiet_hours,
)
moments = st.datetimes(datetime(2029, 3, 20), datetime(2029, 11, 10), timezones=st.just(UTC))  # noqa: DTZ001
requests = st.builds(
    lambda given, at, timeout, risk: asked(given, at=at, timeout=timeout, risk=risk),
    terms,
    moments,
    st.integers(10, 7 * 24 * HOUR),
    st.sampled_from(RiskLevel),
)


def kinds(request: ApprovalRequest) -> list[str]:
    return [each.name for each in plan(request)]


def due_of(request: ApprovalRequest, name: str) -> datetime:
    return next(each.due_at for each in plan(request) if each.name == name)


def quiet_for(request: ApprovalRequest, at: datetime) -> bool:
    critical = request.risk_level is RiskLevel.CRITICAL
    return not critical and quiet_until(request.terms.quiet_hours, at) is not None


@given(requests)
def test_every_plan_ends_with_the_expiry_and_calls_nobody_in_quiet_hours(request: ApprovalRequest) -> None:
    expiry, *others = plan(request)
    assert (expiry.name, expiry.due_at) == ("expiry", request.expires_at)
    assert len({each.name for each in others}) == len(others)
    assert all(request.created_at <= each.due_at < request.expires_at for each in others)
    calls = [each.due_at for each in others if each.kind in {DeadlineKind.REMINDER, DeadlineKind.QUIET_END}]
    assert len(set(calls)) == len(calls)
    assert not any(quiet_for(request, at) for at in calls)


@given(requests, st.lists(st.integers(1, 4 * 24 * HOUR), min_size=1, max_size=40))
def test_nothing_fires_before_its_time_or_twice_and_the_request_ends_whenever_it_is_looked_at(
    request: ApprovalRequest, gaps: list[int]
) -> None:
    rows = {each.name: each for each in plan(request)}
    planned = dict(rows)
    done: dict[str, datetime] = {}
    now = request.created_at
    ended = False
    for gap in (*gaps, 8 * 24 * HOUR):
        now += timedelta(seconds=gap)
        for row in sorted((each for each in rows.values() if each.due_at <= now), key=lambda e: e.due_at):
            if ended:
                break
            fired = firing(request, row, now)
            del rows[row.name]
            if fired.move_to is not None:
                assert now < fired.move_to < request.expires_at
                rows[row.name] = replace(row, due_at=fired.move_to)
            if fired.effect is Effect.EXPIRE:
                assert now >= request.expires_at
                ended = True
            elif fired.effect is not Effect.NOTHING:
                assert row.name not in done
                assert planned[row.name].due_at <= now < request.expires_at
                assert fired.effect is Effect.ESCALATE or not quiet_for(request, now) or not fired.loud
                done[row.name] = now
    assert ended


@given(requests)
def test_looked_at_in_time_all_fire_once_and_whoever_is_asked_is_called_outside_quiet_hours(
    request: ApprovalRequest,
) -> None:
    expected = [each for each in plan(request) if each.kind is not DeadlineKind.EXPIRY]
    loud: list[datetime] = []
    for each in sorted(expected, key=lambda row: row.due_at):
        fired = firing(request, each, each.due_at)
        wanted = Effect.ESCALATE if each.kind is DeadlineKind.ESCALATION else Effect.CALL
        assert (fired.effect, fired.move_to) == (wanted, None)
        loud += [each.due_at] if fired.loud else []
    for each in expected:
        if each.kind is DeadlineKind.ESCALATION:
            assert any(at >= each.due_at for at in loud)
            assert len(levels_reached(request, each.due_at)) >= 1
    assert firing(request, plan(request)[0], request.expires_at).effect is Effect.EXPIRE


@given(quiet_hours, moments)
def test_quiet_hours_end_after_they_hold_and_are_over_then(quiet: QuietHours, at: datetime) -> None:
    end = quiet_until(quiet, at)
    local = at.astimezone(ZoneInfo(quiet.time_zone)).time()
    if quiet.start <= quiet.end:
        assert (end is not None) == (quiet.start <= local < quiet.end)
    else:
        assert (end is not None) == (local >= quiet.start or local < quiet.end)
    if end is not None:
        # Samoa and every other place: a day and the hour that clocks may repeat.
        assert at < end <= at + timedelta(hours=25)
        assert quiet_until(quiet, end) is None


@pytest.mark.parametrize(
    ("at", "hours_quiet"),
    [
        ("2029-03-24T21:00:00+00:00", 8),  # 22:00 CET; clocks go forward at 02:00
        ("2029-03-25T20:00:00+00:00", 9),  # 22:00 CEST
        ("2029-10-27T20:00:00+00:00", 10),  # 22:00 CEST; clocks go back at 03:00
    ],
)
def test_a_night_is_as_long_as_the_clocks_of_its_zone_make_it(at: str, hours_quiet: int) -> None:
    began = datetime.fromisoformat(at)
    assert quiet_until(NIGHT, began) == began + timedelta(hours=hours_quiet)
    assert quiet_until(NIGHT, began - timedelta(seconds=1)) is None


def test_a_reminder_of_the_night_waits_for_the_morning_and_two_become_one() -> None:
    evening = datetime(2030, 6, 3, 19, 30, tzinfo=UTC)  # 21:30 in Berlin
    reminders = Terms(reminders=(600, HOUR, 2 * HOUR), quiet_hours=NIGHT)
    request = asked(reminders, at=evening, timeout=24 * HOUR)
    assert kinds(request) == ["expiry", "reminder:1", "reminder:2"]
    assert due_of(request, "reminder:2") == datetime(2030, 6, 4, 5, tzinfo=UTC)


def test_critical_risk_knows_no_quiet_hours() -> None:
    night = datetime(2030, 6, 3, 22, tzinfo=UTC)
    quiet = escalating(60, reminders=(120,), quiet_hours=replace(NIGHT, holds_new=True))
    request = asked(quiet, at=night, timeout=24 * HOUR, risk=RiskLevel.CRITICAL)
    assert kinds(request) == ["expiry", "escalation:1", "reminder:1"]
    assert firing(request, plan(request)[1], night + timedelta(seconds=60)).loud
    assert held_until(request) is None


def test_an_escalation_at_night_is_shown_at_once_and_called_out_in_the_morning() -> None:
    night = datetime(2030, 6, 3, 22, tzinfo=UTC)
    request = asked(escalating(60, quiet_hours=NIGHT), at=night, timeout=24 * HOUR)
    assert kinds(request) == ["expiry", "escalation:1", "quiet-end:1"]
    assert due_of(request, "escalation:1") == night + timedelta(seconds=60)
    assert due_of(request, "quiet-end:1") == datetime(2030, 6, 4, 5, tzinfo=UTC)
    fired = firing(request, plan(request)[1], night + timedelta(seconds=60))
    assert (fired.effect, fired.loud) == (Effect.ESCALATE, False)


def test_what_would_expire_before_the_morning_cannot_wait_for_it() -> None:
    night = datetime(2030, 6, 3, 22, tzinfo=UTC)
    quiet = escalating(60, reminders=(120,), quiet_hours=replace(NIGHT, holds_new=True))
    request = asked(quiet, at=night, timeout=HOUR, risk=RiskLevel.LOW)
    assert held_until(request) is None
    assert firing(request, plan(request)[1], night + timedelta(seconds=60)).loud


@pytest.mark.parametrize("risk", RiskLevel)
def test_only_new_requests_of_low_risk_are_held_and_only_where_the_rule_says_so(risk: RiskLevel) -> None:
    night = datetime(2030, 6, 3, 22, tzinfo=UTC)
    holding = Terms(quiet_hours=replace(NIGHT, holds_new=True))
    held = held_until(asked(holding, at=night, timeout=24 * HOUR, risk=risk))
    assert held == (datetime(2030, 6, 4, 5, tzinfo=UTC) if risk is RiskLevel.LOW else None)
    assert held_until(asked(Terms(quiet_hours=NIGHT), at=night, timeout=24 * HOUR, risk=risk)) is None


def test_a_reminder_that_is_late_into_the_night_waits_too() -> None:
    evening = datetime(2030, 6, 3, 19, 30, tzinfo=UTC)
    request = asked(Terms(reminders=(600,), quiet_hours=NIGHT), at=evening, timeout=24 * HOUR)
    fired = firing(request, plan(request)[1], evening + timedelta(hours=2))
    assert (fired.effect, fired.move_to) == (Effect.NOTHING, datetime(2030, 6, 4, 5, tzinfo=UTC))


def test_a_row_that_the_terms_do_not_know_or_that_is_early_does_nothing() -> None:
    request = asked(escalating(600))
    now = request.created_at + timedelta(seconds=60)
    for name in ("escalation:2", "escalation:1:1", "reminder:1", "approve", "quiet-end:9"):
        fired = firing(request, Deadline("req_a", name, now), now)
        assert (fired.effect, fired.move_to) == (Effect.NOTHING, None)
    early = firing(request, Deadline("req_a", "escalation:1", now), now)
    assert (early.effect, early.move_to) == (Effect.NOTHING, request.created_at + timedelta(seconds=600))
    hastened = firing(request, Deadline("req_a", "expiry", now), now)
    assert (hastened.effect, hastened.move_to) == (Effect.NOTHING, request.expires_at)


def test_pauses_after_failures_grow_to_five_minutes() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    row = Deadline("req_a", "expiry", now)
    pauses: list[float] = []
    for _ in range(12):
        row = postponed(row, now)
        pauses.append((row.due_at - now).total_seconds())
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == 300


def test_a_time_zone_that_this_machine_does_not_know_keeps_nobody_in_the_dark() -> None:
    assert (
        quiet_until(QuietHours(time(0), time(23), "Mars/Olympus"), datetime(2030, 1, 1, 5, tzinfo=UTC))
        is None
    )
