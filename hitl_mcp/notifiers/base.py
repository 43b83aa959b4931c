"""The contract between the dispatcher and a notification channel.

Above: `dispatcher` (deliveries, receivers) and `building`. Below: one module or package per channel. A
channel knows how to show a card and how to hear an answer; it decides nothing, stores nothing, and never
sees a request that is not in the card it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from pydantic import JsonValue

from hitl_contract.display import Display
from hitl_mcp.approvals.models import Assurance, RequestKind, RequestStatus, RiskLevel, Verdict

_CHAT_RISKS = frozenset({RiskLevel.LOW, RiskLevel.MEDIUM})


@dataclass(frozen=True)
class CardQuestion:
    """A question that was asked back, and the agent's answer if it gave one: short, one line, inert."""

    asked_by: str
    question: str
    answer: str | None


@dataclass(frozen=True)
class Card:
    """Everything a channel may show of one request. All text in it is already inert (`display.safe_text`)."""

    request_id: str
    version: int
    status: RequestStatus
    agent: str
    risk_level: RiskLevel
    justification: str
    summary: str | None
    display: Display
    action_digest: str
    created_at: datetime
    expires_at: datetime
    review_url: str
    required_assurance: Assurance
    nonce: str
    """Unguessable name of this card in this channel: what its buttons carry."""
    approvals_required: int = 1
    approved_by: tuple[str, ...] = ()
    decided_by: tuple[str, ...] = ()
    reason: str | None = None
    revoked: bool = False
    escalated_to: tuple[str, ...] = ()
    """Groups and people who are asked besides the first ones, because the answer takes long."""
    kind: RequestKind = RequestKind.ACTION
    rule: str | None = None
    """What the rule asks and how much of it is given, in one line."""
    risk_reason: str | None = None
    """Why the risk is what it is: what the first of the highest assessors says."""
    edited_by: str | None = None
    """Who wrote what the card shows, where it is not what the agent asked for."""
    reason_required: bool = False
    questions: tuple[CardQuestion, ...] = ()
    """The latest questions asked back."""
    choices: tuple[str, ...] = ()
    """What a question may be answered with by a tap; empty where that takes the page."""
    others: tuple[Card, ...] = ()
    """Further requests that this card carries. Its buttons decide each that is pending, and no other."""

    @property
    def items(self) -> tuple[Card, ...]:
        """Every request on the card, each as a card of its own."""
        return (replace(self, others=()), *self.others)

    @property
    def open_items(self) -> tuple[Card, ...]:
        """Those that wait for an answer."""
        return tuple(item for item in self.items if item.status is RequestStatus.PENDING)

    @property
    def is_open(self) -> bool:
        """Whether any of it waits for an answer."""
        return any(item.status is RequestStatus.PENDING for item in (self, *self.others))

    @property
    def chat_may_approve(self) -> bool:
        """Whether a chat may approve: not high risk, nor where a rule asks for more proof or for a reason."""
        if self.kind is RequestKind.QUESTION or self.reason_required:
            return False
        return self.risk_level in _CHAT_RISKS and Assurance.CHAT.satisfies(self.required_assurance)

    @property
    def chat_may_answer(self) -> bool:
        """Whether a chat may take the answer to a question: one of choices that a button can stand for."""
        return bool(self.choices) and Assurance.CHAT.satisfies(self.required_assurance)


@dataclass(frozen=True)
class CardReference:
    """Where a channel put a card, in that channel's own terms (JSON, stored as it is)."""

    data: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


@dataclass(frozen=True)
class Call:
    """People are called to a card once more. `number` is the same for the same call.

    `begun_before`: an earlier try may have reached people; where the service can tell, it is looked for.
    """

    number: int
    begun_before: bool = False


@dataclass(frozen=True)
class CheckResult:
    """Whether a channel can be used now; `detail` says as whom, or what is missing and how to mend it."""

    channel: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class CardTap:
    """A button pressed on a card."""

    channel: str
    external_user_id: str
    callback_id: str
    """The service's own identifier of this press: the same one delivered twice is handled once."""
    nonce: str
    verdict: Verdict
    reason: str | None = None


@dataclass(frozen=True)
class CardChoice:
    """A choice pressed on the card of a question; `choice` counts from 0."""

    channel: str
    external_user_id: str
    callback_id: str
    nonce: str
    choice: int


@dataclass(frozen=True)
class TypedDecision:
    """A decision typed as a command that names the request."""

    channel: str
    external_user_id: str
    callback_id: str
    request_id: str
    verdict: Verdict
    reason: str | None = None


@dataclass(frozen=True)
class InboxAnswer:
    """What to tell the person: short, inert, free of anything they may not see."""

    text: str
    decided: bool = False
    ended: bool = False
    """The request is over: buttons that are still there may be taken away."""


class DecisionInbox(Protocol):
    """Where a channel brings what it hears. Nothing that a person does wrong is raised: it is answered."""

    async def tap(self, tap: CardTap) -> InboxAnswer:
        """Decide by a button, or say politely why not; what is refused is audited."""
        ...

    async def choose(self, choice: CardChoice) -> InboxAnswer:
        """Answer a question by a button, or say politely why not; what is refused is audited."""
        ...

    async def examine(self, tap: CardTap) -> InboxAnswer | None:
        """The refusal that `tap` would meet, or None. For a dialog that opens before the decision."""
        ...

    async def typed(self, decision: TypedDecision) -> InboxAnswer:
        """Decide by a command, under the same rules as the card of that request in this channel."""
        ...

    async def pending(self, channel: str, external_user_id: str) -> InboxAnswer:
        """The requests that wait for an answer."""
        ...

    async def status(self, channel: str, external_user_id: str, request_id: str | None) -> InboxAnswer:
        """How one request stands, or how many wait."""
        ...


class Notifier(Protocol):
    """One channel. Its failures are `errors.NotifierError`, whose kinds tell the dispatcher what to do."""

    @property
    def channel(self) -> str: ...

    async def check(self) -> CheckResult:
        """Reachable and authorised? Never raises for a channel's failure."""
        ...

    def offers_approve(self, card: Card) -> bool:
        """Whether this channel shows the whole card and may approve a request of its risk. Pure.

        Of a question: whether it shows the whole of it, and its choices can be tapped.
        Of a card that carries several: whether it shows each of them whole and may approve each.
        """
        ...

    def holds(self, card: Card) -> bool:
        """Whether one message can name every request on the card. Pure."""
        ...

    async def send(self, card: Card) -> CardReference:
        """Show a new card."""
        ...

    async def find(self, card: Card) -> CardReference | None:
        """The card that an earlier `send`, whose answer was lost, did show, where the service can tell."""
        ...

    async def update(self, card: Card, reference: CardReference) -> CardReference:
        """Show the card's new content in the same place."""
        ...

    async def remind(self, card: Card, reference: CardReference, call: Call) -> None:
        """Call people to this open card, which shows all there is to know; the call decides nothing.

        Raises CardGone when the card is no longer there.
        """
        ...

    async def close(self, card: Card, reference: CardReference) -> None:
        """Show how the request ended and by whom, with no buttons. Safe to repeat."""
        ...

    async def receive(self, inbox: DecisionInbox) -> None:
        """Bring taps and commands to the inbox until cancelled; survives anything that a service may send."""
        ...

    async def aclose(self) -> None:
        """Release connections. The notifier may be used again afterwards."""
        ...
