"""Files of earlier executions are passed in by reference, and run only with the bytes that were approved."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from executor_mcp.errors import RefusalReason
from executor_mcp.interface.views import execution_answer
from executor_mcp.sandbox.base import CreatedFile, SandboxJob
from executor_mcp.storage.schema import execution_files
from server_kit.database.base import Database
from server_kit.errors import DatabaseUnavailable
from tests.executor.support import PROGRAM, Bench, TwinPrepared, TwinSandbox, bench, outcome, refused

CONTENT = b"name,total\na,\xff\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Remembering(TwinSandbox):
    """A twin that keeps the jobs it was given."""

    async def prepare(self, job: SandboxJob) -> TwinPrepared:
        self.jobs = [*getattr(self, "jobs", []), job]
        return await super().prepare(job)


def leaving(path: str, content: bytes) -> Remembering:
    file = CreatedFile(path, len(content), hashlib.sha256(content).hexdigest(), "text/csv", content)
    return Remembering(outcome=replace(outcome(), files=(file,)))


@pytest_asyncio.fixture
async def made(store: Database, tmp_path: Path) -> AsyncIterator[Bench]:
    made = bench(store, tmp_path, sandbox=leaving("out/déjà vu.csv", CONTENT))
    await made.executor.recovery.begin()
    yield made
    await made.executor.service.close()
    await made.executor.recovery.end()


def using(reference: str, sha256: str = DIGEST, **more: Any) -> dict[str, Any]:
    return {**PROGRAM, "files": [{"path": "in.csv", "reference": reference, "sha256": sha256}], **more}


async def first_reference(made: Bench) -> str:
    (file,) = execution_answer(await made.run(), None).files_created
    assert file.sha256 == DIGEST
    return file.reference


async def test_what_files_created_names_is_laid_into_a_later_program(made: Bench) -> None:
    action = using(await first_reference(made))
    validation = await made.executor.service.validate(action)
    assert validation.verdict.refused_because == ()
    execution = await made.run(action)
    assert execution.status == "completed"
    (given,) = made.sandbox.jobs[-1].files  # pyright: ignore
    assert (given.path, given.content, given.content_base64) == ("in.csv", None, "bmFtZSx0b3RhbAph" + "LP8K")


async def test_no_other_bytes_run_than_those_that_were_approved_and_the_token_stays_unspent(
    made: Bench,
) -> None:
    reference = await first_reference(made)
    action = using(reference, "0" * 64)
    token = made.issuer.token(action)
    refusal = await refused(made, token)
    assert refusal.reason is RefusalReason.FILE_MISMATCH
    assert DIGEST in refusal.detail

    async def tamper(connection: AsyncConnection) -> None:
        # The recorded digest is left as it was: it is not what is believed.
        await connection.execute(update(execution_files).values(content=b"other"))

    token = made.issuer.token(using(reference))
    await made.database.write(tamper)
    assert (await refused(made, token)).reason is RefusalReason.FILE_MISMATCH


@pytest.mark.parametrize(
    "reference",
    [
        "execution://exe_abcdefghijklmnopqrstuvwxyz/files/out.csv",
        "{}x",
        "{}\u202e",
        "execution://exe_abcdefghijklmnopqrstuvwxyz/files/dev/stdout",
    ],
)
async def test_a_file_that_is_not_there_is_refused_before_the_token_is_spent(
    made: Bench, reference: str
) -> None:
    action = using(reference.format(await first_reference(made)))
    refusal = await refused(made, made.issuer.token(action))
    assert (refusal.reason, refusal.step) == (RefusalReason.FILE_UNAVAILABLE, 6)
    assert (await made.executor.service.validate(action)).verdict.refused_because == (refusal.detail,)


async def test_files_that_would_not_fit_beside_the_program_are_refused(
    store: Database, tmp_path: Path
) -> None:
    content = bytes(3 * 2**20)
    made = bench(store, tmp_path, sandbox=leaving("big", content))
    (file,) = execution_answer(await made.run(), None).files_created
    fits = using(file.reference, file.sha256, limits={"memory_mb": 20})
    refusal = await refused(
        made, made.issuer.token(using(file.reference, file.sha256, limits={"memory_mb": 16}))
    )
    assert (refusal.reason, "a sixth" in refusal.detail) == (RefusalReason.NOT_ALLOWED_HERE, True)
    assert (await made.run(fits)).status == "completed"
    six = [{"path": f"{n}", "reference": file.reference, "sha256": file.sha256} for n in range(6)]
    refusal = await refused(made, made.issuer.token({**PROGRAM, "files": six, "limits": {"memory_mb": 1000}}))
    assert "at most 16 MiB" in refusal.detail


async def test_what_comes_by_reference_is_analysed_like_what_is_sent(store: Database, tmp_path: Path) -> None:
    content = b"# coding: utf-7\n# +AAo-print('hidden')\n"
    made = bench(store, tmp_path, sandbox=leaving("helper.py", content))
    (file,) = execution_answer(await made.run(), None).files_created
    helper = {"path": "helper.py", "reference": file.reference, "sha256": file.sha256}
    refusal = await refused(made, made.issuer.token({**PROGRAM, "files": [helper]}))
    assert refusal.reason is RefusalReason.UNSAFE_CODE


async def test_a_store_that_cannot_be_read_is_no_answer_about_the_file(made: Bench) -> None:
    action = using(await first_reference(made))

    async def away(execution_id: str, path: str) -> None:
        raise DatabaseUnavailable("away")

    made.executor.service._executions.file = away  # pyright: ignore
    refusal = await refused(made, made.issuer.token(action))
    assert (refusal.reason, refusal.retryable) == (RefusalReason.STORAGE_UNAVAILABLE, True)
