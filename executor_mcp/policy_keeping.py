"""The policy in force, and how a changed settings file becomes it while the executor runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.executor_policy import ExecutorPolicy
from server_kit.audit_log import AuditLog
from server_kit.database.base import Database
from server_kit.errors import ConfigurationError, ServerError

_LOOK_SECONDS = 1.0

Fingerprint = tuple[int, int, int]


class PolicyReader(Protocol):
    """Reads the settings again."""

    @property
    def file(self) -> Path:
        """The file whose change is worth reading again."""
        ...

    def read(self) -> ExecutorPolicy:
        """Raises ConfigurationError naming what is wrong."""
        ...


class PolicyKeeper:
    """Implements `PolicySource`. A policy that cannot be read, or whose change cannot be written into the
    audit log, leaves the one before in force.
    """

    def __init__(
        self, policy: ExecutorPolicy, reader: PolicyReader | None, *, audit: AuditLog, database: Database
    ) -> None:
        self._policy = policy
        self._reader = reader
        self._audit = audit
        self._database = database
        self._seen = None if reader is None else fingerprint(reader.file)
        self._reading = asyncio.Lock()
        self._problem: str | None = None
        self._problem_may_pass = False
        self._log = structlog.get_logger("executor.policy")

    @property
    def problem(self) -> str | None:
        """Why the file is not what is in force; None when it is."""
        return self._problem

    def current(self) -> ExecutorPolicy:
        return self._policy

    async def run(self) -> None:
        """Look at the file once a second, until cancelled."""
        while self._reader is not None:
            await asyncio.sleep(_LOOK_SECONDS)
            seen = await asyncio.to_thread(fingerprint, self._reader.file)
            if seen != self._seen or self._problem_may_pass:
                self._seen = seen
                await self.reload()

    async def reload(self) -> bool:
        """Read the file now; whether it is what is in force afterwards."""
        if self._reader is None:
            return True
        async with self._reading:
            try:
                policy = await asyncio.to_thread(self._reader.read)
                if policy.digest != self._policy.digest:
                    await self._put_in_force(policy)
            except (ConfigurationError, ServerError) as error:
                self._note(error)
                return False
            self._problem = None
            self._problem_may_pass = False
            return True

    def _note(self, error: ConfigurationError | ServerError) -> None:
        self._problem_may_pass = not isinstance(error, ConfigurationError)
        if self._problem != str(error):
            self._problem = str(error)
            self._log.error("policy_not_changed", problem=str(error), in_force=self._policy.digest)

    async def _put_in_force(self, policy: ExecutorPolicy) -> None:
        before = self._policy.digest

        async def write(connection: AsyncConnection) -> None:
            await self._audit.append(
                connection,
                "policy.changed",
                actor="executor",
                subject=policy.digest,
                details={"before": before},
            )

        await self._database.write(write)
        self._policy = policy
        self._log.info("policy_changed", before=before, in_force=policy.digest)


def fingerprint(file: Path) -> Fingerprint | None:
    """Changes whenever the file does; None when it cannot be looked at."""
    try:
        status = file.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
