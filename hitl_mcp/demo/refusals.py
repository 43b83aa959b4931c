"""What must not work, each shown by a real call: another's key, another program, another token."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import httpx2

from hitl_contract.action import action_digest, parse_action
from hitl_contract.errors import RefusalCode
from hitl_mcp.demo.agent import CallRefused, McpAgent
from hitl_mcp.demo.failures import StepFailed
from hitl_mcp.demo.forgery import expires_at, signed_by_a_stranger, with_another_digest
from hitl_mcp.demo.narrator import Narrator
from hitl_mcp.demo.person import ApproverApi
from hitl_mcp.demo.program import changed_program, idle_program
from hitl_mcp.demo.world import LEEWAY_SECONDS, World
from hitl_mcp.terminal.cards import RequestCard

_CALL_SECONDS: Final = 30


async def agent_cannot_decide(world: World, narrator: Narrator, card: RequestCard) -> None:
    """The agent's own key is no person's: approving its own request is refused."""
    step = "The agent's own key cannot approve"
    headers = {"Authorization": f"Bearer {world.agent_key}"}
    async with httpx2.AsyncClient(
        base_url=world.approval_url, headers=headers, timeout=_CALL_SECONDS
    ) as http:
        answer = await http.post(
            f"/api/v1/approvals/{card.request_id}/approve", json={"action_digest": card.action_digest}
        )
    if answer.status_code not in {401, 403}:
        raise StepFailed(step, f"the server answered {answer.status_code}")
    narrator.held_true(
        step, f"POST …/approve: {answer.status_code} {answer.json().get('title', '')}".rstrip()
    )


async def unspent_token(agent: McpAgent, approver: ApproverApi) -> str:
    """A second request, approved by script with the person's credential, whose token nobody uses."""
    action = idle_program()
    asked = await agent.call(
        "request_approval",
        {
            "action": action,
            "justification": "A token to be left lying.",
            "risk_level": "low",
            "wait_seconds": 0,
        },
    )
    await approver.decide(asked["request_id"], "approve", action_digest=action_digest(parse_action(action)))
    answer = await agent.call("check_status", {"request_id": asked["request_id"], "wait_seconds": 10})
    token: str | None = answer.get("capability_token")
    if not token:
        raise StepFailed("a second approval mints a token", f"the agent was told {answer['status']}")
    return token


async def show_refusals(
    executor: McpAgent, narrator: Narrator, *, spent: str, unspent: str, execution: dict[str, Any]
) -> None:
    """Every wrong token and every wrong program. `unspent` is waited for until it has expired."""
    step = "A changed program under a good token is refused"
    changed = {"capability_token": unspent, "action": changed_program()}
    await _refused(executor, narrator, step, changed, RefusalCode.ACTION_MISMATCH)

    step = "The same token a second time is refused"
    told = await _refused(executor, narrator, step, {"capability_token": spent}, RefusalCode.ALREADY_USED)
    if execution["execution_id"] not in told:
        raise StepFailed(step, "the refusal does not name the execution that was made")
    again = await executor.call("get_execution", {"execution_id": execution["execution_id"]})
    if again["result"] != execution["result"]:
        raise StepFailed("the first result can still be read", f"it reads {again['result']}")
    narrator.held_true("The first result can still be read", f"get_execution: {again['result']}")

    forged = signed_by_a_stranger(unspent)
    step = "A token signed by another key is refused"
    await _refused(executor, narrator, step, {"capability_token": forged}, RefusalCode.INVALID_TOKEN)
    changed_digest = action_digest(parse_action(changed_program()))
    forged = with_another_digest(unspent, changed_digest)
    step = "A token whose claims were changed is refused"
    await _refused(
        executor,
        narrator,
        step,
        {"capability_token": forged, "action": changed_program()},
        RefusalCode.INVALID_TOKEN,
    )

    await _wait_until_expired(narrator, unspent)
    step = "A token that was never used, but has expired, is refused"
    await _refused(executor, narrator, step, {"capability_token": unspent}, RefusalCode.EXPIRED)


async def _refused(
    executor: McpAgent, narrator: Narrator, step: str, arguments: dict[str, Any], code: RefusalCode
) -> str:
    try:
        answer = await executor.call("execute", {**arguments, "wait_seconds": _CALL_SECONDS})
    except CallRefused as refusal:
        told = str(refusal)
    else:
        raise StepFailed(step, f"the executor let it through: {answer.get('status')}")
    if code.value not in told:
        raise StepFailed(step, f"it was refused for another reason: {told[:200]}")
    narrator.held_true(step, told)
    return told


async def _wait_until_expired(narrator: Narrator, token: str) -> None:
    until = expires_at(token) + LEEWAY_SECONDS + 0.5
    with narrator.waiting("waiting for the token to expire") as show:
        while (left := until - time.time()) > 0:
            show(f"waiting {left:.0f} s for the token to expire")
            await asyncio.sleep(min(left, 0.2))
