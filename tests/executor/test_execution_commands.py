"""`hitl-executor executions`: an operator sees what runs in another process, and stops it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from executor_mcp.storage.schema import MIGRATIONS
from server_kit.database.migrations import migrate
from server_kit.database.opening import open_database
from tests.executor.support import bench
from tests.executor.test_audit_commands import run
from tests.executor.test_execution_feed import begin


async def command(home: Path, *arguments: str, url: str) -> tuple[int, Any, str]:
    """Exit code, JSON answer and all output of the command, on an event loop of its own."""
    result = await asyncio.to_thread(run, home, *arguments, "--json", EXECUTOR_DATABASE_URL=url)
    document = json.loads(result.stdout) if result.exit_code == 0 else None
    return result.exit_code, document, result.output


async def test_an_operator_lists_shows_and_cancels_executions(sqlite_url: str, tmp_path: Path) -> None:
    await migrate(sqlite_url, MIGRATIONS)
    database = await open_database(sqlite_url)
    made = bench(database, tmp_path / "a")
    await made.executor.recovery.begin()
    ended = (await made.run()).execution_id
    running = await begin(made)

    async def listed(*options: str) -> list[str]:
        code, found, _ = await command(tmp_path, "executions", "list", *options, url=sqlite_url)
        assert code == 0
        return [one["execution_id"] for one in found]

    assert await listed() == [running, ended]
    assert await listed("--active", "--agent", "agent-1") == [running]
    assert await listed("--agent", "nobody") == []
    code, shown, _ = await command(tmp_path, "executions", "show", ended, url=sqlite_url)
    assert (code, shown["stdout"], shown["result"]) == (0, "42\n", 42)
    code, cancelled, _ = await command(tmp_path, "executions", "cancel", running, url=sqlite_url)
    assert (code, cancelled["status"], cancelled["stdout"]) == (0, "cancelled", "partial")
    assert await listed("--active") == []
    code, _, output = await command(tmp_path, "executions", "cancel", "exe_unknown", url=sqlite_url)
    assert (code, "there is no execution 'exe_unknown'" in output) == (1, True)
    assert ("execution.cancel_requested", running, "") in await made.events()
    await made.executor.service.close()
    await made.executor.recovery.end()
    await database.close()
