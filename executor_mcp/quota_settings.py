"""The section `quotas` of the settings."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from pydantic import Field

from executor_mcp.quotas import Quota, QuotaRules
from server_kit.settings import SettingsModel


class OneQuota(SettingsModel):
    """What is left out is not bounded."""

    executions: int | None = Field(default=None, ge=0, le=1_000_000, description="within the window")
    cpu_seconds: float | None = Field(default=None, ge=0, le=1e9, description="within the window")
    concurrent: int | None = Field(default=None, ge=0, le=100_000, description="waiting or running at a time")

    def quota(self) -> Quota:
        return Quota(self.executions, self.cpu_seconds, self.concurrent)


class QuotaSettings(SettingsModel):
    """How much agents may run, and people may have run in their name."""

    window_seconds: float = Field(default=3600, ge=1, le=31 * 86400)
    each_agent: OneQuota = OneQuota()
    each_person: OneQuota = Field(default=OneQuota(), description="by who approved")
    agents: dict[str, OneQuota] = Field(default={}, description="instead of each_agent, by name")
    people: dict[str, OneQuota] = Field(default={}, description="instead of each_person, by name")

    def rules(self) -> QuotaRules:
        return QuotaRules(
            window_seconds=self.window_seconds,
            each_agent=self.each_agent.quota(),
            each_person=self.each_person.quota(),
            agents={name: one.quota() for name, one in self.agents.items()},
            people={name: one.quota() for name, one in self.people.items()},
        )
