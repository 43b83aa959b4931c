"""A drill and grants: none covers one, and who would make one of it has missed it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hitl_mcp.approvals import events
from hitl_mcp.approvals.canaries import CanaryDesk
from hitl_mcp.approvals.models import Assurance, RequestKind, RequestStatus
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.attention.canary_store import SqlCanaries
from hitl_mcp.attention.drills import EXERCISES
from hitl_mcp.grants.directory import GrantDirectory
from hitl_mcp.grants.errors import GrantRefused
from hitl_mcp.grants.forms import Confirmation, GrantForm
from server_kit.database.base import Database
from tests.approvals.world import create_schema
from tests.attention.drilling import AtOnce, filed
from tests.conftest import ManualClock
from tests.grants.scene import Scene, payment


@pytest.fixture
async def scene(database: Database, clock: ManualClock, tmp_path: Path) -> Scene:
    await create_schema(database)
    scene = Scene(database, clock, tmp_path)
    await scene.people.add("ada", None)
    await scene.agents.add("payer")
    scene.ports = replace(scene.ports, canaries=SqlCanaries(database))
    scene.service = ApprovalService(scene.ports)
    scene.grants = GrantDirectory(
        scene.register,
        people=scene.people,
        sealer=scene.world.sealer,
        find=scene.service.get,
        decide=scene.service.decide,
    )
    return scene


async def test_no_grant_covers_a_drill(scene: Scene) -> None:
    grant = await scene.grant()
    drafted = await scene.service.draft_canary("payer", payment(10))
    assert drafted is not None
    desk: CanaryDesk = AtOnce(SqlCanaries(scene.database), EXERCISES[0].drill)
    assert await scene.service.file_canary(drafted, desk)
    drill = await scene.service.get(drafted.request_id)
    assert (drill.request.status, drill.request.kind) == (RequestStatus.PENDING, RequestKind.CANARY)
    (live,) = await scene.grants.list(agent="payer")
    assert (live.grant_id, live.used) == (grant.grant_id, 0)


async def test_who_would_allow_a_drill_for_the_future_has_missed_it(scene: Scene) -> None:
    drill = await filed(scene.service, scene.database)
    request = drill.request
    form = GrantForm(
        request.request_id,
        "ada",
        request.action_digest,
        uses=3,
        expires_at=scene.clock.now() + timedelta(days=1),
    )
    # The words are shown as those of any other request are.
    words = await scene.grants.preview(form)
    assert "drill" not in words.wording.lower()
    with pytest.raises(GrantRefused, match="This was a drill, and it was let through"):
        await scene.grants.make(form, Confirmation(words.wording_digest, "web", Assurance.SESSION))
    assert await scene.grants.list(over=True) == []
    assert (await scene.service.get(request.request_id)).request.status is RequestStatus.CANCELLED
    assert (await scene.world.events_about(request.request_id))[-1] == events.CANARY_MISSED
