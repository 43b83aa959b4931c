"""An approval that is taken back before its token was used: nothing runs, anywhere."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.end_to_end.house import PROGRAM, ToolRefused, open_house

pytestmark = pytest.mark.timeout(180)


async def test_a_revoked_token_is_refused_by_the_executor_and_nothing_runs(tmp_path: Path) -> None:
    async with (
        open_house(tmp_path) as house,
        house.agent() as asking,
        house.agent("executor") as running,
    ):
        asked = await asking.ask()
        await house.decide(asked)
        answered = await asking.call("check_status", request_id=asked["request_id"], wait_seconds=20)
        token = answered["capability_token"]
        async with house.person() as http:
            revoked = await http.post(
                f"/api/v1/approvals/{asked['request_id']}/revoke", json={"reason": "a mistake"}
            )
            assert revoked.status_code == 200, revoked.text
        with pytest.raises(ToolRefused, match="revoked"):
            await running.call("execute", capability_token=token, action=PROGRAM, wait_seconds=30)
        report = await house.command("hitl-executor", "audit", "verify", "--json")
        assert report["intact"] is True
        with sqlite3.connect(tmp_path / "executor" / "executor.db") as records:
            found = records.execute("SELECT event, details FROM audit_entries").fetchall()
    assert "execution.started" not in {event for event, _ in found}
    assert any('"reason":"revoked"' in details for _, details in found)
