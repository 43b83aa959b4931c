"""How a request stands, as rows of its card in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hitl_contract.display import safe_text
from hitl_mcp.approvals.standing import QuorumStanding, Standing
from hitl_mcp.approvals.terms import ANY_APPROVER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from hitl_mcp.interface.differences import DifferenceLine

_STYLES: Final = {"added": "green", "removed": "red", "gap": "dim", "same": ""}
_MARKS: Final = {"added": "+ ", "removed": "- ", "gap": "... ", "same": "  "}


def standing_rows(standing: Standing, *, pending: bool) -> Iterator[tuple[str, str]]:
    """Label and text of each row; every text is safe to print."""
    asks = f" asks {standing.asks}" if standing.asks else ""
    because = f". {standing.explanation}" if standing.explanation else ""
    yield "rule", safe_text(f"{standing.rule}{asks}{because}")
    if standing.needed:
        yield "needed", safe_text(standing.needed)
    if sum(quorum.count for stage in standing.stages for quorum in stage.quorums) > 1:
        for number, stage in enumerate(standing.stages, 1):
            seats = "; ".join(_seats(quorum) for quorum in stage.quorums)
            yield f"stage {number}", safe_text(f"{stage.state.value}: {seats}")
    for vote in standing.votes:
        level = vote.level.value if vote.level else "left out"
        yield "risk vote", safe_text(f"{vote.assessor}: {level}, {vote.reason}")
    if pending:
        for level in standing.escalation:
            who = ", ".join((*level.groups, *level.people))
            when = "now" if level.reached else f"from {_clock(level.at)}"
            yield "also asked", safe_text(f"{when}: {who}")
        if standing.minimum_review_seconds:
            yield "look first", f"{standing.minimum_review_seconds} s before an approval"
        if standing.reason_required:
            yield "reason", "has to be given"
        for offer in standing.conditions:
            limits = ", ".join(f"{path} {value}" for path, value in offer.limits)
            yield "condition", safe_text(f"{offer.name} ({limits})")
    for each in standing.revisions:
        said = f": {each.reason}" if each.reason else ""
        label = "asked" if each.revision == 0 else f"edit {each.revision}"
        yield label, safe_text(f"{each.editor} ({_clock(each.at)}){said} {each.action_digest}")


def render_difference(lines: Iterable[DifferenceLine]) -> RenderableType:
    """What an edit changes, line by line."""
    from rich.text import Text

    text = Text(overflow="fold")
    for line in lines:
        text.append(f"{_MARKS[line.kind]}{line.text}\n", _STYLES[line.kind])
    return text


def _seats(quorum: QuorumStanding) -> str:
    names = [
        f"{seat.person} for {', '.join(seat.acting_for)}" if seat.acting_for else seat.person
        for seat in quorum.taken
    ]
    group = "approvers" if quorum.group == ANY_APPROVER else f"from {quorum.group}"
    given = f" ({', '.join(names)})" if names else ""
    return f"{len(quorum.taken)} of {quorum.count} {group}{given}"


def _clock(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
