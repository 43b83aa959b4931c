"""The book of grants as the approval service uses it: cheap to look into, used in one transaction."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals import events
from hitl_mcp.approvals.grants import Grant, GrantEvidence, GrantOffer
from hitl_mcp.approvals.ports import GrantUsing
from hitl_mcp.grants.rows import grant_of, use_of
from hitl_mcp.identity.register import Changing, IdentityRegister, Reading
from hitl_mcp.storage.schema import grant_uses, grants

T = TypeVar("T")
_KNOWN_AGENTS: Final = 1024


class SqlGrantBook:
    """Implements `approvals.ports.GrantBook` behind the register of identity.

    Every grant and every use of one is a change in the register. As long as the register stands where it
    stood, what was read of an agent's grants is still so, and nothing is read again.
    """

    def __init__(self, register: IdentityRegister) -> None:
        self._register = register
        self._known: dict[str, Sequence[Grant]] = {}
        self._as_of = -1

    async def live(self, agent: str) -> Sequence[Grant]:
        state = self._register.state
        if state.number != self._as_of:
            self._known, self._as_of = {}, state.number
        known = self._known.get(agent)
        if known is None:
            prefix = _key_prefix(agent)
            has_any = any(kind == grants.name and key.startswith(prefix) for kind, key in state.newest)
            known = await self._read(agent) if has_any else ()
            # What was read may be newer than `state`; then it is read again with the next change seen.
            unchanged = self._register.state.number == self._as_of == state.number
            if unchanged and len(self._known) < _KNOWN_AGENTS:
                self._known[agent] = known
        now = self._register.clock.now()
        return [grant for grant in known if grant.is_live(now)]

    async def write(self, operation: Callable[[GrantUsing], Awaitable[T]]) -> T:
        return await self._register.write(lambda changing: operation(_Using(changing)))

    async def evidence(self, request_id: str) -> GrantEvidence | None:
        async def find(reading: Reading) -> GrantEvidence | None:
            used = await reading.one(grant_uses, request_id=request_id)
            if used is None:
                return None
            found = await reading.many(grants, grants.c.grant_id == used.grant_id)
            return GrantEvidence(grant_of(found[0]), use_of(used)) if found else None

        return await self._register.read(find)

    async def _read(self, agent: str) -> Sequence[Grant]:
        async def find(reading: Reading) -> list[Grant]:
            rows = await reading.many(grants, grants.c.agent == agent, order_by=grants.c.expires_at)
            return [grant_of(row) for row in rows]

        now = self._register.clock.now()
        return [grant for grant in await self._register.read(find) if grant.is_live(now)]


class _Using:
    """Implements `approvals.ports.GrantUsing` in one transaction of the register."""

    def __init__(self, changing: Changing) -> None:
        self._changing = changing

    @property
    def connection(self) -> AsyncConnection:
        return self._changing.connection

    async def usable(self, grant: Grant) -> bool:
        row = await self._changing.one(grants, agent=grant.agent, grant_id=grant.grant_id)
        return row is not None and grant_of(row).is_live(self._changing.now)

    async def use(self, offer: GrantOffer) -> None:
        request = offer.request
        row = await self._changing.one(grants, agent=offer.grant.agent, grant_id=offer.grant.grant_id)
        if row is None or row.used >= row.allowed:
            # `usable` said otherwise in this transaction; kept so that no path counts past the end.
            raise RuntimeError("a grant was used that has no use left")
        number = row.used + 1
        await self._changing.change(grants, row, used=number)
        use = await self._changing.put(
            grant_uses,
            {
                "request_id": request.request_id,
                "grant_id": row.grant_id,
                "number": number,
                "action_digest": request.action_digest,
                "groups": sorted(offer.groups),
                "used_at": request.created_at,
            },
        )
        await self._changing.audit(
            events.APPROVED_BY_GRANT,
            actor=events.grant_actor(row.grant_id),
            subject=request.request_id,
            details={
                "grant": row.grant_id,
                "person": row.person,
                "number": number,
                "remaining": row.allowed - number,
                "rule": row.rule,
                "wording_digest": row.wording_digest,
                "action_digest": request.action_digest,
                "seal": request.seal,
                "use_seal": use["seal"],
            },
        )


def _key_prefix(agent: str) -> str:
    # The register's key of a row is its primary key as a JSON list, and the agent comes first.
    return json.dumps([agent], separators=(",", ":"))[:-1] + ","
