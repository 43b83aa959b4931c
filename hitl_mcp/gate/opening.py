"""Opens gates: over the engine of this HITL_HOME in this process, or over a server elsewhere."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hitl_mcp.approvals.models import RiskLevel
from hitl_mcp.gate.callbacks import Callback, GatePolicy
from hitl_mcp.gate.gate import ApprovalGate
from hitl_mcp.gate.remote import connect_engine
from hitl_mcp.gate.values import ApprovalPolicy, Mode

if TYPE_CHECKING:
    from hitl_mcp.approvals.ports import Policy
    from hitl_mcp.settings import Settings


@asynccontextmanager
async def open_gate(
    agent: str,
    *,
    settings: Settings | None = None,
    policy: ApprovalPolicy | None = None,
    mode: Mode = Mode.MANUAL,
    callback: Callback | None = None,
    callback_ceiling: RiskLevel | None = None,
) -> AsyncGenerator[ApprovalGate]:
    """A gate for `agent` over the engine of this HITL_HOME (or of `settings`), opened in this process.

    In the modes CALLBACK and MIXED the `callback` decides what the rules would ask people about, up to
    `callback_ceiling`, which has to be said.

    Raises:
        ValueError: mode, callback and ceiling do not fit together.
        ServerError: with one line on what stops the start.
    """
    with_callback = mode is not Mode.MANUAL
    if with_callback != (callback is not None) or with_callback != (callback_ceiling is not None):
        raise ValueError(
            "the modes CALLBACK and MIXED take a callback and a callback_ceiling, MANUAL takes neither"
        )
    # The whole server, which a program that only talks to one elsewhere does not need.
    from hitl_mcp.gate.embedded import EmbeddedEngine
    from hitl_mcp.gate.home import open_home

    async with open_home(
        agent, settings, around_policy=_around(policy, mode, callback, callback_ceiling)
    ) as application:
        engine = EmbeddedEngine(application, agent)
        yield ApprovalGate(engine, runs=application.settings.home / "runs", policy=policy)


@asynccontextmanager
async def connect_gate(
    url: str, api_key: str, *, runs: Path, policy: ApprovalPolicy | None = None
) -> AsyncGenerator[ApprovalGate]:
    """A gate over the server at `url`, in the name of the agent whose key this is.

    `runs` is the directory of the journals of `ApprovalGate.run`. People decide here: an agent's key cannot,
    so there is no callback.
    """
    async with connect_engine(url, api_key) as engine:
        yield ApprovalGate(engine, runs=runs, policy=policy)


def _around(
    policy: ApprovalPolicy | None, mode: Mode, callback: Callback | None, ceiling: RiskLevel | None
) -> Callable[[Policy], Policy]:
    def around(configured: Policy) -> Policy:
        return GatePolicy(
            configured=configured,
            callback=callback,
            ceiling=ceiling or RiskLevel.LOW,
            people_decide_the_rest=mode is Mode.MIXED,
            required_approvers=policy.required_approvers if policy else None,
        )

    return around
