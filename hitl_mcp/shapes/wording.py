"""A grant in plain words: the deterministic text that an approver reads, and whose digest is sealed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from hitl_contract.action import Action
from hitl_contract.canonical import digest_of_bytes
from hitl_contract.display import headline_of, safe_text
from hitl_contract.display_parts import GUTTER, counted
from hitl_mcp.shapes.patterns import value_words
from hitl_mcp.shapes.shape import Shape, shown_values


@dataclass(frozen=True, slots=True)
class GrantBounds:
    """Everything besides the shape that bounds a grant."""

    agent: str
    person: str
    request_id: str
    display_digest: str
    rule: str
    max_risk: str
    uses: int
    expires_at: datetime


def wording_of(action: Action, shape: Shape, bounds: GrantBounds) -> str:
    """What is allowed, spelled out. The action is shown beside it: `display_digest` names that text."""
    shown = shown_values(action, shape)
    lines = [
        f"Allow the agent {safe_text(bounds.agent)}, without asking again:",
        GUTTER + headline_of(action),
        f"exactly as shown in the request {bounds.request_id} (text {bounds.display_digest})"
        + (", except that these may differ:" if shape.places else ", in every detail."),
    ]
    for pointer, pattern in shape.places:
        lines.append(f"{GUTTER}{safe_text(pointer)}: {pattern.words()}")
        lines.append(f"{GUTTER}    shown: {value_words(shown[pointer])}")
    lines += [
        f"At most {counted(bounds.uses, 'time')}, until {_moment(bounds.expires_at)}.",
        f"Only while the risk is at most {bounds.max_risk}, and while the rule {safe_text(bounds.rule)} asks "
        "for one approval on the same terms as now.",
        f"Each use counts as an approval by {safe_text(bounds.person)}, and is recorded. It ends at once "
        "when it is revoked, or when that person or the agent is suspended.",
    ]
    return "\n".join(lines) + "\n"


def wording_digest(wording: str) -> str:
    """The digest by which an approver confirms the words that they read."""
    return digest_of_bytes(wording.encode())


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
