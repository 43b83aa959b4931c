"""How attention is measured, and whether there are drills."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from typing import Annotated, Self

from pydantic import Field, model_validator

from server_kit.settings import SettingsModel

AgentName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class AttentionSettings(SettingsModel):
    """What counts as an approval that nobody can have read. See docs/operations.md."""

    words_per_minute: int = Field(
        default=600, ge=50, le=10_000, description="the fastest that anybody reads what is asked for"
    )
    least_seconds: float = Field(
        default=3, ge=0, le=600, description="an approval sooner than this is always too fast"
    )


class CanarySettings(SettingsModel):
    """Drills: made-up, dangerous requests that approvers should deny. None by default."""

    per_week: int = Field(
        default=0, ge=0, le=20, description="most drills put before one approver in a week; 0 for none"
    )
    agents: tuple[AgentName, ...] = Field(
        default=(),
        max_length=50,
        description="names under which drills are filed, best those of agents kept for it; made up without",
    )

    @model_validator(mode="after")
    def _agents_once(self) -> Self:
        if len({name.casefold() for name in self.agents}) != len(self.agents):
            raise ValueError("agents must not name an agent twice")
        return self
