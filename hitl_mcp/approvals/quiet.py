"""Quiet hours on the wall clocks of a time zone: pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hitl_mcp.approvals.terms import QuietHours


def quiet_until(quiet: QuietHours | None, at: datetime) -> datetime | None:
    """When the quiet hours that hold at `at` end, in UTC; None when none do.

    What counts is what a wall clock there shows, so a night is an hour longer or shorter when clocks change.
    An end that clocks skip is taken as long after the skip as it was into it. Quiet hours of no length, or of
    a time zone that this machine does not know, are none: people are rather told than not.
    """
    if quiet is None:
        return None
    try:
        zone = ZoneInfo(quiet.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    local = at.astimezone(zone)
    if not _within(quiet, local.time()):
        return None
    today = local.date()
    for day in (today, today + timedelta(days=1), today + timedelta(days=2)):
        for end in _instants(day, quiet.end, zone):
            if end > at:
                return end
    return None


def _within(quiet: QuietHours, now: time) -> bool:
    if quiet.start <= quiet.end:
        return quiet.start <= now < quiet.end
    return now >= quiet.start or now < quiet.end


def _instants(day: date, at: time, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When the clocks of `zone` show `at` on `day`: twice in the hour that comes again in autumn."""
    first, second = (datetime.combine(day, at.replace(fold=fold), zone).astimezone(UTC) for fold in (0, 1))
    return (first, second) if first <= second else (first, first)
