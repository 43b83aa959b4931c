"""Audit entries about packages, which are durable before anybody can see what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.packages.locked import LockedPackage
from server_kit.audit_log import AuditLog
from server_kit.database.base import Database


class AuditNote:
    """Raises ServerError when nothing could be written."""

    def __init__(self, *, database: Database, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit

    async def by_operator(self, event: str, package: LockedPackage, more: Mapping[str, JsonValue]) -> None:
        await self._database.write(
            lambda connection: self._append(connection, event, "operator", package, more)
        )

    async def added(self, packages: Sequence[LockedPackage], execution_id: str) -> None:
        """All of one approval, or none."""

        async def write(connection: AsyncConnection) -> None:
            for package in packages:
                assert package.approved is not None
                more: dict[str, JsonValue] = {
                    "execution_id": execution_id,
                    "request_id": package.approved.request_id,
                    "approved_by": [*package.approved.people],
                }
                await self._append(connection, "package.added", package.approved.agent, package, more)

        await self._database.write(write)

    async def _append(
        self,
        connection: AsyncConnection,
        event: str,
        actor: str,
        package: LockedPackage,
        more: Mapping[str, JsonValue],
    ) -> None:
        details: dict[str, JsonValue] = {
            "layer": package.layer,
            "source": package.report.source,
            "contents": [str(one) for one in package.distributions],
            **more,
        }
        await self._audit.append(connection, event, actor=actor, subject=str(package), details=details)
