"""The port behind which stored rows are sealed: implemented by `hitl_mcp.minting.seals`."""

from __future__ import annotations

from typing import Protocol

from hitl_mcp.approvals.dialogue import GivenAnswer, QuestionBack
from hitl_mcp.approvals.models import ApprovalRequest, Decision, Revision


class Sealer(Protocol):
    """Seals what is stored, with a key that never enters the database."""

    def seal_request(self, request: ApprovalRequest) -> str: ...

    def request_holds(self, request: ApprovalRequest) -> bool: ...

    def seal_decision(self, decision: Decision) -> str: ...

    def decision_holds(self, decision: Decision) -> bool: ...

    def seal_revision(self, revision: Revision) -> str: ...

    def revision_holds(self, revision: Revision) -> bool: ...

    def seal_answer(self, answer: GivenAnswer) -> str: ...

    def answer_holds(self, answer: GivenAnswer) -> bool: ...

    def seal_question(self, question: QuestionBack) -> str: ...

    def question_holds(self, question: QuestionBack) -> bool: ...

    def kind_salt(self, request_id: str) -> str:
        """What keeps the commitment to a request's kind from being guessed; depends on the key and the id."""
        ...

    def token_id(self, request_id: str) -> str:
        """The one `jti` of a request, for life; it depends on the key and the id and on nothing stored."""
        ...
