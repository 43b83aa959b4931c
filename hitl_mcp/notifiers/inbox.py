"""Where taps and commands of all channels become decisions, or polite and audited refusals.

A decision from a channel is accepted when, in this order:

1. this very press was not handled before;
2. the account is linked to an active person;
3. the card is one that this server made for this channel, and shows what its row says (see `nonces`);
4. the request is still pending and this person has not decided it;
5. for an approval, that card offered it: nothing hidden, risk within what a chat may approve;
6. the approval service accepts it, with the digest of what the card showed.

A tap on a card that carries several is held to the same, request by request: see `shared_taps`. So is a
choice on the card of a question, which is answered with the words that the digest is of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from hitl_contract.display import safe_text
from hitl_mcp.approvals.batches import BatchOutcome
from hitl_mcp.approvals.dialogue import AnswerInput
from hitl_mcp.approvals.errors import AlreadyEnded, ApprovalError, RequestNotFound
from hitl_mcp.approvals.human_questions import is_question, question_of
from hitl_mcp.approvals.models import (
    Assurance,
    BatchInput,
    DecisionInput,
    Page,
    RequestRecord,
    RequestStatus,
    Verdict,
)
from hitl_mcp.approvals.ports import AuditTrail
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.notifiers.base import CardChoice, CardTap, InboxAnswer, TypedDecision
from hitl_mcp.notifiers.card_faces import CardFace, CardFaces
from hitl_mcp.notifiers.card_store import CardRow, CardStore
from hitl_mcp.notifiers.cards import build_card
from hitl_mcp.notifiers.nonces import CardNonces
from hitl_mcp.notifiers.replies import how_it_ended, line_of, no_such_request, not_linked, thanks
from hitl_mcp.notifiers.shared_taps import all_over, batch_of, just_changed, outcome_of, refusals_of
from hitl_mcp.notifiers.text import shortened
from hitl_mcp.notifiers.wording import facts, headline
from hitl_mcp.storage.schema import handled_callbacks
from server_kit.clock import Clock
from server_kit.database.base import Database

REFUSED = "notification.decision_refused"
_LISTED = 10
_REMEMBERED_FOR = timedelta(days=30)
_REASON_LIMIT = 500
_NOT_HERE = InboxAnswer("This request cannot be approved here. Open its review page and decide there.")
_NOT_CURRENT = InboxAnswer("This card is not current any more. Nothing was decided.", ended=True)
_NO_CHOICE = InboxAnswer("There is no such choice. Nothing was answered.")
_LOOK_AGAIN = InboxAnswer(
    "This card has just changed: it shows more than a moment ago. Nothing was decided. Look at it again."
)


class Service(Protocol):
    """What is needed of `approvals.service.ApprovalService`."""

    async def get(self, request_id: str) -> RequestRecord: ...

    async def decide(self, decision: DecisionInput) -> RequestRecord: ...

    async def answer(self, answer: AnswerInput) -> RequestRecord: ...

    async def decide_batch(self, batch: BatchInput) -> BatchOutcome: ...

    async def list_for_people(
        self, *, status: RequestStatus | None, limit: int, cursor: str | None
    ) -> Page: ...


class Accounts(Protocol):
    """Whose account on a channel is whose; implemented by `identity.people.PeopleDirectory`."""

    async def resolve(self, channel: str, external_id: str) -> str | None: ...


class _Refusal(Exception):
    """A decision that is not accepted, with what to answer and what to put on record."""

    def __init__(self, code: str, answer: InboxAnswer, request_id: str = "unknown") -> None:
        super().__init__(code)
        self.code = code
        self.answer = answer
        self.request_id = request_id


@dataclass(frozen=True)
class _Press:
    """A tap or a typed decision, reduced to what both have."""

    channel: str
    external_user_id: str
    callback_id: str
    verdict: Verdict
    reason: str | None
    answers: bool = False


class ApprovalInbox:
    """Implements `base.DecisionInbox` over the approval service."""

    def __init__(
        self,
        *,
        service: Service,
        accounts: Accounts,
        cards: CardStore,
        faces: CardFaces,
        nonces: CardNonces,
        database: Database,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._service = service
        self._accounts = accounts
        self._cards = cards
        self._faces = faces
        self._nonces = nonces
        self._database = database
        self._audit = audit
        self._clock = clock

    async def tap(self, tap: CardTap) -> InboxAnswer:
        press, carries = _press_of(tap), False
        try:
            await self._check_fresh(press)  # 1
            person = await self._person(press)  # 2
            face = await self._faces.of_nonce(tap.nonce, tap.channel)
            if face is not None:
                answer = await self._decide_all(press, person, self._checked(face))
            else:
                card = await self._tapped(tap)  # 3
                carries = card.carries
                answer = await self._decide(press, person, card)
        except _Refusal as refusal:
            answer = await self._refused(press, refusal)
        await self._remember(press)
        # Taking its buttons away would take them from the others that the card shows by now.
        return replace(answer, ended=False) if carries else answer

    async def choose(self, choice: CardChoice) -> InboxAnswer:
        press = _Press(
            choice.channel, choice.external_user_id, choice.callback_id, Verdict.APPROVE, None, answers=True
        )
        try:
            await self._check_fresh(press)  # 1
            person = await self._person(press)  # 2
            card = await self._tapped(choice)  # 3
            answer = await self._answer(press, person, card, choice.choice)
        except _Refusal as refusal:
            answer = await self._refused(press, refusal)
        await self._remember(press)
        return answer

    async def examine(self, tap: CardTap) -> InboxAnswer | None:
        press = _press_of(tap)
        try:
            person = await self._person(press)
            face = await self._faces.of_nonce(tap.nonce, tap.channel)
            if face is not None:
                await self._check_any_open(self._checked(face))
            else:
                await self._check_open(press, person, await self._tapped(tap))
        except _Refusal as refusal:
            return await self._refused(press, refusal)
        return None

    async def typed(self, decision: TypedDecision) -> InboxAnswer:
        press = _press_of(decision)
        try:
            await self._check_fresh(press)  # 1
            person = await self._person(press)  # 2
            card = await self._named(decision)  # 3
            answer = await self._decide(press, person, card)
        except _Refusal as refusal:
            answer = await self._refused(press, refusal)
        await self._remember(press)
        return answer

    async def pending(self, channel: str, external_user_id: str) -> InboxAnswer:
        if await self._accounts.resolve(channel, external_user_id) is None:
            return not_linked(channel, external_user_id)
        page = await self._service.list_for_people(status=RequestStatus.PENDING, limit=_LISTED, cursor=None)
        if not page.records:
            return InboxAnswer("Nothing waits for an answer.")
        lines = [line_of(record) for record in page.records]
        if page.next_cursor is not None:
            lines.append("… and more: see the review pages.")
        return InboxAnswer("\n".join(lines))

    async def status(self, channel: str, external_user_id: str, request_id: str | None) -> InboxAnswer:
        if await self._accounts.resolve(channel, external_user_id) is None:
            return not_linked(channel, external_user_id)
        if request_id is None:
            page = await self._service.list_for_people(status=RequestStatus.PENDING, limit=100, cursor=None)
            count = f"{len(page.records)}{' or more' if page.next_cursor else ''}"
            return InboxAnswer(f"The approval server answers. Requests waiting: {count}.")
        try:
            record = await self._service.get(request_id)
        except RequestNotFound:
            return no_such_request(request_id)
        card = build_card(record, review_url="", nonce="")
        lines = [headline(card), *(f"{label}: {value}" for label, value in facts(card))]
        return InboxAnswer("\n".join(lines), ended=record.request.status.is_terminal)

    async def _decide(self, press: _Press, person: str, card: CardRow) -> InboxAnswer:
        await self._check_open(press, person, card)  # 4, 5
        decision = DecisionInput(
            request_id=card.request_id,
            person=person,
            verdict=press.verdict,
            reason=press.reason,
            channel=press.channel,
            assurance=Assurance.CHAT,
            action_digest=card.action_digest,
            evidence={"account": press.external_user_id, "callback": press.callback_id, "card": card.nonce},
        )
        try:
            record = await self._service.decide(decision)  # 6
        except AlreadyEnded as error:
            raise _Refusal("ended", how_it_ended(error.record), card.request_id) from error
        except ApprovalError as error:
            raise _Refusal(type(error).__name__, InboxAnswer(str(error)), card.request_id) from error
        return thanks(record, press.verdict)

    async def _answer(self, press: _Press, person: str, card: CardRow, choice: int) -> InboxAnswer:
        record = await self._check_open(press, person, card)  # 4, 5
        action = record.request.action
        choices = question_of(action).choices if is_question(action) else ()
        if not 0 <= choice < len(choices):
            raise _Refusal("no_such_choice", _NO_CHOICE, card.request_id)
        given = AnswerInput(
            request_id=card.request_id,
            person=person,
            answer=choices[choice],
            channel=press.channel,
            assurance=Assurance.CHAT,
            action_digest=card.action_digest,
            evidence={"account": press.external_user_id, "callback": press.callback_id, "card": card.nonce},
        )
        try:
            await self._service.answer(given)  # 6
        except AlreadyEnded as error:
            raise _Refusal("ended", how_it_ended(error.record), card.request_id) from error
        except ApprovalError as error:
            raise _Refusal(type(error).__name__, InboxAnswer(str(error)), card.request_id) from error
        return InboxAnswer("Answered.", decided=True, ended=True)

    async def _decide_all(self, press: _Press, person: str, face: CardFace) -> InboxAnswer:
        approves = press.verdict is Verdict.APPROVE
        if approves and not face.offers_approve:  # 5
            raise _Refusal("approve_not_offered", _NOT_HERE, face.request_id)
        if approves and just_changed(face, self._clock.now()):
            raise _Refusal("just_changed", _LOOK_AGAIN, face.request_id)
        evidence = {"account": press.external_user_id, "callback": press.callback_id, "card": face.nonce}
        outcome = await self._service.decide_batch(  # 4, 6: of each
            batch_of(face, person, press.verdict, press.reason, evidence)
        )
        for request_id, code in refusals_of(outcome):
            await self._refused(press, _Refusal(code, InboxAnswer(""), request_id))
        return outcome_of(outcome, press.verdict)

    async def _check_any_open(self, face: CardFace) -> None:
        records = [await self._service.get(request_id) for request_id, _ in face.items]
        if all_over(records):
            raise _Refusal(
                "ended", InboxAnswer("These requests have ended. Nothing changed."), face.request_id
            )

    async def _check_open(self, press: _Press, person: str, card: CardRow) -> RequestRecord:
        try:
            record = await self._service.get(card.request_id)
        except RequestNotFound as error:
            raise _Refusal("no_request", no_such_request(card.request_id), card.request_id) from error
        if record.request.status.is_terminal:  # 4
            raise _Refusal("ended", how_it_ended(record), card.request_id)
        if any(person_key(decision.person) == person_key(person) for decision in record.standing):
            answer = InboxAnswer("You have decided this request already. Nothing changed.")
            raise _Refusal("decided_before", answer, card.request_id)
        if press.verdict is Verdict.APPROVE and not card.offers_approve:  # 5
            raise _Refusal("approve_not_offered", _NOT_HERE, card.request_id)
        return record

    async def _check_fresh(self, press: _Press) -> None:
        query = select(handled_callbacks.c.handled_at).where(
            handled_callbacks.c.channel == press.channel,
            handled_callbacks.c.callback_id == _callback_key(press),
        )

        async def operation(connection: AsyncConnection) -> bool:
            return (await connection.execute(query)).one_or_none() is not None

        if await self._database.read(operation):
            raise _Refusal("repeated", InboxAnswer("This was handled already. Nothing changed."))

    async def _remember(self, press: _Press) -> None:
        now = self._clock.now()
        insert = sqlite_insert if self._database.dialect == "sqlite" else postgresql_insert
        values = {"channel": press.channel, "callback_id": _callback_key(press), "handled_at": now}

        async def operation(connection: AsyncConnection) -> None:
            # Delivered twice at once, both find it new; then the state machine lets only one of them count.
            await connection.execute(insert(handled_callbacks).values(**values).on_conflict_do_nothing())
            old = handled_callbacks.c.handled_at < now - _REMEMBERED_FOR
            await connection.execute(delete(handled_callbacks).where(old))

        await self._database.write(operation)

    async def _person(self, press: _Press) -> str:
        person = await self._accounts.resolve(press.channel, press.external_user_id)
        if person is None:
            raise _Refusal("unknown_account", not_linked(press.channel, press.external_user_id))
        return person

    async def _tapped(self, tap: CardTap | CardChoice) -> CardRow:
        card = await self._cards.of_nonce(tap.nonce, tap.channel)
        if card is None or not self._made_here(card):
            raise _Refusal("unknown_card", _NOT_CURRENT)
        return card

    def _checked(self, face: CardFace) -> CardFace:
        made_here = self._nonces.matches_shared(  # 3
            face.nonce,
            channel=face.channel,
            request_id=face.request_id,
            items=face.items,
            offers_approve=face.offers_approve,
        )
        if not made_here:
            raise _Refusal("unknown_card", _NOT_CURRENT)
        return face

    async def _named(self, decision: TypedDecision) -> CardRow:
        card = await self._cards.of_request(decision.request_id, decision.channel)
        if card is None:
            raise _Refusal("no_card", no_such_request(decision.request_id))
        if not self._made_here(card):
            answer = InboxAnswer("What this channel shows of the request is damaged. Use its review page.")
            raise _Refusal("unknown_card", answer, card.request_id)
        return card

    def _made_here(self, card: CardRow) -> bool:
        return self._nonces.matches(
            card.nonce,
            channel=card.channel,
            request_id=card.request_id,
            action_digest=card.action_digest,
            offers_approve=card.offers_approve,
        )

    async def _refused(self, press: _Press, refusal: _Refusal) -> InboxAnswer:
        details: Mapping[str, str] = {
            "channel": press.channel,
            "account": shortened(safe_text(press.external_user_id), 80),
            "verdict": "answer" if press.answers else press.verdict.value,
            "refusal": refusal.code,
        }

        async def operation(connection: AsyncConnection) -> None:
            await self._audit.append(
                connection,
                REFUSED,
                actor=f"channel:{press.channel}",
                subject=refusal.request_id,
                details=dict(details),
            )

        await self._database.write(operation)
        return refusal.answer


def _press_of(item: CardTap | TypedDecision) -> _Press:
    reason = None if item.reason is None else shortened(item.reason, _REASON_LIMIT)
    return _Press(item.channel, item.external_user_id, item.callback_id, item.verdict, reason)


def _callback_key(press: _Press) -> str:
    return shortened(press.callback_id, 200)
