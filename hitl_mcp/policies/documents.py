"""A rules file as it is written: every field, its type, its bounds. docs/policies.md says what they mean."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hitl_contract.action_code import Language, Profile
from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.terms import OnTimeout, RuleVerdict
from hitl_mcp.policies.fields import (
    Condition,
    GroupName,
    Level,
    Moment,
    Names,
    Patterns,
    RiskLevels,
    RuleModel,
    RuleName,
    Seconds,
    Text,
    TimeOfDay,
    TimeZone,
    Weekdays,
    as_list,
)

ActionType = Literal[
    "code_execution",
    "package_addition",
    "shell_command",
    "tool_call",
    "http_request",
    "file_change",
    "generic",
]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
Seats = Annotated[
    dict[GroupName, Annotated[int, Field(ge=1, le=100)]],
    Field(min_length=1, max_length=20, description="how many different people of which role or group"),
]


class TimeDocument(RuleModel):
    """When a rule matches: on these days, from one time of day until before another, in a time zone."""

    days: Weekdays | None = None
    start: Annotated[TimeOfDay | None, Field(alias="from")] = None
    end: Annotated[TimeOfDay | None, Field(alias="to")] = None
    time_zone: TimeZone

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.start is None) != (self.end is None):
            raise ValueError("needs both from and to, or neither")
        if self.start is not None and self.start == self.end:
            raise ValueError("from and to are the same: no time is between them")
        if self.start is None and self.days is None:
            raise ValueError("needs days, or from and to")
        return self


class MatchDocument(RuleModel):
    """What a rule is about. All that is stated has to hold; within a list one is enough."""

    action: Annotated[
        tuple[ActionType, ...] | None, BeforeValidator(as_list), Field(min_length=1, max_length=7)
    ] = None
    language: Annotated[
        tuple[Annotated[Language, Field(strict=False)], ...] | None,
        BeforeValidator(as_list),
        Field(min_length=1, max_length=4),
    ] = None
    profile: Annotated[
        tuple[Annotated[Profile, Field(strict=False)], ...] | None,
        BeforeValidator(as_list),
        Field(min_length=1, max_length=3),
    ] = None
    package: Patterns | None = None
    network: bool | None = None
    server: Patterns | None = None
    tool: Patterns | None = None
    operation: Patterns | None = None
    program: Patterns | None = None
    method: Annotated[
        tuple[Method, ...] | None, BeforeValidator(as_list), Field(min_length=1, max_length=7)
    ] = None
    host: Patterns | None = None
    path: Patterns | None = None
    agent: Patterns | None = None
    agent_role: Names | None = None
    trusted: bool | None = None
    environment: Patterns | None = None
    risk: RiskLevels | None = None
    time: TimeDocument | None = None
    when: Condition | None = None
    unless: Condition | None = None


class EscalationDocument(RuleModel):
    """Who else may decide, from how long after the request was made."""

    after: Annotated[Seconds, Field(ge=1)]
    groups: Names = ()
    people: Names = ()

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if not self.groups and not self.people:
            raise ValueError("names neither groups nor people")
        return self


class QuietHoursDocument(RuleModel):
    """When people are not told of what can wait. May pass midnight."""

    start: Annotated[TimeOfDay, Field(alias="from")]
    end: Annotated[TimeOfDay, Field(alias="to")]
    time_zone: TimeZone

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.start == self.end:
            raise ValueError("from and to are the same: no time is between them")
        return self


class ConditionDocument(RuleModel):
    """A condition that approvers are offered: limits at most these."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    limits: Annotated[
        dict[
            Annotated[str, Field(pattern=r"^[a-z_]+(?:\.[A-Za-z0-9_]+)*$", max_length=200)], str | int | float
        ],
        Field(min_length=1, max_length=20),
    ]


class AskDocument(RuleModel):
    """On what terms people decide. What is left out comes from `like`, or else is the default."""

    like: RuleName | None = None
    approvers: Annotated[int, Field(ge=1, le=100)] | Seats | None = None
    stages: Annotated[tuple[Seats, ...] | None, Field(strict=False, min_length=1, max_length=10)] = None
    separate_stages: bool = True
    exclude: Names = ()
    reason_required: bool = False
    assurance: Annotated[Assurance | None, Field(strict=False)] = None
    minimum_review: Annotated[Seconds, Field(le=86_400)] = 0
    timeout: Annotated[Seconds | None, Field(ge=10)] = None
    on_timeout: Annotated[OnTimeout, Field(strict=False)] = OnTimeout.DENY
    escalation: Annotated[tuple[EscalationDocument, ...], Field(strict=False, max_length=20)] = ()
    reminders: Annotated[tuple[Annotated[Seconds, Field(ge=1)], ...], Field(strict=False, max_length=20)] = ()
    quiet_hours: QuietHoursDocument | None = None
    conditions: Annotated[tuple[ConditionDocument, ...], Field(strict=False, max_length=20)] = ()
    may_edit: bool = True
    editor_counts: bool = True
    denials_to_end: Annotated[int, Field(ge=1, le=100)] = 1

    @model_validator(mode="after")
    def _says_who_in_one_way(self) -> Self:
        if self.approvers is not None and self.stages is not None:
            raise ValueError("has both approvers and stages; give one of them")
        return self


class AutoApproveDocument(RuleModel):
    """When an asking rule asks nobody after all."""

    when: Condition
    risk: Annotated[Level, Field(description="the highest level at which this holds")] = RiskLevel.LOW


class RateLimitDocument(RuleModel):
    """From how many requests of one agent under this rule within an hour on it says something else."""

    requests_per_hour: Annotated[int, Field(ge=1, le=1_000_000)]
    then: Literal["ask", "deny"] = "ask"


class RuleDocument(RuleModel):
    """One rule."""

    name: RuleName
    description: Text | None = None
    enabled: bool = True
    match: MatchDocument = MatchDocument()
    then: Annotated[RuleVerdict, Field(strict=False)]
    because: Annotated[Text | None, Field(description="what agents and approvers are told")] = None
    ask: AskDocument | None = None
    auto_approve: AutoApproveDocument | None = None
    require_justification: Annotated[int | None, Field(ge=1, le=4000)] = None
    rate_limit: RateLimitDocument | None = None
    valid_from: Moment | None = None
    valid_until: Moment | None = None


class ThresholdsDocument(RuleModel):
    """What no rule can do, by level of risk."""

    automatic: Level | Literal["none"]
    ask: Level
    blocked: Level | Literal["none"] = "none"


class FatigueDocument(RuleModel):
    """From how many approvals by one person within an hour on a chat is not enough any more."""

    approvals_per_person_per_hour: Annotated[int, Field(ge=1, le=10_000)]
    then: Literal["session"] = "session"


class PolicyDocument(RuleModel):
    """One file. `thresholds` and `fatigue` may stand in one file only."""

    thresholds: ThresholdsDocument | None = None
    fatigue: FatigueDocument | None = None
    terms: Annotated[dict[RuleName, AskDocument], Field(max_length=500, default_factory=dict)]
    rules: Annotated[tuple[RuleDocument, ...], Field(strict=False, max_length=5000)] = ()
