"""Terms on which people decide, from how they are written: `like` followed, what is left out filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.approvals.terms import (
    ANY_APPROVER,
    EscalationLevel,
    GroupQuorum,
    OfferedCondition,
    QuietHours,
    Stage,
    Terms,
)
from hitl_mcp.policies.documents import AskDocument
from hitl_mcp.policies.rules import AGENT_OWNER, AskTerms


class TermsRefused(ValueError):
    """`like` names terms that do not exist or that lead back to themselves."""


@dataclass(frozen=True, slots=True)
class NamedTerms:
    """The terms of all files by their name."""

    documents: Mapping[str, AskDocument]

    def resolved(self, document: AskDocument) -> AskDocument:
        """The document with everything that `like` brings and that it does not state itself.

        Raises:
            TermsRefused: `like` leads nowhere, or in a circle.
        """
        followed: list[str] = []
        chain = [document]
        while (name := chain[-1].like) is not None:
            if name in followed:
                raise TermsRefused(f"has like: {name}, which leads back to itself: {' -> '.join(followed)}")
            if name not in self.documents:
                known = ", ".join(sorted(self.documents)) or "none"
                raise TermsRefused(f"has like: {name}, and there are no terms of this name (known: {known})")
            followed.append(name)
            chain.append(self.documents[name])
        stated: dict[str, object] = {}
        for each in reversed(chain):
            own = {name: getattr(each, name) for name in each.model_fields_set - {"like"}}
            if {"approvers", "stages"} & own.keys():
                stated = {
                    name: value for name, value in stated.items() if name not in ("approvers", "stages")
                }
            stated |= own
        return AskDocument.model_construct(_fields_set=None, **stated)


def ask_terms(document: AskDocument) -> AskTerms:
    """The terms of a resolved document."""
    excluded = tuple(name for name in document.exclude if name != AGENT_OWNER)
    quiet = document.quiet_hours
    terms = Terms(
        stages=_stages(document),
        separate_stages=document.separate_stages,
        denials_to_end=document.denials_to_end,
        excluded=tuple(map(person_key, excluded)),
        reason_required=document.reason_required,
        minimum_review_seconds=document.minimum_review,
        timeout_seconds=document.timeout,
        on_timeout=document.on_timeout,
        escalation=tuple(
            EscalationLevel(
                level.after, tuple(map(person_key, level.groups)), tuple(map(person_key, level.people))
            )
            for level in document.escalation
        ),
        reminders=document.reminders,
        quiet_hours=QuietHours(quiet.start, quiet.end, quiet.time_zone) if quiet is not None else None,
        conditions=tuple(
            OfferedCondition(condition.name, tuple(condition.limits.items()))
            for condition in document.conditions
        ),
        may_edit=document.may_edit,
        editor_counts=document.editor_counts,
    )
    return AskTerms(terms, document.assurance, AGENT_OWNER in document.exclude)


def _stages(document: AskDocument) -> tuple[Stage, ...]:
    if document.stages is not None:
        return tuple(_stage(stage) for stage in document.stages)
    if isinstance(document.approvers, int):
        return (_stage({ANY_APPROVER: document.approvers}),)
    return (_stage(document.approvers or {ANY_APPROVER: 1}),)


def _stage(seats: Mapping[str, int]) -> Stage:
    return Stage(tuple(GroupQuorum(person_key(group), count) for group, count in seats.items()))
