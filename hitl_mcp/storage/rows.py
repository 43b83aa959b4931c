"""Rows of the approval tables to values and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from hitl_contract.action import Action
from hitl_mcp.approvals.capacity import ActedAs
from hitl_mcp.approvals.documents import (
    acted_as_from_text,
    acted_as_text,
    assessment_from_text,
    assessment_text,
    terms_from_text,
    terms_text,
)
from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.models import (
    ApprovalRequest,
    Decision,
    RequestKind,
    RequestStatus,
    Revision,
    Verdict,
)
from hitl_mcp.approvals.terms import ANY_APPROVER, GroupQuorum, RuleVerdict, Stage, Terms


def request_to_row(request: ApprovalRequest) -> dict[str, Any]:
    return {
        "request_id": request.request_id,
        "agent": request.agent,
        "action_type": request.action.type,
        "action_digest": request.action_digest,
        "display_digest": request.display_digest,
        "justification": request.justification,
        "summary": request.summary,
        "risk_level": request.risk_level.value,
        "policy": request.policy,
        "required_approvals": request.required_approvals,
        "required_assurance": request.required_assurance.value,
        "created_at": request.created_at,
        "expires_at": request.expires_at,
        "trace_id": request.trace_id,
        "metadata": dict(request.metadata),
        "seal": request.seal,
        "kind": request.kind.value,
        "verdict": request.verdict.value,
        "explanation": request.explanation,
        "terms": terms_text(request.terms),
        "assessment": assessment_text(request.assessment),
        "revision": request.revision,
        "proposed_digest": request.proposed_digest,
        "seal_format": request.seal_format,
        **changed_columns(request),
    }


CHANGED_COLUMNS: Final = (
    *("status", "decided_at", "valid_until", "token_id", "revoked_at", "ended_by", "ended_reason", "version"),
    "attachable_digest",
)


def changed_columns(request: ApprovalRequest) -> dict[str, Any]:
    """The columns that a transition may change."""
    return {
        "status": request.status.value,
        "decided_at": request.decided_at,
        "valid_until": request.valid_until,
        "token_id": request.token_id,
        "revoked_at": request.revoked_at,
        "ended_by": request.ended_by,
        "ended_reason": request.ended_reason,
        "version": request.version,
        "attachable_digest": request.asked_digest if _attachable(request) else None,
    }


def _attachable(request: ApprovalRequest) -> bool:
    if request.kind is RequestKind.CANARY:
        return False
    if request.status is RequestStatus.PENDING:
        return True
    # An approval that was never collected still answers the same question: people are not asked twice.
    unused = request.token_id is None and request.revoked_at is None
    return request.status is RequestStatus.APPROVED and unused


def _json_object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("a JSON object was expected")
    return cast("dict[str, Any]", value)


def request_from_row(row: Mapping[Any, Any], action: Action) -> ApprovalRequest:
    return ApprovalRequest(
        request_id=row["request_id"],
        agent=row["agent"],
        action=action,
        action_digest=row["action_digest"],
        display_digest=row["display_digest"],
        justification=row["justification"],
        summary=row["summary"],
        risk_level=RiskLevel(row["risk_level"]),
        status=RequestStatus(row["status"]),
        policy=row["policy"],
        required_approvals=row["required_approvals"],
        required_assurance=Assurance(row["required_assurance"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        decided_at=row["decided_at"],
        valid_until=row["valid_until"],
        token_id=row["token_id"],
        revoked_at=row["revoked_at"],
        ended_by=row["ended_by"],
        ended_reason=row["ended_reason"],
        trace_id=row["trace_id"],
        metadata=_json_object(row["metadata"]),
        version=row["version"],
        seal=row["seal"],
        **_ruling_from_row(row),
    )


def _ruling_from_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    if row["seal_format"] == 1:
        # Nothing here was sealed then, so nothing of it is believed: the terms are what its seal says.
        return {
            "terms": Terms(
                stages=(Stage((GroupQuorum(count=row["required_approvals"]),)),),
                required_assurance=Assurance(row["required_assurance"]),
            ),
            "seal_format": 1,
        }
    return {
        "kind": RequestKind(row["kind"]),
        "verdict": RuleVerdict(row["verdict"]),
        "explanation": row["explanation"],
        "terms": terms_from_text(row["terms"]),
        "assessment": assessment_from_text(row["assessment"]),
        "revision": row["revision"],
        "proposed_digest": row["proposed_digest"],
        "seal_format": row["seal_format"],
    }


def revision_to_row(revision: Revision) -> dict[str, Any]:
    return {
        "request_id": revision.request_id,
        "revision": revision.revision,
        "action_digest": revision.action_digest,
        "display_digest": revision.display_digest,
        "editor": revision.editor,
        "reason": revision.reason,
        "at": revision.at,
        "seal": revision.seal,
    }


def revision_from_row(row: Mapping[Any, Any]) -> Revision:
    return Revision(
        request_id=row["request_id"],
        revision=row["revision"],
        action_digest=row["action_digest"],
        display_digest=row["display_digest"],
        editor=row["editor"],
        reason=row["reason"],
        at=row["at"],
        seal=row["seal"],
    )


def decision_to_row(decision: Decision) -> dict[str, Any]:
    return {
        "decision_id": decision.decision_id,
        "request_id": decision.request_id,
        "person": decision.person,
        "action_digest": decision.action_digest,
        "display_digest": decision.display_digest,
        "verdict": decision.verdict.value,
        "reason": decision.reason,
        "conditions": decision.conditions,
        "channel": decision.channel,
        "assurance": decision.assurance.value,
        "evidence": dict(decision.evidence),
        "decided_at": decision.decided_at,
        "seal": decision.seal,
        "revision": decision.revision,
        "stage": decision.stage,
        "acted_as": acted_as_text(decision.acted_as),
        "reviewed_from": decision.reviewed_from,
        "seal_format": decision.seal_format,
    }


def decision_from_row(row: Mapping[Any, Any]) -> Decision:
    return Decision(
        decision_id=row["decision_id"],
        request_id=row["request_id"],
        action_digest=row["action_digest"],
        display_digest=row["display_digest"],
        person=row["person"],
        verdict=Verdict(row["verdict"]),
        reason=row["reason"],
        conditions=row["conditions"],
        channel=row["channel"],
        assurance=Assurance(row["assurance"]),
        evidence=_json_object(row["evidence"]),
        decided_at=row["decided_at"],
        seal=row["seal"],
        **_capacity_from_row(row),
    )


def _capacity_from_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    if row["seal_format"] == 1:
        # Only approvers decided then, about the one action there was.
        return {"acted_as": ActedAs(frozenset({ANY_APPROVER})), "seal_format": 1}
    return {
        "revision": row["revision"],
        "stage": row["stage"],
        "acted_as": acted_as_from_text(row["acted_as"]),
        "reviewed_from": row["reviewed_from"],
        "seal_format": row["seal_format"],
    }
