"""The terms on which a request is approved: what a rule asks of people. Pure values, sealed with the request.

A rule's ruling is one of three: allow (nobody is asked), ask (people decide on its terms), deny. The terms of
an asking rule are ordered stages; a stage is filled when each of its quorums has enough different people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum
from typing import Final

from hitl_mcp.approvals.levels import Assurance, RiskLevel

ANY_APPROVER: Final = "approver"
"""The role of everybody who may decide; the group of a quorum that names no other."""


class RuleVerdict(StrEnum):
    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class OnTimeout(StrEnum):
    """What silence means. Approval by silence has to be asked for by its dangerous name."""

    DENY = "deny"
    UNSAFE_AUTO_APPROVE = "UnsafeAutoApproveOnTimeout"


@dataclass(frozen=True, slots=True)
class GroupQuorum:
    """`count` (at least 1) different people who have the role or are in the group `group`."""

    group: str = ANY_APPROVER
    count: int = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """Filled when every quorum is; one person takes one seat in it."""

    quorums: tuple[GroupQuorum, ...]

    @property
    def seats(self) -> int:
        return sum(quorum.count for quorum in self.quorums)


@dataclass(frozen=True, slots=True)
class EscalationLevel:
    """From `after_seconds` after its creation, a request may also be decided by these, in any seat."""

    after_seconds: int
    groups: tuple[str, ...] = ()
    people: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QuietHours:
    """When people are not told of what can wait: local times of an IANA time zone; may pass midnight.

    Nothing of critical risk waits, and nothing that would expire before the end. `holds_new`: a new request
    of low risk is shown only at the end, too.
    """

    start: time
    end: time
    time_zone: str
    holds_new: bool = False


@dataclass(frozen=True, slots=True)
class OfferedCondition:
    """A condition that an approver may attach: limits at most these, by dotted path into the action.

    `limits` maps such as `limits.wall_seconds` to the largest value, or `network.mode` to the only one.
    """

    name: str
    limits: tuple[tuple[str, str | int | float], ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """What has to happen before a request is approved. Times in seconds.

    `stages` is empty exactly when nobody is asked. `separate_stages`: who took a seat takes none in a later
    stage. `denials_to_end`: so many denials end it. `excluded`: people who do not count for this request,
    such as the agent's owner. `minimum_review_seconds`: an approval sooner after its person first saw the
    page, or else after the request's creation, does not count.
    """

    stages: tuple[Stage, ...] = (Stage((GroupQuorum(),)),)
    required_assurance: Assurance = Assurance.CHAT
    separate_stages: bool = True
    denials_to_end: int = 1
    excluded: tuple[str, ...] = ()
    reason_required: bool = False
    minimum_review_seconds: int = 0
    timeout_seconds: int | None = None
    on_timeout: OnTimeout = OnTimeout.DENY
    escalation: tuple[EscalationLevel, ...] = ()
    reminders: tuple[int, ...] = ()
    quiet_hours: QuietHours | None = None
    conditions: tuple[OfferedCondition, ...] = ()
    may_edit: bool = True
    editor_counts: bool = True

    @property
    def required_approvals(self) -> int:
        return sum(stage.seats for stage in self.stages)


@dataclass(frozen=True, slots=True)
class RiskVote:
    """What one assessor says. `level` is None when it was left out; `reason` then says why."""

    assessor: str
    level: RiskLevel | None
    reason: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RiskAssessment:
    """The consensus of the assessors, and how each voted."""

    level: RiskLevel
    votes: tuple[RiskVote, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """What rules may know of an agent. `owner` is the person responsible for it."""

    name: str
    roles: tuple[str, ...] = ()
    environment: str = "default"
    trusted: bool = False
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """The rule that applies and what it says; `explanation` tells a person why it applied."""

    rule: str
    verdict: RuleVerdict
    risk: RiskAssessment
    terms: Terms = field(default_factory=Terms)
    explanation: str = ""
