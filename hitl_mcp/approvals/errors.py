"""What the approval life cycle refuses, and why. Every message is safe to show to an agent or a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl_mcp.errors import HitlError

if TYPE_CHECKING:
    from hitl_contract.errors import FieldProblem
    from hitl_mcp.approvals.models import RequestRecord


class ApprovalError(HitlError):
    """Base of everything the approval service refuses."""


class InvalidSubmission(ApprovalError):
    """A field of a submission or a decision is outside what is allowed; `field` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class InvalidCursor(ApprovalError):
    """A list cursor was not one that this server gave out."""

    def __init__(self) -> None:
        super().__init__("The cursor is not one this server gave out. Start the list again without a cursor.")


class RequestNotFound(ApprovalError):
    """No such request, or not one the caller may see: both look the same on purpose."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"There is no request {request_id[:80]!r}. Check the id, or list your requests.")
        self.request_id = request_id


class ActionNotFound(ApprovalError):
    """No action of this digest is stored."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"There is no action with the digest {digest[:80]!r}.")


class IdempotencyKeyReused(ApprovalError):
    """The agent used this idempotency key before, for another action."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"This idempotency key belongs to request {request_id}, which asks for another action. "
            "Use a new key for a new action."
        )
        self.request_id = request_id


class AlreadyEnded(ApprovalError):
    """The request had reached a terminal state before; `record` says which, and who decided."""

    def __init__(self, record: RequestRecord) -> None:
        request = record.request
        by = f" by {request.ended_by}" if request.ended_by else ""
        super().__init__(
            f"Request {request.request_id} has ended: {request.status.value}{by}. Nothing changed."
        )
        self.record = record


class AlreadyDecided(ApprovalError):
    """This person decided this request before, the other way."""


class NotEligible(ApprovalError):
    """This person may not decide this request, in this way."""


class NotYourTurn(NotEligible):
    """This person may decide this request, but there is no seat for them in the stage that is open."""


class ReviewTooShort(NotEligible):
    """The terms ask for a longer look before an approval; `seconds_left` says how much longer."""

    def __init__(self, rule: str, seconds_left: int) -> None:
        super().__init__(
            f"The rule {rule} asks for a longer look before an approval. Approve in {seconds_left} s; "
            "a denial is possible at once."
        )
        self.seconds_left = seconds_left


class WrongKind(ApprovalError):
    """A question cannot be approved, and a request for approval cannot be answered."""


class InvalidAnswer(ApprovalError):
    """The answer is none that the question asked for; `problems` names each field that is wrong."""

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        listed = "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
        super().__init__(f"This does not answer the question: {listed}")
        self.problems = problems


class TooManyQuestions(ApprovalError):
    """No more questions can be asked back about this request."""

    def __init__(self, request_id: str, limit: int) -> None:
        super().__init__(
            f"{limit} questions were asked about request {request_id}, which is all there may be. Decide it."
        )


class NoOpenQuestion(ApprovalError):
    """The agent answers, but nobody asked, or what was asked has been answered."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"No question about request {request_id} is open, so no answer was kept. Call check_status "
            "without answer."
        )


class EditRefused(ApprovalError):
    """The action may not be changed, or not like this."""


class DigestChanged(ApprovalError):
    """The person decided about other bytes than the request's action."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"What was shown is not what request {request_id} asks for. Open it again and decide anew."
        )


class NotApproved(ApprovalError):
    """A token was asked for while the request is not approved; `status` says what it is."""

    def __init__(self, request_id: str, status: str) -> None:
        super().__init__(f"Request {request_id} is {status}: there is no token to collect.")
        self.status = status


class ApprovalExpired(ApprovalError):
    """The approval's own validity has passed."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"The approval of request {request_id} has expired. Ask for approval again.")


class Revoked(ApprovalError):
    """The approval was withdrawn."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"The approval of request {request_id} was revoked. Ask for approval again.")


class AlreadySpent(ApprovalError):
    """The approval was used up: by another use of its action, or by the token that was collected for it."""

    def __init__(self, request_id: str, use: str | None) -> None:
        by = "by a capability token" if use is None else "by another call"
        super().__init__(
            f"The approval of request {request_id} was used up {by}, and is good for one. "
            "Ask for approval again."
        )
        self.request_id = request_id
        self.use = use


class SealBroken(ApprovalError):
    """Stored data is not what this server wrote. `detail` is for the log and the audit, not for the agent."""

    def __init__(self, request_id: str, detail: str) -> None:
        super().__init__(
            f"What is stored of request {request_id} does not prove itself, so nothing is given out. "
            "Tell the operator: the database was changed from outside."
        )
        self.request_id = request_id
        self.detail = detail
