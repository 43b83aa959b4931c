"""What a delegation says, and when it counts: pure values.

A delegation lends somebody the capacity in which another may decide. It lends only what the delegator has in
their own right at the moment of the decision: a delegated power is not delegated on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.errors import IdentityRefused
from hitl_mcp.identity.hierarchy import checked_role
from hitl_mcp.identity.names import checked_agent_name

ACTION_TYPES: Final = (
    "code_execution",
    "package_addition",
    "shell_command",
    "tool_call",
    "http_request",
    "file_change",
    "generic",
)
MAX_SCOPE_NAMES: Final = 50
MAX_REASON_CHARACTERS: Final = 500
MAX_AHEAD: Final = timedelta(days=366)
"""How far ahead a delegation or absence may start, and how long an absence may last."""


@dataclass(frozen=True, slots=True)
class DelegationScope:
    """What a delegation is for. An empty field does not narrow it; `max_risk` is the highest risk allowed."""

    groups: tuple[str, ...] = ()
    action_types: tuple[str, ...] = ()
    max_risk: RiskLevel | None = None
    agents: tuple[str, ...] = ()
    request_id: str | None = None

    def covers(self, *, agent: str, action_type: str, risk: RiskLevel, request_id: str) -> bool:
        """Whether such a request is within the scope."""
        return (
            (not self.action_types or action_type in self.action_types)
            and (not self.agents or agent in self.agents)
            and (self.max_risk is None or risk.rank <= self.max_risk.rank)
            and (self.request_id is None or self.request_id == request_id)
        )

    def lent_of(self, groups: frozenset[str]) -> frozenset[str]:
        """What of the delegator's groups is lent."""
        return groups & frozenset(self.groups) if self.groups else groups

    def to_json(self) -> dict[str, Any]:
        return {
            "groups": list(self.groups),
            "action_types": list(self.action_types),
            "max_risk": None if self.max_risk is None else self.max_risk.value,
            "agents": list(self.agents),
            "request_id": self.request_id,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> DelegationScope:
        risk = stored["max_risk"]
        return cls(
            tuple(stored["groups"]),
            tuple(stored["action_types"]),
            None if risk is None else RiskLevel(risk),
            tuple(stored["agents"]),
            stored["request_id"],
        )


@dataclass(frozen=True, slots=True)
class Delegation:
    """A stored delegation, from `starts_at` until before `until`."""

    delegation_id: str
    delegator: str
    delegate: str
    starts_at: datetime
    until: datetime
    scope: DelegationScope
    reason: str | None
    created_at: datetime
    created_by: str
    absence_id: str | None
    revoked_at: datetime | None
    revoked_by: str | None

    def in_force(self, at: datetime) -> bool:
        return self.revoked_at is None and self.starts_at <= at < self.until


def checked_scope(scope: DelegationScope) -> DelegationScope:
    """The scope with its names folded.

    Raises:
        IdentityRefused: a name cannot be one, there are too many, or an action type is unknown.
    """
    for field, names in (
        ("groups", scope.groups),
        ("action_types", scope.action_types),
        ("agents", scope.agents),
    ):
        if len(names) > MAX_SCOPE_NAMES:
            raise IdentityRefused(field, f"{len(names)} names are too many; {MAX_SCOPE_NAMES} at most")
    for action_type in scope.action_types:
        if action_type not in ACTION_TYPES:
            raise IdentityRefused(
                "action_types", f"{action_type[:80]!r} is none; there are {', '.join(ACTION_TYPES)}"
            )
    request_id = scope.request_id
    if request_id is not None and not (0 < len(request_id) <= 100 and request_id.isascii()):
        raise IdentityRefused("request_id", f"{request_id[:80]!r} cannot be a request's id")
    return DelegationScope(
        tuple(dict.fromkeys(checked_role(group, field="groups") for group in scope.groups)),
        tuple(dict.fromkeys(scope.action_types)),
        scope.max_risk,
        tuple(dict.fromkeys(checked_agent_name(agent) for agent in scope.agents)),
        request_id,
    )


def checked_period(
    starts_at: datetime | None, until: datetime, *, now: datetime, longest: timedelta
) -> datetime:
    """When the period starts: `starts_at`, or now.

    Raises:
        IdentityRefused: it lies in the past, ends before it starts, lasts too long, or starts too far ahead.
    """
    for field, moment in (("from", starts_at), ("until", until)):
        if moment is not None and moment.tzinfo is None:
            raise IdentityRefused(field, f"{moment.isoformat()} needs a time zone, such as Z")
    if starts_at is not None and starts_at < now:
        raise IdentityRefused("from", f"{starts_at.isoformat()} is in the past; leave it out to start now")
    if until <= now:
        raise IdentityRefused("until", f"{until.isoformat()} is in the past")
    start = starts_at or now
    if until <= start:
        raise IdentityRefused("until", f"{until.isoformat()} is not after its start, {start.isoformat()}")
    if start - now > MAX_AHEAD:
        raise IdentityRefused("from", f"{start.isoformat()} is more than {MAX_AHEAD.days} days ahead")
    if until - start > longest:
        raise IdentityRefused(
            "until", f"{until.isoformat()} is more than {longest.days} days after the start; shorten it"
        )
    return start


def chain_between(links: Iterable[tuple[str, str]], start: str, end: str) -> tuple[str, ...] | None:
    """The shortest way from `start` to `end` along delegator -> delegate; None when there is none."""
    following: dict[str, set[str]] = {}
    for delegator, delegate in links:
        following.setdefault(delegator, set()).add(delegate)
    paths: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    while paths:
        path = paths.pop(0)
        if path[-1] == end:
            return path
        for person in sorted(following.get(path[-1], set()) - seen):
            seen.add(person)
            paths.append((*path, person))
    return None
