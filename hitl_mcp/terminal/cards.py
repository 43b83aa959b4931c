"""One request as a person sees it in a terminal: all of the action, and nothing that moves the cursor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from pydantic import TypeAdapter

from hitl_contract.action import Action, action_digest, parse_action
from hitl_contract.display import headline_of, render_action, safe_text
from hitl_mcp.approvals.models import RequestKind, RequestStatus, RiskLevel
from hitl_mcp.approvals.standing import Standing
from hitl_mcp.errors import HitlError
from hitl_mcp.terminal.standing_rows import standing_rows

if TYPE_CHECKING:
    from pydantic import JsonValue
    from rich.console import RenderableType
    from rich.text import Text

_RISK_STYLES = {
    RiskLevel.LOW: "green",
    RiskLevel.MEDIUM: "yellow",
    RiskLevel.HIGH: "red",
    RiskLevel.CRITICAL: "bold red",
}
_LABEL_WIDTH = 11
_STATUS_STYLES = {
    RequestStatus.PENDING: "yellow",
    RequestStatus.APPROVED: "green",
    RequestStatus.DENIED: "red",
    RequestStatus.TIMEOUT: "dim",
    RequestStatus.CANCELLED: "dim",
    RequestStatus.ANSWERED: "green",
}


_STANDING = TypeAdapter(Standing)


class ContradictoryAnswer(HitlError):
    """What was read about a request does not fit together."""


@dataclass(frozen=True)
class CardDecision:
    person: str
    verdict: str
    reason: str | None
    channel: str
    decided_at: datetime


@dataclass(frozen=True)
class CardQuestion:
    """A question that was asked back, and what the agent said."""

    asked_by: str
    question: str
    answer: str | None


@dataclass(frozen=True)
class RequestCard:
    """What an approver is shown, whichever way it was read."""

    request_id: str
    agent: str
    status: RequestStatus
    risk_level: RiskLevel
    justification: str
    summary: str | None
    action: Action
    created_at: datetime
    expires_at: datetime
    required_approvals: int
    received_approvals: int
    decisions: tuple[CardDecision, ...]
    review_url: str | None
    kind: RequestKind = RequestKind.ACTION
    answered: bool = False
    answer: JsonValue = None
    questions: tuple[CardQuestion, ...] = ()
    standing: Standing | None = None
    revocation: str | None = None
    drill: str | None = None

    @property
    def action_digest(self) -> str:
        """Computed here from the action that is shown, never taken from elsewhere."""
        return action_digest(self.action)

    def to_json(self) -> dict[str, JsonValue]:
        display = render_action(self.action)
        decisions: list[JsonValue] = [
            {
                "person": decision.person,
                "verdict": decision.verdict,
                "reason": decision.reason,
                "channel": decision.channel,
                "at": decision.decided_at.isoformat(),
            }
            for decision in self.decisions
        ]
        return {
            "request_id": self.request_id,
            "status": self.status.value,
            "agent": self.agent,
            "risk_level": self.risk_level.value,
            "justification": self.justification,
            "summary": self.summary,
            "action": self.action.model_dump(mode="json"),
            "action_digest": self.action_digest,
            "display": display.text,
            "display_digest": display.digest,
            "warnings": list(display.warnings),
            "created_at": self.created_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
            "approvals": {"required": self.required_approvals, "received": self.received_approvals},
            "decisions": decisions,
            "kind": self.kind.value,
            "answer": self.answer,
            "questions": [
                {"asked_by": each.asked_by, "question": each.question, "answer": each.answer}
                for each in self.questions
            ],
            "standing": None if self.standing is None else _STANDING.dump_python(self.standing, mode="json"),
            "review_url": self.review_url,
            "revocation": self.revocation,
            "drill": self.drill,
        }


def render_card(card: RequestCard, *, now: datetime) -> RenderableType:
    """The approval card."""
    from rich.box import ROUNDED
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("agent", Text(safe_text(card.agent), style="bold"))
    if card.summary:
        facts.add_row("summary", Text(safe_text(card.summary)))
    asks = card.kind is RequestKind.QUESTION
    facts.add_row("question" if asks else "why", Text(safe_text(card.justification, multiline=True)))
    facts.add_row("risk", Text(card.risk_level.value, style=_RISK_STYLES[card.risk_level]))
    facts.add_row("digest", Text(card.action_digest))
    if card.status is RequestStatus.PENDING:
        facts.add_row("ends", Text(f"{in_words(card.expires_at - now)} ({clock_time(card.expires_at)})"))
    else:
        facts.add_row("status", Text(card.status.value, style=_STATUS_STYLES[card.status]))
    if card.revocation is not None:
        facts.add_row("revoked", Text(card.revocation))
    if card.drill is not None:
        facts.add_row("drill", Text(safe_text(card.drill), style="bold"))
    if card.standing is not None and not asks:
        for label, text in standing_rows(card.standing, pending=card.status is RequestStatus.PENDING):
            facts.add_row(label, Text(text))
    for decision in card.decisions:
        facts.add_row(decision.verdict, _decision_text(decision))
    if card.answered:
        said = card.answer if isinstance(card.answer, str) else json.dumps(card.answer, ensure_ascii=False)
        facts.add_row("answer", Text(safe_text(said, multiline=True)))
    for each in card.questions:
        facts.add_row(
            "asked", Text(f"{safe_text(each.asked_by)}: {safe_text(each.question, multiline=True)}")
        )
        words = "(not answered)" if each.answer is None else safe_text(each.answer, multiline=True)
        facts.add_row("agent says", Text(words))
    display = Panel(
        display_lines(card.action),
        box=ROUNDED,
        border_style="dim",
        title="all that was asked" if asks else "what will run",
        title_align="left",
    )
    return Panel(
        Group(facts, display),
        box=ROUNDED,
        border_style=_RISK_STYLES[card.risk_level],
        title=Text(f"request {card.request_id}"),
        title_align="left",
    )


def display_lines(action: Action) -> RenderableType:
    """The deterministic rendering, its characters unchanged, its labels coloured.

    A line too long for the terminal goes on under its own text, so that no agent's text ever starts a line.
    """
    from rich.console import Group
    from rich.table import Table

    lines = render_action(action).text.removesuffix("\n").split("\n")
    rows: list[RenderableType] = []
    for index, line in enumerate(lines):
        label, text = _styled(line, headline=index == 0)
        if not label:
            rows.append(text)
            continue
        row = Table.grid()
        row.add_column(no_wrap=True, width=len(label.plain))
        row.add_column(overflow="fold")
        row.add_row(label, text)
        rows.append(row)
    return Group(*rows)


def _styled(line: str, *, headline: bool) -> tuple[Text, Text]:
    from rich.text import Text

    gutter, bar, rest = line.partition("| ")
    if headline:
        return Text(""), Text(line, "bold")
    if bar and not gutter.strip(" 0123456789"):
        return Text(gutter + bar, "dim"), Text(rest)
    if line.startswith("--- "):
        return Text(""), Text(line, "cyan")
    style = "bold yellow" if line.startswith("WARNING") else "dim"
    return Text(line[:_LABEL_WIDTH], style), Text(line[_LABEL_WIDTH:], style)


def render_list(cards: list[RequestCard], *, now: datetime) -> RenderableType:
    """Two lines for each request, the nearest deadline first."""
    from rich.console import Group
    from rich.text import Text

    entries: list[RenderableType] = []
    for card in sorted(cards, key=lambda card: card.expires_at):
        risk = (card.risk_level.value, _RISK_STYLES[card.risk_level])
        ends = (f"  ends {in_words(card.expires_at - now)}", "dim")
        entries.append(Text.assemble((card.request_id, "bold"), "  ", risk, " risk", ends))
        headline = headline_of(card.action)
        asks = " asks to "
        if card.kind is RequestKind.QUESTION:
            asks, headline = " asks: ", safe_text(card.justification).split("\n", 1)[0][:200]
        entries.append(Text.assemble("  ", safe_text(card.agent), (asks, "dim"), headline))
    return Group(*entries)


def in_words(remaining: timedelta) -> str:
    """A duration the way people say it, as "in 5 min"."""
    seconds = int(remaining.total_seconds())
    if seconds <= 0:
        return "now"
    if seconds < 120:
        return f"in {seconds} s"
    if seconds < 2 * 3600:
        return f"in {seconds // 60} min"
    if seconds < 2 * 86400:
        return f"in {seconds // 3600} h"
    return f"in {seconds // 86400} days"


def clock_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _decision_text(decision: CardDecision) -> Text:
    from rich.text import Text

    text = Text(f"{safe_text(decision.person)} ({decision.channel}, {clock_time(decision.decided_at)})")
    if decision.reason:
        text.append(f": {safe_text(decision.reason, multiline=True)}")
    return text


def moment(value: object) -> datetime:
    """A time as JSON carries it.

    Raises:
        ValueError: it is not one.
    """
    parsed = datetime.fromisoformat(str(value))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def decisions_from_json(entries: object) -> tuple[CardDecision, ...]:
    """The decisions as the REST API answers them."""
    return tuple(
        CardDecision(
            person=str(entry["approver"]),
            verdict=str(entry["verdict"]),
            reason=None if entry.get("reason") is None else str(entry["reason"]),
            channel=str(entry["channel"]),
            decided_at=moment(entry["at"]),
        )
        for entry in cast("list[Mapping[str, object]]", entries)
    )


def card_from_json(document: Mapping[str, Any]) -> RequestCard:
    """The card of a request as the REST API answers it to a person.

    Raises:
        ContradictoryAnswer: the digest in the answer is not the digest of the action in it.
    """
    action = parse_action(document["action"])
    if action_digest(action) != document["action_digest"]:
        raise ContradictoryAnswer(
            "The server's answer contradicts itself: the digest is not that of the action. Decide nothing."
        )
    return RequestCard(
        request_id=str(document["request_id"]),
        agent=str(document["agent"]),
        status=RequestStatus(document["status"]),
        risk_level=RiskLevel(document["risk_level"]),
        justification=str(document["justification"]),
        summary=document.get("summary"),
        action=action,
        created_at=moment(document["created_at"]),
        expires_at=moment(document["expires_at"]),
        required_approvals=int(document["approvals"]["required"]),
        received_approvals=int(document["approvals"]["received"]),
        decisions=decisions_from_json(document["decisions"]),
        review_url=document.get("review_url"),
        kind=RequestKind(document.get("kind", RequestKind.ACTION)),
        answered=document["status"] == RequestStatus.ANSWERED.value,
        answer=document.get("answer"),
        revocation=document.get("revocation"),
        drill=document.get("drill"),
        standing=_STANDING.validate_python(document["standing"]) if "standing" in document else None,
        questions=tuple(
            CardQuestion(str(each["asked_by"]), str(each["question"]), each["answer"])
            for each in document.get("questions", ())
        ),
    )
