"""What an operator states of an agent, and rules may know: pure values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hitl_contract.display import safe_text
from hitl_mcp.approvals.terms import AgentFacts
from hitl_mcp.errors import IdentityRefused
from hitl_mcp.identity.hierarchy import checked_role

_ENVIRONMENT: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?\Z")
_MAX_ROLES: Final = 50


@dataclass(frozen=True, slots=True)
class StatedFacts:
    """Facts about an agent; the defaults say nothing to its favour. `owner` is a person's name."""

    roles: tuple[str, ...] = ()
    environment: str = "default"
    trusted: bool = False
    owner: str | None = None

    def of(self, agent: str) -> AgentFacts:
        return AgentFacts(agent, self.roles, self.environment, self.trusted, self.owner)

    def to_json(self) -> dict[str, Any]:
        return {
            "roles": list(self.roles),
            "environment": self.environment,
            "trusted": self.trusted,
            "owner": self.owner,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> StatedFacts:
        """What a row holds; NULL in it is the defaults."""
        if stored is None:
            return cls()
        return cls(tuple(stored["roles"]), stored["environment"], stored["trusted"], stored["owner"])


def checked_facts(facts: StatedFacts) -> StatedFacts:
    """The facts with their names folded; `owner` is looked up by who stores them.

    Raises:
        IdentityRefused: a role or the environment cannot be one.
    """
    if len(facts.roles) > _MAX_ROLES:
        raise IdentityRefused("role", f"{len(facts.roles)} are too many; {_MAX_ROLES} at most")
    if not _ENVIRONMENT.match(facts.environment):
        raise IdentityRefused(
            "environment",
            f'"{safe_text(facts.environment[:80])}" cannot be one: use 1 to 64 of a-z, 0-9 and . _ - between',
        )
    roles = tuple(sorted({checked_role(role) for role in facts.roles}))
    return StatedFacts(roles, facts.environment, facts.trusted, facts.owner)
