"""The terms of an edited action: never weaker than those it was asked under, nor than its own: pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hitl_mcp.approvals.terms import OnTimeout, Stage, Terms


def stricter(asked: Terms, edited: Terms) -> Terms:
    """Terms that keep both: `asked`, of the action as it was, and `edited`, of the action as it is now.

    Silence never approves what a person changed.
    """
    return replace(
        asked,
        stages=_both(asked.stages, edited.stages),
        required_assurance=max(
            asked.required_assurance, edited.required_assurance, key=lambda assurance: assurance.rank
        ),
        separate_stages=asked.separate_stages or edited.separate_stages,
        denials_to_end=min(asked.denials_to_end, edited.denials_to_end),
        excluded=tuple(dict.fromkeys((*asked.excluded, *edited.excluded))),
        reason_required=asked.reason_required or edited.reason_required,
        minimum_review_seconds=max(asked.minimum_review_seconds, edited.minimum_review_seconds),
        on_timeout=OnTimeout.DENY,
        escalation=asked.escalation if asked.escalation == edited.escalation else (),
        may_edit=asked.may_edit and edited.may_edit,
        editor_counts=asked.editor_counts and edited.editor_counts,
    )


def _both(asked: tuple[Stage, ...], edited: tuple[Stage, ...]) -> tuple[Stage, ...]:
    if _covers(asked, edited):
        return asked
    if _covers(edited, asked):
        return edited
    return (*asked, *edited)


def _covers(wide: tuple[Stage, ...], narrow: tuple[Stage, ...]) -> bool:
    """Whether filling `wide` surely fills `narrow`: one stage of it asks for as many of each group."""
    if narrow == wide:
        return True
    return len(narrow) == 1 and any(not _counts(narrow[0]) - _counts(stage) for stage in wide)


def _counts(stage: Stage) -> Counter[str]:
    counts: Counter[str] = Counter()
    for quorum in stage.quorums:
        counts[quorum.group] += quorum.count
    return counts
