"""Decides whether a call of a tool may go on, and with what. The checks, in order:

1. the call has the form of one, and the server lists a tool of exactly this name;
2. the tool describes itself as it did when it was trusted, or a person approved the change;
3. no earlier call like it was cut off half way; that is reported first, once;
4. the rules allow it, or people approve it;
5. the tool still describes itself as it did when they were asked;
6. the approval is used up, durably; who is second gets none;
7. that the call goes out is noted, durably.

Only then is there an `Admission`, and it is good for one forwarding. An error at any step is a refusal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from hitl_contract.action import Action, action_digest
from hitl_contract.errors import ContractError
from hitl_mcp.approvals.models import RequestStatus, Submission
from hitl_mcp.errors import HitlError
from hitl_mcp.gate.engine import ApprovalEngine
from hitl_mcp.gate.errors import AlreadyUsed
from hitl_mcp.gate.values import GateRequest
from hitl_mcp.proxy.calls import HeldCall, changed_definition
from hitl_mcp.proxy.definitions import Definitions
from hitl_mcp.proxy.files import Note, ProxyFiles
from server_kit.errors import ServerError
from server_kit.identifiers import new_identifier

_ATTEMPTS: Final = 3
Wait = Callable[[GateRequest], Awaitable[GateRequest]]


@dataclass(frozen=True, slots=True)
class Admission:
    """A call that may be forwarded, once, with these parameters. `edited`: they are not the agent's."""

    params: dict[str, Any]
    note: Note
    edited: bool


class Refused(HitlError):
    """The call does not go on; the message teaches the agent why and what to do."""


class Gatekeeper:
    def __init__(
        self, engine: ApprovalEngine, server: str, definitions: Definitions, files: ProxyFiles
    ) -> None:
        self._engine = engine
        self.server = server
        self._definitions = definitions
        self._files = files

    async def admit(self, call: HeldCall, wait: Wait) -> Admission:
        """Raises Refused."""
        try:
            return await self._admit(call, wait)
        except Refused:
            raise
        except (HitlError, ContractError, ServerError) as error:
            raise Refused(f"The tool was not called. {error}") from error
        except OSError as error:
            raise Refused(
                f"The tool was not called: the proxy cannot write its files ({error.strerror})."
            ) from error

    def answered(self, admission: Admission) -> None:
        """The call came to an end that the agent is told."""
        self._files.answered(admission.note)

    def abandoned(self, admission: Admission) -> None:
        """The agent left before the call came to an end."""
        self._files.abandoned(admission.note)

    async def _admit(self, call: HeldCall, wait: Wait) -> Admission:
        if self._definitions.get(call.tool) is None:  # 1
            raise Refused(
                f"The server has no tool with exactly the name {call.tool[:100]!r}. Nothing was called; use "
                "a name from the list of tools."
            )
        await self._check_definition(call.tool, wait)  # 2
        action = call.action
        if self._files.take_interrupted(action_digest(action)):  # 3
            raise Refused(
                "An earlier call like this one was approved and forwarded, and then cut off: it may or may "
                "not have had its effect. Find out first. If it is still wanted, call again: people are "
                "asked anew."
            )
        before = self._definitions.digest(call.tool)
        why = f"The agent calls {call.tool} of the MCP server {self.server}."
        approved, use = await self._approved(
            action, why, wait, unchanged=lambda: self._same(call.tool, before)
        )
        params = call.approved_params(approved)
        edited = action_digest(approved) != action_digest(action)
        return Admission(params, self._files.note(action_digest(action), use, call.tool), edited)  # 7

    async def _check_definition(self, tool: str, wait: Wait) -> None:
        now, trusted = self._definitions.digest(tool), self._definitions.trusted(tool)
        if trusted == now:
            return
        definition = self._definitions.get(tool)
        action = changed_definition(self.server, tool, trusted or "", now, definition)
        why = (
            f"The MCP server {self.server} now describes its tool {tool} in another way than before. Until "
            "this is approved the tool is not called."
        )
        await self._approved(action, why, wait, unchanged=lambda: self._same(tool, now))
        self._definitions.trust(tool, now)

    def _same(self, tool: str, digest: str) -> None:
        if self._definitions.digest(tool) != digest:
            raise Refused(
                "The tool's description changed while people decided. Nothing was called; list the tools and "
                "call again."
            )

    async def _approved(
        self, action: Action, why: str, wait: Wait, *, unchanged: Callable[[], None]
    ) -> tuple[Action, str]:
        for _ in range(_ATTEMPTS):
            request = await self._engine.submit(Submission(action=action, justification=why))  # 4
            request = await wait(request)
            if request.status is not RequestStatus.APPROVED:
                raise Refused(_why_not(request))
            unchanged()  # 5
            use = new_identifier("use")
            try:
                return await self._engine.spend(request.request_id, use), use  # 6
            except AlreadyUsed:
                # An equal call at the same time was attached to the same request, and was first.
                continue
        raise Refused("Too many equal calls at the same time. Nothing was called; call again.")


def _why_not(request: GateRequest) -> str:
    if request.status is not RequestStatus.PENDING:
        return f"The tool was not called. {request.explanation}"
    return (
        f"The tool was not called yet: nobody has decided about request {request.request_id}. Call it again "
        "with the same arguments to go on waiting for the same decision; do not work around it. A person "
        f"decides at {request.review_url}"
    )
