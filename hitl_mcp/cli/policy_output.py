"""What the `hitl policy` commands print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from hitl_contract.display import safe_text
from hitl_mcp.approvals.terms import RuleVerdict, Ruling
from hitl_mcp.policies.cases import CaseResult
from hitl_mcp.policies.explaining import in_words
from hitl_mcp.policies.simulation import Simulation

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN_CHANGES = 50


def ruling_document(ruling: Ruling) -> dict[str, JsonValue]:
    """A ruling for scripts."""
    terms = ruling.terms
    return {
        "rule": ruling.rule,
        "verdict": ruling.verdict.value,
        "explanation": ruling.explanation,
        "risk_level": ruling.risk.level.value,
        "votes": [
            {
                "assessor": vote.assessor,
                "level": vote.level.value if vote.level is not None else None,
                "reason": vote.reason,
            }
            for vote in ruling.risk.votes
        ],
        "approvals": terms.required_approvals,
        "assurance": terms.required_assurance.value,
        "stages": [{quorum.group: quorum.count for quorum in stage.quorums} for stage in terms.stages],
    }


def ruling_text(ruling: Ruling) -> str:
    """A ruling for people."""
    votes = [
        f"  {vote.assessor}: {vote.level.value if vote.level is not None else 'no opinion'}"
        f" ({safe_text(vote.reason)})"
        for vote in ruling.risk.votes
    ]
    return "\n".join(
        [
            f"{ruling.verdict.value}  {ruling.rule}",
            ruling.explanation,
            in_words(ruling),
            f"Risk: {ruling.risk.level.value}",
            *votes,
        ]
    )


def case_document(result: CaseResult) -> dict[str, JsonValue]:
    """One case for scripts."""
    return {
        "name": result.case.document.name,
        "line": result.case.line,
        "passed": not result.problems,
        "problems": list(result.problems),
        "ruling": ruling_document(result.ruling),
    }


def case_table(results: Sequence[CaseResult]) -> RenderableType:
    """All cases for people."""
    from rich.table import Table
    from rich.text import Text

    failed = sum(bool(result.problems) for result in results)
    table = Table(caption=f"{len(results) - failed} passed, {failed} failed", caption_justify="left")
    for title in ("", "case", "verdict", "rule", "risk"):
        table.add_column(title, overflow="fold")
    for result in results:
        name = Text(safe_text(result.case.document.name))
        for problem in result.problems:
            name.append(f"\nline {result.case.line}: {problem}", "bold red")
        state = Text("failed", "bold red") if result.problems else Text("ok", "green")
        ruling = result.ruling
        table.add_row(state, name, ruling.verdict.value, ruling.rule, ruling.risk.level.value)
    return table


def simulation_document(simulation: Simulation) -> dict[str, JsonValue]:
    """A simulation for scripts."""
    return {
        "replayed": simulation.replayed,
        "approvals_asked_for": simulation.asked_people,
        "approvals_that_would_be_asked_for": simulation.would_ask_people,
        "counts": [
            {"before": before.value, "after": after.value, "requests": count}
            for (before, after), count in sorted(simulation.counts.items())
        ],
        "changed": [
            {
                "request_id": each.request_id,
                "agent": each.agent,
                "action_type": each.action_type,
                "risk_level": each.risk.value,
                "created_at": each.created_at.isoformat(),
                "before": {
                    "verdict": each.before.verdict.value,
                    "rule": each.before.rule,
                    "approvals": each.before.approvals,
                },
                "after": {
                    "verdict": each.after.verdict.value,
                    "rule": each.after.rule,
                    "approvals": each.after.approvals,
                },
            }
            for each in simulation.changed
        ],
    }


def simulation_view(simulation: Simulation) -> RenderableType:
    """A simulation for people: how much changes, and the first requests for which it does."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    counts = simulation.counts
    before = {verdict: sum(counts[verdict, each] for each in RuleVerdict) for verdict in RuleVerdict}
    after = {verdict: sum(counts[each, verdict] for each in RuleVerdict) for verdict in RuleVerdict}
    summary = Text(
        f"{simulation.replayed} requests replayed, {len(simulation.changed)} would go differently.\n"
        + "\n".join(
            f"  {each.value}: {before[each]} before, {after[each]} with these rules" for each in before
        )
        + f"\n  approvals asked for: {simulation.asked_people} before, {simulation.would_ask_people} then\n"
    )
    if not simulation.changed:
        return summary
    table = Table()
    for title in ("request", "agent", "action", "risk", "before", "with these rules"):
        table.add_column(title, overflow="fold")
    for each in simulation.changed[:_SHOWN_CHANGES]:
        table.add_row(
            each.request_id,
            each.agent,
            each.action_type,
            each.risk.value,
            f"{each.before.verdict.value} ({each.before.rule})",
            f"{each.after.verdict.value} ({each.after.rule})",
        )
    more = len(simulation.changed) - _SHOWN_CHANGES
    return Group(summary, table, Text(f"and {more} more; --json has all" if more > 0 else ""))
