"""Minting alone: one approval that has proven itself, one signed token."""

from __future__ import annotations

import time
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.calls import action
from benchmarks.measuring import Measurements
from hitl_contract.action import action_digest, parse_action
from hitl_mcp.approvals.models import ApprovalRequest, Assurance, Decision, RequestStatus, RiskLevel, Verdict
from hitl_mcp.approvals.proof import ProvenApproval
from hitl_mcp.minting.keys import SigningKey
from hitl_mcp.minting.signer import CapabilityMinter
from server_kit.clock import SystemClock


def measure_minting(measurements: Measurements, rounds: int) -> None:
    """Sign `rounds` tokens for one approval."""
    key = SigningKey.of(Ed25519PrivateKey.generate())
    minter = CapabilityMinter(
        signing_key=lambda: key, issuer="http://bench.invalid", audience="hitl-executor"
    )
    approval = _approval()
    issued_at = int(SystemClock().now().timestamp())
    for _ in range(rounds):
        started = time.perf_counter()
        minter.mint(approval, issued_at=issued_at, expires_at=issued_at + 300)
        measurements.of("mint").add(time.perf_counter() - started)


def _approval() -> ProvenApproval:
    now = SystemClock().now()
    wanted = parse_action(action())
    digest = action_digest(wanted)
    request = ApprovalRequest(
        request_id="req_benchmark",
        agent="bench-agent",
        action=wanted,
        action_digest=digest,
        display_digest=digest,
        justification="benchmark",
        summary=None,
        risk_level=RiskLevel.LOW,
        status=RequestStatus.APPROVED,
        policy="default",
        required_approvals=1,
        required_assurance=Assurance.CHAT,
        created_at=now,
        expires_at=now + timedelta(hours=1),
        decided_at=now,
        valid_until=now + timedelta(hours=1),
        token_id=None,
        revoked_at=None,
        ended_by=None,
        ended_reason=None,
        trace_id=None,
        metadata={},
        version=2,
        seal="",
    )
    decision = Decision(
        decision_id="dec_benchmark",
        request_id=request.request_id,
        action_digest=digest,
        display_digest=digest,
        person="ada",
        verdict=Verdict.APPROVE,
        reason=None,
        conditions=None,
        channel="web",
        assurance=Assurance.SESSION,
        evidence={},
        decided_at=now,
        seal="",
    )
    return ProvenApproval(request, (decision,), "tok_benchmark", now + timedelta(hours=1))
