"""The approval engine as a Python library: see `gate.ApprovalGate`."""

from __future__ import annotations

from hitl_mcp.approvals.models import RequestStatus, RiskLevel, Verdict
from hitl_mcp.gate.callbacks import Callback, CallbackAnswer, CallbackQuestion
from hitl_mcp.gate.errors import (
    AlreadyUsed,
    ApprovalDenied,
    ApprovalTimedOut,
    EditNotApplicable,
    EngineRefused,
    EngineUnavailable,
    GateError,
    JournalRefused,
    NotPossible,
    PolicyNotMet,
)
from hitl_mcp.gate.events import Denied, GateEvent, Received, Requested, TimedOut
from hitl_mcp.gate.gate import ApprovalGate
from hitl_mcp.gate.opening import connect_gate, open_gate
from hitl_mcp.gate.steps import RunOutcome, RunStatus, Step
from hitl_mcp.gate.values import ApprovalPolicy, GateRequest, Mode, SpentAction

__all__ = [
    "AlreadyUsed",
    "ApprovalDenied",
    "ApprovalGate",
    "ApprovalPolicy",
    "ApprovalTimedOut",
    "Callback",
    "CallbackAnswer",
    "CallbackQuestion",
    "Denied",
    "EditNotApplicable",
    "EngineRefused",
    "EngineUnavailable",
    "GateError",
    "GateEvent",
    "GateRequest",
    "JournalRefused",
    "Mode",
    "NotPossible",
    "PolicyNotMet",
    "Received",
    "RequestStatus",
    "Requested",
    "RiskLevel",
    "RunOutcome",
    "RunStatus",
    "SpentAction",
    "Step",
    "TimedOut",
    "Verdict",
    "connect_gate",
    "open_gate",
]
