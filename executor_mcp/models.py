"""An execution as it is stored and reported: values only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum

from executor_mcp.quotas import NO_DEMAND, Demand
from executor_mcp.sandbox.base import Connection, ResourceUsage


class ExecutionStatus(StrEnum):
    """Where an execution stands. All but `pending` and `running` are final.

    `failed`: the sandbox broke, or the program ended itself with another exit code than 0 or by a signal.
    `interrupted`: the executor died after the token was spent; whether the program ran to its end is not
    known.
    """

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        return self not in UNFINISHED


UNFINISHED = frozenset({ExecutionStatus.PENDING, ExecutionStatus.RUNNING})


@dataclass(frozen=True)
class SandboxIdentity:
    """Where the program ran; `image_digest` is None for a sandbox without images."""

    backend: str
    runtime: str
    image_digest: str | None


@dataclass(frozen=True)
class UsedPackage:
    """A package that the program was given; `layer` is the digest of the files it lies in."""

    package: str
    layer: str


@dataclass(frozen=True)
class StoredFile:
    """A file that the program left, without its content. `sha256` is hexadecimal."""

    path: str
    size: int
    sha256: str
    media_type: str


@dataclass(frozen=True)
class Outcome:
    """Everything that is known once an execution has ended."""

    status: ExecutionStatus
    ended_by: str
    detail: str | None
    exit_code: int | None
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    result_json: bytes | None = field(repr=False)
    truncated: bool
    files: tuple[StoredFile, ...]
    files_truncated: bool
    usage: ResourceUsage | None
    checkpoint_json: bytes | None = field(default=None, repr=False)
    connections: tuple[Connection, ...] = ()

    @property
    def stored_bytes(self) -> int:
        """What it takes to keep it."""
        texts = (self.stdout, self.stderr, self.result_json or b"", self.checkpoint_json or b"")
        return sum(map(len, texts)) + sum(file.size for file in self.files)

    @property
    def connections_json(self) -> bytes:
        """Every connection, for who reads them as a file."""
        return json.dumps([asdict(one) for one in self.connections]).encode()


@dataclass(frozen=True)
class Execution:
    """One spent token and what came of it."""

    execution_id: str
    token_id: str
    request_id: str
    agent: str
    action_digest: str
    language: str
    owner: str
    sandbox: SandboxIdentity
    status: ExecutionStatus
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    outcome: Outcome | None
    receipt: str | None
    cancel_requested: bool
    warnings: tuple[str, ...] = ()
    """What the executor's policy minded and let pass."""
    packages: tuple[UsedPackage, ...] = ()
    output_removed: bool = False
    demand: Demand = NO_DEMAND
    ahead: int | None = None
    """How many came before it while it waits for a place; None when it does not wait."""

    @property
    def duration_seconds(self) -> float | None:
        """Seconds from the start of the program to its end; None before either."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, (self.finished_at - self.started_at).total_seconds())
