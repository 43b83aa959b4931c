"""From how a sandbox ended to what is recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from executor_mcp.models import ExecutionStatus, Outcome, StoredFile
from executor_mcp.sandbox.base import CreatedFile, ResourceUsage, SandboxOutcome, Termination
from executor_mcp.sandbox.results import checked_result
from executor_mcp.storage.running_state import Remains

CHECKPOINT_FILE: Final = "checkpoint.json"
MAX_CHECKPOINT_BYTES: Final = 256 * 1024

_STATUS: Final[dict[Termination, ExecutionStatus]] = {
    "signalled": ExecutionStatus.FAILED,
    "timed_out": ExecutionStatus.TIMED_OUT,
    "cancelled": ExecutionStatus.CANCELLED,
    "out_of_memory": ExecutionStatus.FAILED,
    "output_limit": ExecutionStatus.FAILED,
    "sandbox_failed": ExecutionStatus.FAILED,
}


def outcome_of(ended: SandboxOutcome, *, shutting_down: bool) -> Outcome:
    """`completed` is an exit with status 0 and nothing else; a stop by our own shutdown is `interrupted`."""
    status = _STATUS.get(ended.termination)
    if status is None:
        status = ExecutionStatus.COMPLETED if ended.exit_code == 0 else ExecutionStatus.FAILED
    if shutting_down and ended.termination == "cancelled":
        status = ExecutionStatus.INTERRUPTED
    return Outcome(
        status=status,
        ended_by="shutdown" if status is ExecutionStatus.INTERRUPTED else ended.termination,
        detail=ended.detail,
        exit_code=ended.exit_code,
        stdout=ended.stdout,
        stderr=ended.stderr,
        result_json=ended.result_json,
        truncated=ended.truncated,
        files=tuple(StoredFile(file.path, file.size, file.sha256, file.media_type) for file in ended.files),
        files_truncated=ended.files_truncated,
        checkpoint_json=_checkpoint(ended.files),
        usage=ended.usage,
        connections=ended.connections,
    )


def _checkpoint(files: tuple[CreatedFile, ...]) -> bytes | None:
    """What a program left in `checkpoint.json` at the top of its work directory, where that is strict JSON of
    at most 256 KiB. Anything else is a file like any other.
    """
    content = next((file.content for file in files if file.path == CHECKPOINT_FILE), b"")
    return checked_result(content) if 0 < len(content) <= MAX_CHECKPOINT_BYTES else None


def never_begun(status: ExecutionStatus, why: str) -> Outcome:
    """The end of something that waited. It is known to have cost nothing."""
    ended = empty_outcome(status, ended_by="never_begun", detail=f"nothing was run: {why}")
    return replace(ended, usage=ResourceUsage(0.0, 0.0, 0, 0))


def empty_outcome(
    status: ExecutionStatus, *, ended_by: str, detail: str, remains: Remains | None = None
) -> Outcome:
    """An end of which no more is known than what was put down while the program ran."""
    found = remains or Remains()
    return Outcome(
        status=status,
        ended_by=ended_by,
        detail=detail,
        exit_code=None,
        stdout=found.stdout,
        stderr=found.stderr,
        result_json=None,
        truncated=False,
        files=(),
        files_truncated=False,
        usage=found.usage,
    )
