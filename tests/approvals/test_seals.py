"""Seals: every field counts, and nothing passes for something else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_contract.action import action_digest
from hitl_mcp.approvals.capacity import ActedAs
from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.models import (
    ApprovalRequest,
    Decision,
    RequestKind,
    RequestStatus,
    Revision,
    Verdict,
)
from hitl_mcp.approvals.terms import GroupQuorum, RiskAssessment, RiskVote, RuleVerdict, Stage, Terms
from hitl_mcp.minting.seals import ApprovalSealer, RecordSealer
from tests.approvals.world import program

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SEALER = ApprovalSealer(RecordSealer(b"k" * 32))


def request() -> ApprovalRequest:
    unsealed = ApprovalRequest(
        request_id="req_a",
        agent="agent-1",
        action=program(),
        action_digest=action_digest(program()),
        display_digest="sha-256:d",
        justification="why",
        summary=None,
        risk_level=RiskLevel.LOW,
        status=RequestStatus.PENDING,
        policy="p",
        required_approvals=2,
        terms=Terms(stages=(Stage((GroupQuorum(count=2),)),), required_assurance=Assurance.SESSION),
        required_assurance=Assurance.SESSION,
        created_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        decided_at=None,
        valid_until=None,
        token_id=None,
        revoked_at=None,
        ended_by=None,
        ended_reason=None,
        trace_id=None,
        metadata={},
        version=1,
        seal="",
        assessment=RiskAssessment(RiskLevel.LOW, (RiskVote("claim", RiskLevel.LOW, "so it says"),)),
    )
    return replace(unsealed, seal=SEALER.seal_request(unsealed))


def decision() -> Decision:
    unsealed = Decision(
        decision_id="dec_a",
        request_id="req_a",
        action_digest=action_digest(program()),
        display_digest="sha-256:d",
        person="alice",
        verdict=Verdict.APPROVE,
        reason=None,
        conditions=None,
        channel="web",
        assurance=Assurance.SESSION,
        evidence={"session": "s"},
        decided_at=NOW,
        seal="",
        acted_as=ActedAs(frozenset({"approver"})),
        reviewed_from=NOW,
    )
    return replace(unsealed, seal=SEALER.seal_decision(unsealed))


def revision() -> Revision:
    unsealed = Revision("req_a", 1, "sha-256:a", "sha-256:d", "alice", "shorter", NOW, "")
    return replace(unsealed, seal=SEALER.seal_revision(unsealed))


def other_value(value: object) -> object:
    match value:
        case RequestKind():
            return RequestKind.QUESTION
        case RuleVerdict():
            return RuleVerdict.ALLOW
        case Terms():
            return replace(value, denials_to_end=2)
        case RiskAssessment():
            return replace(value, votes=())
        case ActedAs():
            return replace(value, groups=frozenset({"approver", "security"}))
        case Verdict():
            return Verdict.DENY
        case Assurance():
            return Assurance.CHAT
        case RiskLevel():
            return RiskLevel.CRITICAL
        case datetime():
            return value + timedelta(microseconds=1)
        case int():
            return value + 1
        case str():
            return value + "x"
        case Mapping():
            return {**value, "more": "x"}
        case _:
            return "something"


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Decision)])
def test_a_change_of_any_field_of_a_decision_breaks_its_seal(name: str) -> None:
    sealed = decision()
    assert SEALER.decision_holds(sealed)
    assert not SEALER.decision_holds(replace(sealed, **{name: other_value(getattr(sealed, name))}))


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Revision)])
def test_a_change_of_any_field_of_a_revision_breaks_its_seal(name: str) -> None:
    sealed = revision()
    assert SEALER.revision_holds(sealed)
    assert not SEALER.revision_holds(replace(sealed, **{name: other_value(getattr(sealed, name))}))


def test_a_row_cannot_be_passed_off_as_one_of_the_first_release() -> None:
    assert not SEALER.request_holds(replace(request(), seal_format=1))
    assert not SEALER.decision_holds(replace(decision(), seal_format=1))


# What a transition may change, and what it is proven by instead: see `approvals.proof`.
CHANGEABLE = {
    "status", "decided_at", "valid_until", "token_id", "revoked_at", "ended_by", "ended_reason", "version",
}  # fmt: skip
# `action` is proven by its digest; `trace_id` and `metadata` mean nothing to the approval.
PROVEN_OTHERWISE = {"action", "trace_id", "metadata"}


@pytest.mark.parametrize(
    "name",
    sorted({field.name for field in dataclasses.fields(ApprovalRequest)} - CHANGEABLE - PROVEN_OTHERWISE),
)
def test_a_change_of_any_fixed_field_of_a_request_breaks_its_seal(name: str) -> None:
    sealed = request()
    assert SEALER.request_holds(sealed)
    assert not SEALER.request_holds(replace(sealed, **{name: other_value(getattr(sealed, name))}))


def test_a_seal_under_another_key_does_not_hold() -> None:
    stranger = ApprovalSealer(RecordSealer(b"x" * 32))
    forged = replace(decision(), seal=stranger.seal_decision(decision()))
    assert not SEALER.decision_holds(forged)


@pytest.mark.parametrize("seal", ["", "hmac-sha256:", "\ud800", "é"])
def test_what_is_no_seal_does_not_hold(seal: str) -> None:
    assert not SEALER.decision_holds(replace(decision(), seal=seal))


def test_a_seal_of_one_kind_does_not_pass_for_another() -> None:
    sealer = RecordSealer(b"k" * 32)
    assert not sealer.holds("person", {"a": "1"}, sealer.seal("session", {"a": "1"}))


@pytest.mark.parametrize("key", [b"", b"k" * 31, b"k" * 33])
def test_a_key_of_the_wrong_length_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        RecordSealer(key)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_token_id_belongs_to_one_request(one: str, other: str) -> None:
    assert (SEALER.token_id(one) == SEALER.token_id(other)) == (one == other)
