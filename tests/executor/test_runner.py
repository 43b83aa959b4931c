"""From admission to the recorded end: what is recorded, and what a caller's leaving or a failure changes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from executor_mcp.errors import (
    ExecutionNotFound,
    InvalidArgument,
    OutputFileNotFound,
    ReceiptInvalid,
    Refused,
)
from executor_mcp.models import ExecutionStatus
from executor_mcp.receipts import output_digest, verify_receipt
from executor_mcp.sandbox.base import Termination
from executor_mcp.sandbox.errors import SandboxFailed
from hitl_contract.keys import PublicKeys
from server_kit.database.base import Database
from server_kit.errors import DatabaseUnavailable
from tests.executor.support import AUDIENCE, IMAGE, PROGRAM, Bench, Issuer, bench, eventually, outcome


@pytest.mark.parametrize(
    ("termination", "exit_code", "status"),
    [
        ("exited", 0, "completed"),
        ("exited", 3, "failed"),
        ("signalled", 137, "failed"),
        ("timed_out", None, "timed_out"),
        ("cancelled", None, "cancelled"),
        ("out_of_memory", None, "failed"),
        ("output_limit", None, "failed"),
        ("sandbox_failed", None, "failed"),
    ],
)
async def test_how_a_program_ended_is_what_is_recorded(
    ready: Bench, termination: Termination, exit_code: int | None, status: str
) -> None:
    ready.sandbox.outcome = outcome(termination, exit_code=exit_code)

    execution = await ready.run()

    assert (execution.status, execution.outcome and execution.outcome.ended_by) == (status, termination)
    assert execution.receipt is not None


@pytest.mark.parametrize("error", [SandboxFailed("the engine hung up"), RuntimeError("a defect")])
async def test_a_program_that_could_not_be_started_leaves_a_failed_execution_to_read(
    ready: Bench, error: Exception
) -> None:
    token = ready.issuer.token()
    ready.sandbox.fail_start = error
    execution_id = await ready.executor.service.execute(token, None)
    execution = await ready.executor.service.get(execution_id, wait_seconds=10)

    assert execution.status is ExecutionStatus.FAILED
    assert execution.outcome is not None
    assert execution.outcome.ended_by == "sandbox_failed"
    with pytest.raises(Refused) as caught:
        await ready.executor.service.execute(token, None)
    assert caught.value.execution_id == execution_id


async def test_a_receipt_binds_token_action_output_and_image_and_needs_public_keys_alone(
    ready: Bench,
) -> None:
    claims = ready.issuer.claims()
    execution_id = await ready.executor.service.execute(ready.issuer.sign(claims), None)
    execution = await ready.executor.service.get(execution_id, wait_seconds=10)
    published = PublicKeys.from_jwks(ready.executor.receipt_key.public_keys().to_jwks())

    assert execution.receipt is not None
    assert execution.outcome is not None
    receipt = verify_receipt(execution.receipt, published)
    assert (receipt.token_id, receipt.action_digest) == (claims.token_id, claims.action_digest)
    assert (receipt.execution_id, receipt.image_digest) == (execution_id, IMAGE)
    assert (receipt.executor, receipt.agent, receipt.status) == (AUDIENCE, "agent-1", "completed")
    assert receipt.output_digest == output_digest(execution.outcome)


async def test_a_receipt_that_was_changed_or_signed_by_another_is_not_one(ready: Bench) -> None:
    receipt = (await ready.run()).receipt
    assert receipt is not None
    keys = ready.executor.receipt_key.public_keys()
    header, payload, signature = receipt.split(".")

    for text, others in (
        (f"{header}.{payload[:-2]}AA.{signature}", keys),
        (f"{header}.{payload}.{signature[:-4]}AAAA", keys),
        (receipt, PublicKeys([Issuer().private.public_key()])),
        (ready.issuer.token(), keys),
        ("x" * 20_000, keys),
        ("hello", keys),
    ):
        with pytest.raises(ReceiptInvalid):
            verify_receipt(text, others)


async def test_a_caller_that_leaves_does_not_stop_the_program(ready: Bench) -> None:
    ready.sandbox.hold = True
    token = ready.issuer.token()
    caller = asyncio.create_task(ready.executor.service.execute(token, None))
    await eventually(lambda: ready.sandbox.prepared == 1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    await eventually(lambda: len(ready.sandbox.runs) == 1)
    ready.sandbox.runs[0].end(outcome())
    with pytest.raises(Refused) as caught:
        await ready.executor.service.execute(token, None)
    assert caught.value.execution_id is not None
    execution = await ready.executor.service.get(caught.value.execution_id, wait_seconds=10)
    assert execution.status is ExecutionStatus.COMPLETED


async def test_cancel_ends_the_program_and_keeps_what_it_wrote(ready: Bench) -> None:
    ready.sandbox.hold = True
    service = ready.executor.service
    execution_id = await service.execute(ready.issuer.token(), None)
    await service.cancel(execution_id)
    execution = await service.get(execution_id, wait_seconds=10)

    assert execution.status is ExecutionStatus.CANCELLED
    assert execution.outcome is not None
    assert execution.outcome.stdout == b"partial"
    await service.cancel(execution_id)
    names = [name for name, *_ in await ready.events()]
    assert names == ["execution.started", "execution.cancel_requested", "execution.finished"]


async def test_a_cancel_that_cannot_be_audited_does_not_happen(
    ready: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready.sandbox.hold = True
    execution_id = await ready.executor.service.execute(ready.issuer.token(), None)

    async def fail(operation: Any) -> Any:
        raise DatabaseUnavailable("full")

    monkeypatch.setattr(ready.database, "write", fail)
    with pytest.raises(DatabaseUnavailable):
        await ready.executor.service.cancel(execution_id)
    monkeypatch.undo()

    assert not (await ready.executor.service.get(execution_id)).cancel_requested


async def test_an_end_is_recorded_once_the_database_is_back(
    ready: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready.sandbox.hold = True
    execution_id = await ready.executor.service.execute(ready.issuer.token(), None)
    await eventually(lambda: len(ready.sandbox.runs) == 1)
    write, failures = ready.database.write, 0

    async def fail_twice(operation: Any) -> Any:
        nonlocal failures
        failures += 1
        if failures <= 2:
            raise DatabaseUnavailable("locked")
        return await write(operation)

    monkeypatch.setattr(ready.database, "write", fail_twice)
    ready.sandbox.runs[0].end(outcome())

    execution = await ready.executor.service.get(execution_id, wait_seconds=15)
    assert execution.status is ExecutionStatus.COMPLETED


async def test_output_that_cannot_be_stored_still_leaves_an_end(
    ready: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready.sandbox.hold = True
    execution_id = await ready.executor.service.execute(ready.issuer.token(), None)
    await eventually(lambda: len(ready.sandbox.runs) == 1)
    store = ready.executor.service._executions  # pyright: ignore[reportPrivateUsage]
    finish = store.finish

    async def refuse_output(connection: Any, identifier: str, found: Any, *rest: Any, **named: Any) -> bool:
        if found.stdout:
            raise ValueError("no database takes this")
        return await finish(connection, identifier, found, *rest, **named)

    monkeypatch.setattr(store, "finish", refuse_output)
    ready.sandbox.runs[0].end(outcome())

    execution = await ready.executor.service.get(execution_id, wait_seconds=15)
    assert execution.status is ExecutionStatus.COMPLETED
    assert execution.outcome is not None
    assert execution.outcome.detail == "the output could not be stored"


async def test_a_shutdown_ends_programs_as_interrupted_and_admits_none(
    store: Database, tmp_path: Path
) -> None:
    made = bench(store, tmp_path)
    made.sandbox.hold = True
    execution_id = await made.executor.service.execute(made.issuer.token(), None)
    await made.executor.service.close()

    execution = await made.executor.service.get(execution_id)
    assert execution.status is ExecutionStatus.INTERRUPTED
    assert execution.receipt is not None
    with pytest.raises(Refused, match="shutting down"):
        await made.executor.service.execute(made.issuer.token(), None)


async def test_lists_show_an_agents_own_executions_page_by_page(ready: Bench) -> None:
    mine = [(await ready.run(subject="me")).execution_id for _ in range(5)]
    await ready.run(subject="other")
    service = ready.executor.service

    first = await service.list_of_agent("me", limit=3)
    second = await service.list_of_agent("me", limit=3, cursor=first.next_cursor)

    assert [one.execution_id for one in (*first.executions, *second.executions)] == mine[::-1]
    assert second.next_cursor is None
    for arguments in ({"limit": 0}, {"limit": 1000}, {"cursor": "nonsense"}):
        with pytest.raises(InvalidArgument):
            await service.list_of_agent("me", **arguments)


async def test_files_and_streams_are_read_by_their_paths_and_nothing_else(ready: Bench) -> None:
    execution_id = (await ready.run()).execution_id
    service = ready.executor.service

    assert (await service.output_file(execution_id, "out.txt")).content == b"hello"
    assert (await service.output_file(execution_id, "/dev/stdout")).content == b"42\n"
    assert (await service.output_file(execution_id, "/dev/result")).content == b"42"
    for path in ("../out.txt", "/etc/passwd", "missing", "out.txt\x00"):
        with pytest.raises(OutputFileNotFound, match=r"out\.txt"):
            await service.output_file(execution_id, path)


@pytest.mark.parametrize("execution_id", ["", "exe_", "exe_" + "a" * 26, "x' OR '1'='1", "exe_" + "A" * 26])
async def test_an_unknown_execution_id_is_not_found(ready: Bench, execution_id: str) -> None:
    for call in (ready.executor.service.get, ready.executor.service.cancel):
        with pytest.raises(ExecutionNotFound):
            await call(execution_id)


async def test_validation_says_what_would_be_refused_and_stores_nothing(ready: Bench) -> None:
    good = await ready.executor.service.validate(PROGRAM)
    bad = await ready.executor.service.validate({**PROGRAM, "code": "print(", "packages": ["numpy"]})

    assert good.verdict.refused_because == ()
    assert [reason.split(":")[0].split(" at ")[0] for reason in bad.verdict.refused_because] == [
        "packages",
        "python.syntax_error",
    ]
    assert await ready.counts() == (0, 0)
    assert await ready.events() == []
    assert ready.sandbox.prepared == 0


async def test_an_admission_whose_commit_was_not_heard_is_interrupted_later(
    store: Database, tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(store, tmp_path, clock=clock)
    await made.executor.recovery.begin()
    write = store.write

    async def commit_and_forget(operation: Any) -> Any:
        await write(operation)
        raise DatabaseUnavailable("the connection broke after the commit")

    monkeypatch.setattr(store, "write", commit_and_forget)
    token = made.issuer.token(now=clock.now().timestamp())
    with pytest.raises(Refused):
        await made.executor.service.execute(token, None)
    monkeypatch.undo()

    assert made.sandbox.started == []
    assert await made.executor.recovery.recover() == 0
    clock.advance(61)
    assert await made.executor.recovery.recover() == 1
    with pytest.raises(Refused) as caught:
        await made.executor.service.execute(token, None)
    execution = await made.executor.service.get(str(caught.value.execution_id))
    assert execution.status is ExecutionStatus.INTERRUPTED
    await made.executor.recovery.end()
