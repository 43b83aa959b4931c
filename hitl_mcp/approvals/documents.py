"""The one text form of terms, assessments and capacities: what is stored and sealed, and read back.

Fields that have their default are left out, so that a later release may add fields without breaking the seal
of what an earlier one wrote. For the same reason a default, once released, never changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pydantic import TypeAdapter

from hitl_contract.canonical import canonical_json
from hitl_mcp.approvals.capacity import ActedAs, ActingFor
from hitl_mcp.approvals.terms import RiskAssessment, Terms


@dataclass(frozen=True, slots=True)
class _ActingForDocument:
    person: str
    groups: tuple[str, ...]
    delegation: str


@dataclass(frozen=True, slots=True)
class _ActedAsDocument:
    groups: tuple[str, ...]
    acting_for: tuple[_ActingForDocument, ...]


# The annotations of these values are strings; pydantic looks the names up in their own modules.
_TERMS: Final = TypeAdapter(Terms)
_ASSESSMENT: Final = TypeAdapter(RiskAssessment)
_ACTED_AS: Final = TypeAdapter(_ActedAsDocument)

# Rules are few and give the same terms again and again.
_KNOWN_TERMS: Final = 512


@lru_cache(_KNOWN_TERMS)
def terms_text(terms: Terms) -> str:
    return _TERMS.dump_json(terms, exclude_defaults=True).decode()


@lru_cache(_KNOWN_TERMS)
def terms_from_text(text: str) -> Terms:
    """Raises ValueError for what `terms_text` did not write."""
    return _TERMS.validate_json(text)


def assessment_text(assessment: RiskAssessment | None) -> str | None:
    if assessment is None:
        return None
    return _ASSESSMENT.dump_json(assessment, exclude_defaults=True).decode()


def assessment_from_text(text: str | None) -> RiskAssessment | None:
    """Raises ValueError for what `assessment_text` did not write."""
    return None if text is None else _ASSESSMENT.validate_json(text)


def acted_as_text(acted_as: ActedAs) -> str:
    """Sets have no order of their own; here they are sorted."""
    document = {
        "groups": sorted(acted_as.groups),
        "acting_for": [
            {"person": each.person_id, "groups": sorted(each.groups), "delegation": each.delegation_id}
            for each in acted_as.acting_for
        ],
    }
    return canonical_json(document).decode()


def acted_as_from_text(text: str) -> ActedAs:
    """Raises ValueError for what `acted_as_text` did not write."""
    document = _ACTED_AS.validate_json(text)
    return ActedAs(
        frozenset(document.groups),
        tuple(
            ActingFor(each.person, frozenset(each.groups), each.delegation) for each in document.acting_for
        ),
    )
