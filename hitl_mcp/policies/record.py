"""Puts on record which rules came into force, before they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.canonical import canonical_json, digest_of_bytes
from hitl_mcp.approvals.ports import AuditTrail
from hitl_mcp.policies.rules import RuleSet
from server_kit.database.base import Database

IN_FORCE: Final = "rules.in_force"
SUBJECT: Final = "rules"


class RulesRecord(Protocol):
    async def came_into_force(self, rules: RuleSet, texts: Mapping[str, str]) -> None:
        """Record rules and the files that they were read from. Raises when that cannot be done."""
        ...


class AuditedRules:
    """Implements `RulesRecord` in the audit log; rules that were the last ones recorded are not repeated."""

    def __init__(self, database: Database, audit: AuditTrail) -> None:
        self._database = database
        self._audit = audit

    async def came_into_force(self, rules: RuleSet, texts: Mapping[str, str]) -> None:
        digest = digest_of_bytes(canonical_json(sorted(texts.items())))
        names: list[JsonValue] = [rule.name for rule in rules.rules]

        async def operation(connection: AsyncConnection) -> None:
            recorded = await self._audit.about(connection, SUBJECT, (IN_FORCE,))
            if recorded and recorded[-1].details.get("digest") == digest:
                return
            files: list[JsonValue] = [*sorted(texts)]
            await self._audit.append(
                connection,
                IN_FORCE,
                actor="server",
                subject=SUBJECT,
                details={"digest": digest, "files": files, "rules": names},
            )

        await self._database.write(operation)
