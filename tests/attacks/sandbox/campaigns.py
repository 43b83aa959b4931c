"""One campaign for each backend: its attacks run side by side, and each has a test of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from executor_mcp.sandbox.base import Sandbox
from executor_mcp.sandbox.owner import Owner
from tests.attacks.sandbox import host
from tests.attacks.sandbox.attack import Attack
from tests.attacks.sandbox.campaign import Campaign, run_campaign
from tests.sandbox.conftest import make_sandbox

MOST_MEMORY_KEPT = 200 * 2**20
MOST_DESCRIPTORS_KEPT = 64
"""Connections to the engine that are kept for the next call."""


def campaign_against(
    backend: str,
    request: pytest.FixtureRequest,
    *,
    at_a_time: int,
    make: Callable[[], Sandbox] | None = None,
) -> Campaign:
    """Runs those of the module's attacks that are asked for, whichever test comes first; in `make`'s sandbox,
    else in the backend's usual one.
    """
    chosen: dict[str, Attack] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec"):
            attack = item.callspec.params.get("attack")
            if isinstance(attack, Attack):
                chosen[str(attack)] = attack
    return asyncio.run(
        run_campaign(
            make or (lambda: make_sandbox(backend, f"attacks-{backend}")),
            backend,
            list(chosen.values()),
            at_a_time=at_a_time,
        )
    )


def assert_the_host_is_as_it_was(campaign: Campaign) -> None:
    """After every attack, and with the sandbox closed."""
    before, after = campaign.descriptors
    assert campaign.knocks == []
    assert campaign.switches_after == campaign.switches_before
    assert after - before < MOST_DESCRIPTORS_KEPT
    assert campaign.resident_bytes[1] - campaign.resident_bytes[0] < MOST_MEMORY_KEPT
    assert host.control_groups_of(str(Owner.current())) == []
