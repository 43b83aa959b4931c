"""In gVisor, the attacks on what other backends cannot give, and those that end otherwise there.

It starts slowly, so the rest is run with `HITL_EVERY_ATTACK=1` alone.
"""

from __future__ import annotations

import os

import pytest

from tests.attacks.sandbox.attack import Attack, attacks_on
from tests.attacks.sandbox.campaign import Campaign
from tests.attacks.sandbox.campaigns import assert_the_host_is_as_it_was, campaign_against

pytestmark = pytest.mark.timeout(600)
BACKEND = "gvisor"
GROUPS = {"escapes", "cross_execution"}
ATTACKS = [
    attack
    for attack in attacks_on(BACKEND)
    if attack.group in GROUPS or BACKEND in attack.special or os.environ.get("HITL_EVERY_ATTACK")
]


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest, docker_image: str) -> Campaign:
    return campaign_against(BACKEND, request, at_a_time=4)


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_the_attack_gets_nowhere(attack: Attack, campaign: Campaign) -> None:
    assert campaign.reports[str(attack)].faults == (), campaign.reports[str(attack)].outcomes


def test_the_host_is_as_it_was(campaign: Campaign) -> None:
    assert_the_host_is_as_it_was(campaign)
