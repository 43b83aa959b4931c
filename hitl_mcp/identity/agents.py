"""Agents and their API keys. A key proves which agent calls; it can ask, and never decide."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from hitl_mcp.approvals.terms import AgentFacts
from hitl_mcp.errors import AlreadyExists, IdentityRefused, NameRefused, UnknownAgent
from hitl_mcp.identity.agent_facts import StatedFacts, checked_facts
from hitl_mcp.identity.credentials import new_agent_key, parse_agent_key, same
from hitl_mcp.identity.grant_rows import end_grants
from hitl_mcp.identity.lookup import active_person
from hitl_mcp.identity.names import checked_agent_name
from hitl_mcp.identity.register import Changing, IdentityRegister, Reading
from hitl_mcp.storage.schema import agents, grants

_JUST_NOW_SECONDS: Final = 0.1
_SEEN_AGENTS: Final = 1000


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """A registered agent. `key_id` is the public part of its API key."""

    name: str
    key_id: str
    created_at: datetime
    revoked_at: datetime | None
    facts: AgentFacts


class AgentDirectory:
    """The agents this server knows. Implements `approvals.ports.AgentFactsDirectory`."""

    def __init__(self, register: IdentityRegister) -> None:
        self._register = register
        self._seen: dict[str, tuple[float, Row[Any]]] = {}

    async def add(self, name: str, facts: StatedFacts | None = None, *, actor: str = "operator") -> str:
        """Register an agent and return its API key, which is stored nowhere.

        A revoked name gets a new key, and only the facts given now.

        Raises:
            NameRefused: the name cannot be one.
            AlreadyExists: an agent of this name has a key that is not revoked.
            IdentityRefused: a fact cannot be one, or its owner is no active person.
        """
        checked_agent_name(name)
        checked = None if facts is None else checked_facts(facts)
        key = new_agent_key()

        async def store(changing: Changing) -> None:
            known = await changing.one(agents, name=name)
            if known is not None and known.revoked_at is None:
                raise AlreadyExists(
                    f"Agent {name} has a key already. For a new one first: hitl agents revoke {name}"
                )
            stated = None if checked is None else await _with_owner(changing, checked)
            await changing.put(
                agents,
                {
                    "name": name,
                    "key_id": key.key_id,
                    "key_hash": key.digest,
                    "created_at": changing.now,
                    "revoked_at": None,
                    "facts": None if stated is None else stated.to_json(),
                },
            )
            more = {} if stated is None else {"facts": stated.to_json()}
            await changing.audit(
                "agent.added", actor=actor, subject=name, details={"key_id": key.key_id, **more}
            )

        await self._register.write(store)
        self._seen.clear()
        return key.text

    async def set_facts(self, name: str, facts: StatedFacts, *, actor: str = "operator") -> AgentFacts:
        """State anew what rules may know of an agent, and return it.

        Raises:
            UnknownAgent: no agent of this name has a valid key.
            IdentityRefused: a fact cannot be one, or its owner is no active person.
        """
        checked = checked_facts(facts)

        async def store(changing: Changing) -> StatedFacts:
            row = await _require(changing, name)
            stated = await _with_owner(changing, checked)
            await changing.change(agents, row, facts=stated.to_json())
            await changing.audit(
                "agent.facts_changed",
                actor=actor,
                subject=name,
                details={"from": StatedFacts.from_json(row.facts).to_json(), "to": stated.to_json()},
            )
            return stated

        stated = await self._register.write(store)
        self._seen.clear()
        return stated.of(name)

    async def facts(self, agent: str) -> AgentFacts:
        """What is known of an agent; of an unknown or revoked one, its name and nothing to its favour.

        Whoever asks right after the agent has proven itself gets what was read then.
        """
        seen = self._seen.get(agent)
        just_now = seen is not None and asyncio.get_running_loop().time() < seen[0] + _JUST_NOW_SECONDS
        row = seen[1] if seen is not None and just_now else await self._active(agent)
        return StatedFacts.from_json(None if row is None else row.facts).of(agent)

    async def authenticate(self, api_key: str) -> str | None:
        """The name of the agent whose key this is; None for any other string."""
        key = parse_agent_key(api_key)
        if key is None:
            return None

        async def find(reading: Reading) -> Row[Any] | None:
            rows = await reading.many(agents, agents.c.key_id == key.key_id)
            return rows[0] if rows else None

        row = await self._register.read_again(("agent of key", key.key_id), find)
        fits = row is not None and row.revoked_at is None and same(row.key_hash, key.digest)
        return row.name if row is not None and fits else None

    async def is_active(self, name: str) -> bool:
        """Whether there is an agent of this name that is not revoked."""
        return await self._active(name) is not None

    async def list(self) -> list[AgentRecord]:
        """Every agent, by name."""
        rows = await self._register.read(lambda reading: reading.many(agents, order_by=agents.c.name))
        return [
            AgentRecord(
                row.name,
                row.key_id,
                row.created_at,
                row.revoked_at,
                StatedFacts.from_json(row.facts).of(row.name),
            )
            for row in rows
        ]

    async def revoke(self, name: str, *, actor: str = "operator") -> None:
        """Make the agent's key worthless at once, and end its grants. Its requests stay.

        Raises:
            UnknownAgent: no agent of this name has a valid key.
        """

        async def store(changing: Changing) -> None:
            row = await _require(changing, name)
            await changing.change(agents, row, revoked_at=changing.now)
            await changing.audit("agent.revoked", actor=actor, subject=name, details={"key_id": row.key_id})
            await end_grants(changing, grants.c.agent == name, actor=actor, because="agent revoked")

        await self._register.write(store)
        self._seen.clear()

    async def _active(self, name: str) -> Row[Any] | None:
        if not _can_be_a_name(name):
            return None
        row = await self._register.read_again(("agent", name), lambda reading: reading.one(agents, name=name))
        if row is None or row.revoked_at is not None:
            return None
        if len(self._seen) >= _SEEN_AGENTS:
            self._seen.clear()
        self._seen[name] = (asyncio.get_running_loop().time(), row)
        return row


def _can_be_a_name(name: str) -> bool:
    try:
        checked_agent_name(name)
    except NameRefused:
        return False
    return True


async def _require(changing: Changing, name: str) -> Row[Any]:
    row = await changing.one(agents, name=name) if _can_be_a_name(name) else None
    if row is None or row.revoked_at is not None:
        raise UnknownAgent(f"There is no agent {name[:80]!r} with a valid key. See: hitl agents list")
    return row


async def _with_owner(changing: Changing, facts: StatedFacts) -> StatedFacts:
    if facts.owner is None:
        return facts
    owner = await active_person(changing, facts.owner)
    if owner is None:
        raise IdentityRefused(
            "owner", f"{facts.owner[:80]!r} is no active person here. See: hitl people list"
        )
    return replace(facts, owner=owner.person_id)
