"""Every attack, in bubblewrap."""

from __future__ import annotations

import pytest

from tests.attacks.sandbox.attack import Attack, attacks_on
from tests.attacks.sandbox.campaign import Campaign
from tests.attacks.sandbox.campaigns import assert_the_host_is_as_it_was, campaign_against

pytestmark = pytest.mark.timeout(600)
BACKEND = "bubblewrap"


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest) -> Campaign:
    return campaign_against(BACKEND, request, at_a_time=4)


@pytest.mark.parametrize("attack", attacks_on(BACKEND), ids=str)
def test_the_attack_gets_nowhere(attack: Attack, campaign: Campaign) -> None:
    assert campaign.reports[str(attack)].faults == (), campaign.reports[str(attack)].outcomes


def test_the_host_is_as_it_was(campaign: Campaign) -> None:
    assert_the_host_is_as_it_was(campaign)
