"""What the executor's tests share: an issuer that signs tokens, a sandbox twin that counts, an assembled
executor.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.assembly import Executor, Parts, assemble
from executor_mcp.errors import ActionSourceUnavailable, KeySourceUnavailable, Refused
from executor_mcp.models import Execution
from executor_mcp.receipt_key import load_or_create_receipt_key
from executor_mcp.sandbox.base import (
    CreatedFile,
    LanguageDescription,
    OutputSink,
    ResourceUsage,
    SandboxDescription,
    SandboxHealth,
    SandboxJob,
    SandboxName,
    SandboxOutcome,
    Termination,
)
from executor_mcp.sandbox.errors import SandboxError
from executor_mcp.storage.schema import executions, metadata, spent_tokens
from hitl_contract.action import Action, action_digest, parse_action
from hitl_contract.action_code import Language
from hitl_contract.capability import Approver, CapabilityClaims, encode_capability
from hitl_contract.keys import PublicKeys, key_id
from hitl_contract.verify import VerificationPolicy
from server_kit.database.base import Database
from tests import tables

ISSUER = "https://approvals.example.test"
AUDIENCE = "executor.example.test"
IMAGE = "sha256:" + "a" * 64
PROGRAM: dict[str, Any] = {"type": "code_execution", "language": "python", "code": "print(6 * 7)"}


class Issuer:
    """Signs tokens as the approval server would."""

    def __init__(self, private: Ed25519PrivateKey | None = None) -> None:
        self.private = private or Ed25519PrivateKey.generate()
        self.key_id = key_id(self.private.public_key())
        self.actions: dict[str, Action] = {}

    def jwks(self) -> dict[str, Any]:
        return PublicKeys([self.private.public_key()]).to_jwks()

    def claims(self, action: object = PROGRAM, **changes: Any) -> CapabilityClaims:
        parsed = parse_action(action)
        self.actions[action_digest(parsed)] = parsed
        now = int(changes.pop("now", time.time()))
        return replace(
            CapabilityClaims(
                issuer=ISSUER,
                audience=AUDIENCE,
                subject="agent-1",
                token_id=f"tok_{secrets.token_hex(8)}",
                issued_at=now,
                not_before=now,
                expires_at=now + 300,
                request_id="req_1",
                action_type=parsed.type,
                action_digest=action_digest(parsed),
                approved_by=(Approver("alice", "web", "session"),),
            ),
            **changes,
        )

    def token(self, action: object = PROGRAM, **changes: Any) -> str:
        return self.sign(self.claims(action, **changes))

    def sign(self, claims: CapabilityClaims) -> str:
        return encode_capability(claims, private_key=self.private, key_id=self.key_id)


class IssuerTwin:
    """`IssuerKeys` and `ActionSource` in memory."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self.away = False

    async def keys(self, key_id: str | None) -> PublicKeys:
        if self.away:
            raise KeySourceUnavailable("the issuer's keys cannot be read")
        return PublicKeys([self._issuer.private.public_key()])

    async def action(self, digest: str, *, token: str) -> Action:
        if self.away or digest not in self._issuer.actions:
            raise ActionSourceUnavailable("the approved action could not be read")
        return self._issuer.actions[digest]


def outcome(
    termination: Termination = "exited", *, exit_code: int | None = 0, stdout: bytes = b"42\n"
) -> SandboxOutcome:
    return SandboxOutcome(
        termination=termination,
        exit_code=exit_code,
        stdout=stdout,
        stderr=b"",
        truncated=False,
        result_json=b"42",
        files=(CreatedFile("out.txt", 5, "0" * 64, "text/plain", b"hello"),),
        files_truncated=False,
        usage=ResourceUsage(0.01, 0.01, 1_000_000, 3),
    )


@dataclass(frozen=True)
class TwinPrepared:
    execution_id: str
    job: SandboxJob
    image_digest: str
    backend: SandboxName | None = None


class TwinRun:
    def __init__(self, sandbox: TwinSandbox, prepared: TwinPrepared, sink: OutputSink) -> None:
        self._sandbox = sandbox
        self._done: asyncio.Future[SandboxOutcome] = asyncio.get_running_loop().create_future()
        if not sandbox.hold:
            for chunk in sandbox.chunks:
                sink.stdout(chunk)
            self._done.set_result(sandbox.outcome)
        self.sink = sink

    async def wait(self) -> SandboxOutcome:
        return await asyncio.shield(self._done)

    async def cancel(self) -> None:
        self.end(outcome("cancelled", exit_code=None, stdout=b"partial"))

    def end(self, result: SandboxOutcome) -> None:
        if not self._done.done():
            self._done.set_result(result)


