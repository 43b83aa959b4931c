"""Approving with conditions: an edit that only tightens, and the approval of it, in one transaction."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_mcp.approvals.admission import Admitted, admit
from hitl_mcp.approvals.decisions import Decisions
from hitl_mcp.approvals.edits import Edits
from hitl_mcp.approvals.errors import ApprovalError, DigestChanged, EditRefused, InvalidSubmission
from hitl_mcp.approvals.models import Conditions, DecisionInput, RequestRecord, Verdict
from hitl_mcp.approvals.outcomes import Refused, finished, load_record
from hitl_mcp.approvals.ports import ApprovalPorts
from hitl_mcp.approvals.tightening import described, is_tighter, tightened
from hitl_mcp.approvals.validation import check_decision


class ConditionalApprovals:
    def __init__(self, ports: ApprovalPorts, decisions: Decisions, edits: Edits) -> None:
        self._ports = ports
        self._decisions = decisions
        self._edits = edits

    async def approve(self, given: DecisionInput, conditions: Conditions) -> RequestRecord:
        """Tighten what is asked for and approve that. Earlier approvals, of the wider action, are void.

        Conditions that the action meets already make it a plain approval. Those that the rule offers may be
        used where editing is not allowed; others may not.

        Raises what `Decisions.decide` and `Edits.edit` raise; then neither happened.
        """
        if given.verdict is not Verdict.APPROVE:
            raise InvalidSubmission("conditions", "belong to an approval, not to a denial")
        given = replace(given, conditions=described(conditions))
        check_decision(given)
        record, capacity = await self._edits.looked_up(given.request_id, given.person)
        request = record.request
        if given.action_digest != request.action_digest:
            return await self._gone(given)
        if conditions.limits and not request.terms.may_edit:
            raise EditRefused(
                f"The rule {request.policy} lets nobody edit this request. Use a condition that it offers."
            )
        action = tightened(request.action, request.terms, conditions)
        if action == request.action:
            return await self._decisions.decide(given)
        wording = await self._edits.word(request, action, tightens=is_tighter(request.action, action))
        approval = replace(given, action_digest=wording.digest)

        async def operation(connection: AsyncConnection) -> RequestRecord | Refused:
            stored = await load_record(self._ports, connection, given.request_id)
            now = self._ports.clock.now()
            edited = await self._decisions.unready(connection, stored, now)
            edited = edited or self._edits.prepare(stored, given, wording, capacity, now)
            if isinstance(edited, ApprovalError):
                return await self._decisions.refuse(connection, stored.request, edited, given)
            admitted = admit(edited.record, approval, capacity, now)
            if not isinstance(admitted, Admitted):
                # Before anything is written: the edit does not happen without the approval.
                return await self._decisions.refuse(connection, stored.request, admitted, given)
            after = await self._edits.write(connection, edited, given)
            return await self._decisions.apply(connection, after, approval, capacity)

        return await finished(self._ports, operation)

    async def _gone(self, given: DecisionInput) -> RequestRecord:
        async def operation(connection: AsyncConnection) -> RequestRecord | Refused:
            stored = await load_record(self._ports, connection, given.request_id)
            error = await self._decisions.unready(connection, stored, self._ports.clock.now())
            error = error or DigestChanged(given.request_id)
            return await self._decisions.refuse(connection, stored.request, error, given)

        return await finished(self._ports, operation)
