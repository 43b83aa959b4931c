"""What the gate raises. Messages say what was wrong and what to do; none carries a secret or an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_mcp.errors import HitlError

if TYPE_CHECKING:
    from hitl_mcp.gate.values import GateRequest


class GateError(HitlError):
    """Base of everything the gate raises on purpose."""


class NotAllowed(GateError):
    """The act was not approved and must not be done; `request` says how it stands."""

    def __init__(self, request: GateRequest, message: str) -> None:
        super().__init__(message)
        self.request = request


class ApprovalDenied(NotAllowed):
    """A person, a rule or a callback said no, or the request was cancelled."""

    def __init__(self, request: GateRequest) -> None:
        super().__init__(request, f"Request {request.request_id} was not approved. {request.explanation}")


class ApprovalTimedOut(NotAllowed):
    """Nobody decided in time."""

    def __init__(self, request: GateRequest) -> None:
        super().__init__(request, f"Nobody decided request {request.request_id} in time.")


class PolicyNotMet(NotAllowed):
    """The server's rules ask for fewer people than this gate's policy does."""

    def __init__(self, request: GateRequest, required: int) -> None:
        super().__init__(
            request,
            f"This gate's policy wants {required} approvers, the server's rule {request.policy!r} asks for "
            f"{request.required_approvals}. Change the rule; nothing was done.",
        )


class EngineUnavailable(GateError):
    """The approval server does not answer, or cannot now. Nothing was decided by it; try again."""


class EngineRefused(GateError):
    """The approval server refused what was asked; the message has its own words."""


class AlreadyUsed(GateError):
    """The approval was used up before: by another process, or by an act of this one."""


class NotPossible(GateError):
    """This gate cannot do that; the message says which one can."""


class EditNotApplicable(GateError):
    """An approver edited the act into one that this program cannot do."""


class JournalRefused(GateError):
    """The journal of a run is damaged, in use, or of other steps."""
