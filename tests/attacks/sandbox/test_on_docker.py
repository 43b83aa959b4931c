"""Every attack, in containers of a Docker engine: in warm ones with the usual limits, in cold ones where an
attack has limits that nobody had asked for.

The hardening is the same object for both; the supervisor of cold ones is attacked in bubblewrap and gVisor.
"""

from __future__ import annotations

import asyncio

import pytest

from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import INSTANCE_LABEL, OWNER_LABEL, DockerSandbox
from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox
from executor_mcp.sandbox.settings import PoolSettings
from tests.attacks.sandbox.attack import Attack, attacks_on
from tests.attacks.sandbox.campaign import Campaign
from tests.attacks.sandbox.campaigns import assert_the_host_is_as_it_was, campaign_against

pytestmark = pytest.mark.timeout(600)
BACKEND = "docker"


MADE: list[PooledDockerSandbox] = []


def make_pool() -> PooledDockerSandbox:
    engine = DockerEngine()
    settings = PoolSettings(minimum=3, maximum=6, launches_at_a_time=3, patience_seconds=240)
    MADE.append(PooledDockerSandbox(engine, DockerSandbox(engine, instance=f"attacks-{BACKEND}"), settings))
    return MADE[-1]


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest, docker_image: str) -> Campaign:
    return campaign_against(BACKEND, request, at_a_time=6, make=make_pool)


@pytest.mark.parametrize("attack", attacks_on(BACKEND), ids=str)
def test_the_attack_gets_nowhere(attack: Attack, campaign: Campaign) -> None:
    assert campaign.reports[str(attack)].faults == (), campaign.reports[str(attack)].outcomes


def test_the_host_is_as_it_was(campaign: Campaign) -> None:
    assert_the_host_is_as_it_was(campaign)


def test_most_were_made_in_warm_containers_and_some_in_cold_ones(campaign: Campaign) -> None:
    report = MADE[-1].report()
    chosen_all = len(campaign.reports) == len(attacks_on(BACKEND))
    assert not chosen_all or (report.served_warm >= 140 and report.served_cold >= 5), report


def test_no_container_is_left(campaign: Campaign) -> None:
    async def left() -> int:
        engine = DockerEngine()
        try:
            return len(await engine.labelled(INSTANCE_LABEL, f"attacks-{BACKEND}", OWNER_LABEL))
        finally:
            await engine.close()

    assert asyncio.run(left()) == 0