@dataclass
class TwinSandbox:
    """A sandbox in memory: counts, ends at once or when told, fails where told."""

    hold: bool = False
    image: str = IMAGE
    backend: SandboxName | None = None
    outcome: SandboxOutcome = field(default_factory=outcome)
    chunks: tuple[bytes, ...] = (b"42\n",)
    fail_describe: SandboxError | None = None
    fail_prepare: SandboxError | None = None
    fail_start: Exception | None = None
    start_gate: asyncio.Event | None = None
    log: Path | None = None
    described: int = 0
    prepared: int = 0
    principals: list[str | None] = field(default_factory=list[str | None])
    started: list[str] = field(default_factory=list[str])
    discarded: int = 0
    runs: list[TwinRun] = field(default_factory=list[TwinRun])
    closed: bool = False

    @property
    def name(self) -> str:
        return "docker"

    async def check(self) -> SandboxHealth:
        return SandboxHealth(ready=True)

    async def describe(self) -> SandboxDescription:
        self.described += 1
        if self.fail_describe is not None:
            raise self.fail_describe
        return SandboxDescription(
            backend="docker",
            runtime="runc",
            image_digest=self.image,
            languages=tuple(LanguageDescription(language, "1.0") for language in Language),
        )

    async def prepare(self, job: SandboxJob) -> TwinPrepared:
        self.prepared += 1
        self.principals.append(job.principal)
        if self.fail_prepare is not None:
            raise self.fail_prepare
        return TwinPrepared(job.execution_id, job, self.image, self.backend)

    async def start(self, prepared: TwinPrepared, sink: OutputSink) -> TwinRun:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{prepared.execution_id}\n")
                file.flush()
        self.started.append(prepared.execution_id)
        if self.start_gate is not None:
            await self.start_gate.wait()
        if self.fail_start is not None:
            raise self.fail_start
        run = TwinRun(self, prepared, sink)
        self.runs.append(run)
        return run

    async def discard(self, prepared: TwinPrepared) -> None:
        self.discarded += 1

    async def remove_leftovers(self) -> int:
        return 0

    async def close(self) -> None:
        self.closed = True
        for run in self.runs:
            await run.cancel()

    @property
    def touched(self) -> bool:
        return bool(self.described or self.prepared or self.started)


async def create_tables(database: Database) -> None:
    await tables.create_tables(database, metadata)


@dataclass
class Bench:
    """An assembled executor with its surroundings in memory and its records in a real database."""

    executor: Executor
    issuer: Issuer
    source: IssuerTwin
    sandbox: TwinSandbox
    database: Database

    async def run(self, action: object = PROGRAM, **changes: Any) -> Execution:
        execution_id = await self.executor.service.execute(self.issuer.token(action, **changes), None)
        return await self.executor.service.get(execution_id, wait_seconds=20)

    async def events(self) -> list[tuple[str, str, str]]:
        """(event, subject, reason or status) of the audit log, in order."""
        entries = await self.executor.ledger.audit.tail(1000)
        return [
            (
                entry.event,
                entry.subject,
                str(entry.details.get("reason") or entry.details.get("status") or ""),
            )
            for entry in entries
        ]

    async def counts(self) -> tuple[int, int]:
        """Spent tokens and executions."""
        return await counts(self.database)


async def counts(database: Database) -> tuple[int, int]:
    async def read(connection: AsyncConnection) -> tuple[int, int]:
        spent = await connection.scalar(select(func.count()).select_from(spent_tokens))
        runs = await connection.scalar(select(func.count()).select_from(executions))
        return int(spent or 0), int(runs or 0)

    return await database.read(read)


def bench(
    database: Database,
    home: Path,
    *,
    issuer: Issuer | None = None,
    sandbox: TwinSandbox | None = None,
    **parts: Any,
) -> Bench:
    issuer = issuer or Issuer()
    source = IssuerTwin(issuer)
    sandbox = sandbox or TwinSandbox()
    executor = assemble(
        Parts(
            database=database,
            sandbox=sandbox,  # pyright: ignore[reportArgumentType]
            verification=VerificationPolicy(issuer=ISSUER, audience=AUDIENCE),
            keys=source,
            actions=source,
            receipt_key=load_or_create_receipt_key(home / "keys"),
            state=home / "state",
            **parts,
        )
    )
    return Bench(executor, issuer, source, sandbox, database)


async def eventually(condition: Callable[[], bool], *, timeout_seconds: float = 10.0) -> None:
    """Give the loop turns until the condition holds; fails after the timeout."""
    async with asyncio.timeout(timeout_seconds):
        while not condition():  # noqa: ASYNC110 - any condition, of any part
            await asyncio.sleep(0)


async def refused(made: Bench, token: str, action: object | None = None) -> Refused:
    """The refusal of this call, once it is shown that nothing happened but one audit entry."""
    before = await made.counts(), list(made.sandbox.started)
    with pytest.raises(Refused) as caught:
        await made.executor.service.execute(token, action)
    assert (await made.counts(), made.sandbox.started) == before
    last_event, _, reason = (await made.events())[-1]
    assert (last_event, reason) == ("execution.refused", caught.value.reason)
    return caught.value
