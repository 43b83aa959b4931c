"""When a measure of attention is worth a warning: pure, and with every threshold by name."""

from __future__ import annotations

from typing import Final

from hitl_mcp.attention.measure import Attention

LEAST_DECISIONS: Final = 20
"""Fewer decisions say nothing about a person."""
APPROVES_NEARLY_EVERYTHING: Final = 0.95
"""Share of decisions that are approvals, from which on nothing seems to be weighed."""
HARDLY_READS: Final = 0.5
"""Share of approvals faster than reading, from which on it is a habit and no slip."""
WITHIN_SECONDS: Final = 5.0
"""Half of all decisions within this time of being told: nobody opens, reads and weighs in it."""
MISSED_DRILLS: Final = 2
"""As many drills missed, and more than were caught: one may be bad luck."""


def stamping(attention: Attention) -> str | None:
    """Why this person seems to approve without looking; None where nothing says so."""
    approved, hasty, median = attention.approved_share, attention.hasty_share, attention.seconds_p50
    enough = attention.decided >= LEAST_DECISIONS
    if enough and approved is not None and approved >= APPROVES_NEARLY_EVERYTHING:
        if median is not None and median < WITHIN_SECONDS:
            return f"approves {approved:.0%} of {attention.decided}, half of them within {median:.0f} s"
        if hasty is not None and hasty >= HARDLY_READS:
            return (
                f"approves {approved:.0%} of {attention.decided}, {hasty:.0%} of these faster than they can "
                "be read"
            )
    if attention.canaries_missed >= MISSED_DRILLS and attention.canaries_missed > attention.canaries_caught:
        return f"let {attention.canaries_missed} drills through and caught {attention.canaries_caught}"
    return None
