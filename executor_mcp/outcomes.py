"""From how a sandbox ended to what is recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from executor_mcp.models import ExecutionStatus, Outcome, StoredFile
from executor_mcp.sandbox.base import CreatedFile, ResourceUsage, SandboxOutcome, Termination
from executor_mcp.sandbox.checkpoints import CHECKPOINT_FILE, MAX_CHECKPOINT_BYTES
from executor_mcp.sandbox.results import checked_result, created_file
from executor_mcp.storage.running_state import Remains

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
        files=stored(ended.files),
        files_truncated=ended.files_truncated,
        checkpoint_json=_checkpoint(ended.files),
        usage=ended.usage,
        connections=ended.connections,
    )


def stored(files: tuple[CreatedFile, ...]) -> tuple[StoredFile, ...]:
    """What is known of files beside their content."""
    return tuple(StoredFile(file.path, file.size, file.sha256, file.media_type) for file in files)


def _checkpoint(files: tuple[CreatedFile, ...]) -> bytes | None:
    """What a program left in `checkpoint.json` at the top of its work directory, where that is strict JSON of
    at most 256 KiB. Anything else is a file like any other.
    """
    content = next((file.content for file in files if file.path == CHECKPOINT_FILE), b"")
    return checked_result(content) if 0 < len(content) <= MAX_CHECKPOINT_BYTES else None


def with_last_checkpoint(ended: SandboxOutcome, last: bytes | None) -> SandboxOutcome:
    """The outcome with the `last` checkpoint that was seen while the program ran, where its end left none:
    it could not be handed back any more, or the program was ended while it wrote the next.

    What a program that ended by itself has left or taken away stays as it is.
    """
    left = [file for file in ended.files if file.path == CHECKPOINT_FILE]
    if last is None or (not left and not ended.files_truncated):
        return ended
    if left and (ended.termination == "exited" or _checkpoint(ended.files) is not None):
        return ended
    others = (file for file in ended.files if file.path != CHECKPOINT_FILE)
    return replace(ended, files=(created_file(CHECKPOINT_FILE, last), *others))


def never_begun(status: ExecutionStatus, why: str) -> Outcome:
    """The end of something that waited. It is known to have cost nothing."""
    ended = empty_outcome(status, ended_by="never_begun", detail=f"nothing was run: {why}")
    return replace(ended, usage=ResourceUsage(0.0, 0.0, 0, 0))


def empty_outcome(
    status: ExecutionStatus, *, ended_by: str, detail: str, remains: Remains | None = None
) -> Outcome:
    """An end of which no more is known than what was put down while the program ran.

    Its file, if there is one, is the checkpoint of `remains`.
    """
    found = remains or Remains()
    files = () if found.checkpoint is None else (created_file(CHECKPOINT_FILE, found.checkpoint),)
    return Outcome(
        status=status,
        ended_by=ended_by,
        detail=detail,
        exit_code=None,
        stdout=found.stdout,
        stderr=found.stderr,
        result_json=None,
        truncated=False,
        files=stored(files),
        files_truncated=False,
        checkpoint_json=_checkpoint(files),
        usage=found.usage,
    )
