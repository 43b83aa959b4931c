"""Every attack, in containers of a Docker engine."""

from __future__ import annotations

import asyncio

import pytest

from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import INSTANCE_LABEL, OWNER_LABEL
from tests.attacks.sandbox.attack import Attack, attacks_on
from tests.attacks.sandbox.campaign import Campaign
from tests.attacks.sandbox.campaigns import assert_the_host_is_as_it_was, campaign_against

pytestmark = pytest.mark.timeout(600)
BACKEND = "docker"


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest, docker_image: str) -> Campaign:
    return campaign_against(BACKEND, request, at_a_time=6)


@pytest.mark.parametrize("attack", attacks_on(BACKEND), ids=str)
def test_the_attack_gets_nowhere(attack: Attack, campaign: Campaign) -> None:
    assert campaign.reports[str(attack)].faults == (), campaign.reports[str(attack)].outcomes


def test_the_host_is_as_it_was(campaign: Campaign) -> None:
    assert_the_host_is_as_it_was(campaign)


def test_no_container_is_left(campaign: Campaign) -> None:
    async def left() -> int:
        engine = DockerEngine()
        try:
            return len(await engine.labelled(INSTANCE_LABEL, f"attacks-{BACKEND}", OWNER_LABEL))
        finally:
            await engine.close()

    assert asyncio.run(left()) == 0
