"""The proof that stands before every token: each check by itself, with rows that are sealed correctly."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import JsonValue

from hitl_contract.audit_chain import AuditEntry
from hitl_mcp.approvals import events
from hitl_mcp.approvals.capacity import Capacity
from hitl_mcp.approvals.errors import ApprovalExpired, NotApproved, NotEligible, Revoked, SealBroken
from hitl_mcp.approvals.models import (
    ApprovalRequest,
    Assurance,
    Decision,
    RequestRecord,
    RequestStatus,
    Verdict,
)
from hitl_mcp.approvals.proof import ProvenApproval, prove
from tests.approvals.test_seals import NOW, SEALER, decision, request
from tests.approvals.world import program

VALIDITY = timedelta(hours=1)
APPROVERS = {name: Capacity(name, name, frozenset({"approver"})) for name in ("alice", "bob", "mallory")}


def sealed_request(**changes: object) -> ApprovalRequest:
    made = replace(request(), status=RequestStatus.APPROVED, **changes)  # type: ignore[arg-type]
    return replace(made, seal=SEALER.seal_request(made))


def sealed_decision(person: str = "alice", **changes: object) -> Decision:
    made = replace(decision(), decision_id=f"dec_{person}", person=person, **changes)  # type: ignore[arg-type]
    return replace(made, seal=SEALER.seal_decision(made))


def entry(event: str, **details: JsonValue) -> AuditEntry:
    return AuditEntry("hitl", 1, "at", event, "actor", "req_a", details, "previous", "hash")


def trail_of(record: RequestRecord) -> list[AuditEntry]:
    created = entry(events.CREATED, seal=record.request.seal)
    return [created, *(entry(events.DECIDED, seal=each.seal) for each in record.decisions)]


def proven(
    made: ApprovalRequest,
    *decisions: Decision,
    trail: list[AuditEntry] | None = None,
    eligible: set[str] | None = None,
    later: timedelta = timedelta(0),
) -> ProvenApproval:
    record = RequestRecord(made, decisions)
    return prove(
        record,
        trail_of(record) if trail is None else trail,
        sealer=SEALER,
        capacities={name: APPROVERS[name] for name in ({"alice", "bob"} if eligible is None else eligible)},
        validity=VALIDITY,
        now=NOW + later,
    )


def detail_of(caught: pytest.ExceptionInfo[SealBroken]) -> str:
    return caught.value.detail


def test_enough_sealed_audited_approvals_by_eligible_people_are_a_proof() -> None:
    approval = proven(sealed_request(), sealed_decision("alice"), sealed_decision("bob"))
    assert approval.token_id == SEALER.token_id("req_a")
    assert approval.valid_until == NOW + VALIDITY


def test_a_request_with_a_broken_seal_proves_nothing() -> None:
    with pytest.raises(SealBroken) as caught:
        proven(replace(sealed_request(), required_approvals=1), sealed_decision())
    assert "request's seal" in detail_of(caught)


def test_a_token_id_that_is_not_the_requests_own_proves_nothing() -> None:
    with pytest.raises(SealBroken) as caught:
        proven(sealed_request(token_id="tok_other"), sealed_decision("alice"), sealed_decision("bob"))
    assert "token id" in detail_of(caught)


def test_another_action_than_the_digest_names_proves_nothing() -> None:
    with pytest.raises(SealBroken) as caught:
        proven(sealed_request(action=program("other")), sealed_decision("alice"), sealed_decision("bob"))
    assert "digest" in detail_of(caught)


@pytest.mark.parametrize("status", sorted(set(RequestStatus) - {RequestStatus.APPROVED}))
def test_a_request_that_is_not_approved_gives_no_token(status: RequestStatus) -> None:
    made = replace(sealed_request(), status=status)
    with pytest.raises(NotApproved, match=status.value):
        proven(made, sealed_decision("alice"), sealed_decision("bob"))


def test_a_revoked_request_gives_no_token_by_its_column_or_by_the_trail_alone() -> None:
    decisions = (sealed_decision("alice"), sealed_decision("bob"))
    with pytest.raises(Revoked):
        proven(replace(sealed_request(), revoked_at=NOW), *decisions)
    made = sealed_request()
    with pytest.raises(Revoked):
        proven(made, *decisions, trail=[*trail_of(RequestRecord(made, decisions)), entry(events.REVOKED)])


@pytest.mark.parametrize(
    "about", [{"request_id": "req_b"}, {"action_digest": "sha-256:b"}, {"display_digest": "sha-256:b"}]
)
def test_a_sealed_decision_about_something_else_proves_nothing(about: dict[str, str]) -> None:
    with pytest.raises(SealBroken) as caught:
        proven(sealed_request(), sealed_decision("alice"), sealed_decision("bob", **about))
    assert "something else" in detail_of(caught)


def test_a_decision_with_a_broken_seal_proves_nothing() -> None:
    with pytest.raises(SealBroken) as caught:
        proven(sealed_request(), sealed_decision("alice"), replace(sealed_decision("bob"), person="carol"))
    assert "dec_bob" in detail_of(caught)


def test_an_approval_over_too_weak_a_channel_proves_nothing() -> None:
    weak = sealed_decision("bob", assurance=Assurance.CHAT)
    with pytest.raises(SealBroken) as caught:
        proven(sealed_request(), sealed_decision("alice"), weak)
    assert "weak" in detail_of(caught)


def test_two_decisions_of_one_person_are_no_quorum_of_two() -> None:
    with pytest.raises(SealBroken) as caught:
        proven(sealed_request(), sealed_decision("alice"), sealed_decision("ALICE"))
    assert "quorum" in detail_of(caught)


def test_the_requesters_own_decision_is_no_part_of_a_quorum() -> None:
    with pytest.raises(SealBroken):
        proven(sealed_request(), sealed_decision("alice"), sealed_decision("Agent-1"))


def test_a_denial_over_any_channel_outweighs_a_quorum() -> None:
    denial = sealed_decision("carol", verdict=Verdict.DENY, assurance=Assurance.CHAT)
    with pytest.raises(SealBroken):
        proven(sealed_request(), sealed_decision("alice"), sealed_decision("bob"), denial)


@pytest.mark.parametrize("eligible", [set[str](), {"alice"}, {"alice", "mallory"}])
def test_approvers_who_may_no_longer_decide_do_not_count(eligible: set[str]) -> None:
    with pytest.raises(NotEligible):
        proven(sealed_request(), sealed_decision("alice"), sealed_decision("bob"), eligible=eligible)


def test_an_approval_lapses_counted_from_its_last_decision() -> None:
    late = sealed_decision("bob", decided_at=NOW + timedelta(minutes=30))
    last = timedelta(minutes=90) - timedelta(microseconds=1)
    assert proven(sealed_request(), sealed_decision("alice"), late, later=last)
    with pytest.raises(ApprovalExpired):
        proven(sealed_request(), sealed_decision("alice"), late, later=timedelta(minutes=90))


def test_the_trail_must_have_exactly_this_creation_and_these_decisions() -> None:
    made, decisions = sealed_request(), (sealed_decision("alice"), sealed_decision("bob"))
    whole = trail_of(RequestRecord(made, decisions))
    for trail in (
        [],
        whole[1:],
        [whole[0], *whole],
        whole[:-1],
        [*whole, entry(events.DECIDED, seal="of a decision that was deleted")],
        [*whole, entry(events.TIMED_OUT)],
        [*whole, entry(events.CANCELLED)],
        [entry(events.CREATED, seal="other"), *whole[1:]],
        [entry(events.CREATED), *whole[1:]],
    ):
        with pytest.raises(SealBroken):
            proven(made, *decisions, trail=trail)
    assert proven(made, *decisions, trail=[*whole, entry(events.TOKEN_MINTED), entry(events.REATTACHED)])
