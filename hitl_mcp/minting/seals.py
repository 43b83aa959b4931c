"""Seals: HMAC-SHA-256 over stored rows, under a key that never enters the database.

Whoever writes the database without this key can neither make a row nor edit or move one: the seal covers the
kind of row and every field that gives it meaning. What a seal cannot show is a row that was deleted or set
back to an older sealed form; `approvals.proof` compares with the audit trail for that.

Requests and decisions have a seal format, so that rows of an earlier release still hold. Format 1 is that of
the first release; format 2 adds the ruling, its terms and revisions. A row cannot be passed off as of another
format, because from 2 on the format is sealed too, and no row of format 1 is made any more. What format 1
does not cover is not read from a row of format 1: see `hitl_mcp.storage.rows`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from hitl_contract.canonical import base64url_encode, canonical_json
from hitl_mcp.approvals.dialogue import GivenAnswer, QuestionBack
from hitl_mcp.approvals.documents import acted_as_text, assessment_text, terms_text
from hitl_mcp.approvals.models import ApprovalRequest, Decision, Revision

SEAL_KEY_BYTES: Final = 32
_PREFIX: Final = "hmac-sha256:"


class RecordSealer:
    """Seals rows of any kind; `kind` keeps a seal of one kind from passing for another."""

    def __init__(self, key: bytes) -> None:
        if len(key) != SEAL_KEY_BYTES:
            raise ValueError(f"a seal key has {SEAL_KEY_BYTES} bytes, not {len(key)}")
        self._key = key

    def seal(self, kind: str, fields: Mapping[str, object]) -> str:
        """The seal of `fields`, a JSON object of strings, integers, None and the like.

        Raises hitl_contract.errors.CanonicalizationError for what has no RFC 8785 form.
        """
        message = canonical_json({"kind": kind, "fields": fields})
        return _PREFIX + base64url_encode(hmac.digest(self._key, message, hashlib.sha256))

    def holds(self, kind: str, fields: Mapping[str, object], seal: str) -> bool:
        """Whether `seal` was made for exactly this."""
        return hmac.compare_digest(self.seal(kind, fields).encode(), seal.encode("utf-8", "replace"))


class ApprovalSealer:
    """Implements `approvals.sealer.Sealer`."""

    def __init__(self, sealer: RecordSealer) -> None:
        self._sealer = sealer

    def seal_request(self, request: ApprovalRequest) -> str:
        return self._sealer.seal("request", _request_fields(request))

    def request_holds(self, request: ApprovalRequest) -> bool:
        return self._sealer.holds("request", _request_fields(request), request.seal)

    def seal_decision(self, decision: Decision) -> str:
        return self._sealer.seal("decision", _decision_fields(decision))

    def decision_holds(self, decision: Decision) -> bool:
        return self._sealer.holds("decision", _decision_fields(decision), decision.seal)

    def seal_revision(self, revision: Revision) -> str:
        return self._sealer.seal("revision", _revision_fields(revision))

    def revision_holds(self, revision: Revision) -> bool:
        return self._sealer.holds("revision", _revision_fields(revision), revision.seal)

    def seal_answer(self, answer: GivenAnswer) -> str:
        return self._sealer.seal("answer", _answer_fields(answer))

    def answer_holds(self, answer: GivenAnswer) -> bool:
        return self._sealer.holds("answer", _answer_fields(answer), answer.seal)

    def seal_question(self, question: QuestionBack) -> str:
        return self._sealer.seal("question", _question_fields(question))

    def question_holds(self, question: QuestionBack) -> bool:
        return self._sealer.holds("question", _question_fields(question), question.seal)

    def kind_salt(self, request_id: str) -> str:
        return self._sealer.seal("kind-salt", {"request_id": request_id}).removeprefix(_PREFIX)

    def token_id(self, request_id: str) -> str:
        # Derived, not stored: a database set back or edited cannot get a second jti, thus a second run.
        return "tok_" + self._sealer.seal("token-id", {"request_id": request_id}).removeprefix(_PREFIX)


def sealed_time(moment: datetime) -> str:
    """The one text form of an instant under a seal: UTC, microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _request_fields(request: ApprovalRequest) -> dict[str, object]:
    fields = _first_request_fields(request)
    if request.seal_format == 1:
        return fields
    return fields | {
        "format": request.seal_format,
        "kind": request.kind.value,
        "verdict": request.verdict.value,
        "explanation": request.explanation,
        "terms": terms_text(request.terms),
        "assessment": assessment_text(request.assessment),
        "revision": request.revision,
        "proposed_digest": request.proposed_digest,
    }


def _first_request_fields(request: ApprovalRequest) -> dict[str, object]:
    return {
        "request_id": request.request_id,
        "agent": request.agent,
        "action_digest": request.action_digest,
        "display_digest": request.display_digest,
        "justification": request.justification,
        "summary": request.summary,
        "risk_level": request.risk_level.value,
        "policy": request.policy,
        "required_approvals": request.required_approvals,
        "required_assurance": request.required_assurance.value,
        "created_at": sealed_time(request.created_at),
        "expires_at": sealed_time(request.expires_at),
    }


def _revision_fields(revision: Revision) -> dict[str, object]:
    return {
        "request_id": revision.request_id,
        "revision": revision.revision,
        "action_digest": revision.action_digest,
        "display_digest": revision.display_digest,
        "editor": revision.editor,
        "reason": revision.reason,
        "at": sealed_time(revision.at),
    }


def _answer_fields(answer: GivenAnswer) -> dict[str, object]:
    return {
        "request_id": answer.request_id,
        "action_digest": answer.action_digest,
        "display_digest": answer.display_digest,
        "person": answer.person,
        "answer": answer.answer,
        "channel": answer.channel,
        "assurance": answer.assurance.value,
        "evidence": dict(answer.evidence),
        "acted_as": acted_as_text(answer.acted_as),
        "answered_at": sealed_time(answer.answered_at),
    }


def _question_fields(question: QuestionBack) -> dict[str, object]:
    return {
        "question_id": question.question_id,
        "request_id": question.request_id,
        "number": question.number,
        "question": question.question,
        "asked_by": question.asked_by,
        "channel": question.channel,
        "asked_at": sealed_time(question.asked_at),
        "answer": question.answer,
        "answered_at": None if question.answered_at is None else sealed_time(question.answered_at),
    }


def _decision_fields(decision: Decision) -> dict[str, object]:
    fields = _first_decision_fields(decision)
    if decision.seal_format == 1:
        return fields
    return fields | {
        "format": decision.seal_format,
        "revision": decision.revision,
        "stage": decision.stage,
        "acted_as": acted_as_text(decision.acted_as),
        "reviewed_from": None if decision.reviewed_from is None else sealed_time(decision.reviewed_from),
    }


def _first_decision_fields(decision: Decision) -> dict[str, object]:
    return {
        "decision_id": decision.decision_id,
        "request_id": decision.request_id,
        "action_digest": decision.action_digest,
        "display_digest": decision.display_digest,
        "person": decision.person,
        "verdict": decision.verdict.value,
        "reason": decision.reason,
        "conditions": decision.conditions,
        "channel": decision.channel,
        "assurance": decision.assurance.value,
        "evidence": dict(decision.evidence),
        "decided_at": sealed_time(decision.decided_at),
    }
