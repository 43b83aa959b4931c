"""In the burst tier, all in one outer container."""

from __future__ import annotations

import asyncio
import os

import pytest

from executor_mcp.sandbox.burst.tier import BurstReport
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import INSTANCE_LABEL, OWNER_LABEL
from tests.attacks.sandbox.attack import Attack, attacks_on
from tests.attacks.sandbox.campaign import Campaign
from tests.attacks.sandbox.campaigns import assert_the_host_is_as_it_was, campaign_against
from tests.sandbox.burst_support import OfOneAgent, make_burst

pytestmark = pytest.mark.timeout(600)
BACKEND = "burst"
INSTANCE = f"attacks-burst-{os.getpid()}"
ATTACKS = attacks_on(BACKEND)
REPORTS: list[BurstReport] = []


class Watched(OfOneAgent):
    async def close(self) -> None:
        report = self.sandbox.report()
        assert report is not None
        REPORTS.append(report)
        await super().close()


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest, docker_image: str) -> Campaign:
    del docker_image
    return campaign_against(BACKEND, request, at_a_time=6, make=lambda: Watched(make_burst(INSTANCE)))


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_the_attack_gets_nowhere(attack: Attack, campaign: Campaign) -> None:
    assert campaign.reports[str(attack)].faults == (), campaign.reports[str(attack)].outcomes


def test_the_host_is_as_it_was(campaign: Campaign) -> None:
    assert_the_host_is_as_it_was(campaign)


def test_one_outer_container_withstood_all_of_them_and_is_gone(campaign: Campaign) -> None:
    async def left() -> int:
        engine = DockerEngine()
        try:
            return len(await engine.labelled(INSTANCE_LABEL, INSTANCE, OWNER_LABEL))
        finally:
            await engine.close()

    assert campaign.reports
    assert [(report.launched, report.condemned) for report in REPORTS] == [(1, 0)]
    assert asyncio.run(left()) == 0
