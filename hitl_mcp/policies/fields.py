"""Single values of rules: durations, times of day, patterns, levels of risk, and how each may be written."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
import re
from collections.abc import Sequence
from datetime import datetime, time
from typing import Annotated, Final, Self, cast
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from hitl_mcp.approvals.levels import RiskLevel

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"([0-9]{1,7})([smhd])\Z")
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\Z")
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class RuleModel(BaseModel):
    """Base of everything in a rules file: strict types, no unknown fields, no change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def as_list(value: object) -> object:
    if isinstance(value, list):
        return tuple(cast("list[object]", value))
    return (value,) if isinstance(value, str) else value


def _duration(value: object) -> object:
    if isinstance(value, str):
        found = _DURATION.match(value)
        if found is None:
            raise ValueError("must be seconds, or a number with s, m, h or d, such as 30m")
        return int(found[1]) * _UNITS[found[2]]
    return value


def _time_of_day(value: object) -> object:
    found = _TIME.match(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a time of day from 00:00 to 23:59, such as 08:30")
    return time(int(found[1]), int(found[2]))


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("must be an IANA time zone, such as Europe/Berlin") from None
    return value


def _moment(value: object) -> object:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(
                "must be a date and time with its offset, such as 2030-01-31T18:00:00Z"
            ) from None
        if moment.tzinfo is None:
            raise ValueError("must say its offset from UTC, such as 2030-01-31T18:00:00+01:00")
        return moment
    return value


def _different(value: Sequence[str]) -> Sequence[str]:
    if not value:
        raise ValueError("must not be empty; leave it out to match everything")
    if len(set(value)) != len(value):
        raise ValueError("must not name the same twice")
    return value


Seconds = Annotated[int, BeforeValidator(_duration), Field(ge=0, le=604_800)]
TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
RuleName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?$",
        description="lower-case letters, digits and . _ - in between",
    ),
]
Text = Annotated[str, Field(min_length=1, max_length=1000)]
Pattern = Annotated[str, Field(min_length=1, max_length=500)]
Patterns = Annotated[
    tuple[Pattern, ...], BeforeValidator(as_list), Field(max_length=500), AfterValidator(_different)
]
GroupName = Annotated[str, Field(min_length=1, max_length=64)]
Names = Annotated[
    tuple[GroupName, ...], BeforeValidator(as_list), Field(max_length=200), AfterValidator(_different)
]
Condition = Annotated[str, Field(min_length=1, max_length=4000)]
Level = Annotated[RiskLevel, Field(strict=False)]


class RiskRange(RuleModel):
    """Levels from `at_least` to `at_most`, both included."""

    at_least: Level = RiskLevel.LOW
    at_most: Level = RiskLevel.CRITICAL

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.at_least.rank > self.at_most.rank:
            raise ValueError(f"no level is at least {self.at_least} and at most {self.at_most}")
        return self


def _risk_levels(value: object) -> object:
    if isinstance(value, dict):
        try:
            stated = RiskRange.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{where} {first['msg'].removeprefix('Value error, ')}".strip()) from None
        return tuple(
            level for level in RiskLevel if stated.at_least.rank <= level.rank <= stated.at_most.rank
        )
    return as_list(value)


RiskLevels = Annotated[
    tuple[Level, ...], BeforeValidator(_risk_levels), Field(max_length=4), AfterValidator(_different)
]


def _weekdays(value: object) -> object:
    if not isinstance(value, str) or value in WEEKDAYS:
        return as_list(value)
    first, _, last = value.partition("-")
    if first not in WEEKDAYS or last not in WEEKDAYS:
        raise ValueError(f"must be days such as mon-fri, or a list of {', '.join(WEEKDAYS)}")
    start, end = WEEKDAYS.index(first), WEEKDAYS.index(last)
    count = (end - start) % 7 + 1
    return tuple(WEEKDAYS[(start + step) % 7] for step in range(count))


Weekday = Annotated[str, Field(pattern=f"^(?:{'|'.join(WEEKDAYS)})$")]
Weekdays = Annotated[
    tuple[Weekday, ...], BeforeValidator(_weekdays), Field(max_length=7), AfterValidator(_different)
]
