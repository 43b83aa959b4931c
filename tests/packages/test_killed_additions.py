"""An executor that is killed while it adds packages: never twice, never in silence, nothing half done."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from executor_mcp.errors import RefusalReason
from executor_mcp.models import ExecutionStatus
from executor_mcp.steps import Step
from executor_mcp.storage.schema import MIGRATIONS
from server_kit.database.migrations import migrate
from server_kit.database.opening import open_database
from tests.executor.support import Issuer, refused
from tests.packages.adding import adding, begun, make_index
from tests.packages.adding_child import ALPHA, UNPACKING

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("step", "kept"), [(UNPACKING, []), (Step.OUTCOME_NOT_COMMITTED.value, ["alpha==1.0"])]
)
async def test_an_addition_that_was_cut_off_is_interrupted_and_not_made_again(
    sqlite_url: str, tmp_path: Path, step: str, kept: list[str]
) -> None:
    await migrate(sqlite_url, MIGRATIONS)
    issuer, index = Issuer(), make_index(tmp_path / "index", tmp_path / "ran")
    token = issuer.token(ALPHA)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.packages.adding_child", sqlite_url, str(tmp_path), str(index)),
        *(issuer.private.private_bytes_raw().hex(), step, token),
    )
    assert await process.wait() == -signal.SIGKILL

    database = await open_database(sqlite_url)
    one = adding(database, tmp_path, index, issuer=issuer)
    service = one.made.executor.service
    try:
        async with begun(one):
            assert one.kept() == kept
            refusal = await refused(one.made, token)
            assert (refusal.reason, refusal.execution_id is None) == (RefusalReason.ALREADY_USED, False)
            ended = await service.get(refusal.execution_id or "")
            assert ended.status is ExecutionStatus.INTERRUPTED
            assert ended.outcome is not None
            assert "the packages may be there or not" in str(ended.outcome.detail)
            report = await one.made.executor.ledger.audit.verify(one.made.executor.receipt_key.public_keys())
            assert report.intact
    finally:
        await database.close()
