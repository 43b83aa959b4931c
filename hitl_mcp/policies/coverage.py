"""Whether one rule leaves nothing to another: everything that the second matches, the first matches too.

The answer yes is certain; no means that it could not be shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hitl_mcp.approvals.terms import RuleVerdict
from hitl_mcp.policies.patterns import is_literal, name_pattern, path_pattern
from hitl_mcp.policies.rules import Rule

_SETS: Final = ("action", "language", "profile", "method", "risk", "agent_role")
_PATTERNS: Final = ("server", "tool", "operation", "program", "agent", "environment", "path")
_SAME: Final = ("network", "trusted", "time", "when", "unless", "host", "package")


def covers(first: Rule, second: Rule) -> bool:
    """Whether no request can reach `second` because `first` decides each of them."""
    if not first.document.enabled or first.valid_from is not None or first.valid_until is not None:
        return False
    # An allowing rule matches more narrowly than another one that is written alike.
    if first.verdict is RuleVerdict.ALLOW and second.verdict is not RuleVerdict.ALLOW:
        narrow = (*_PATTERNS, "host", "package", "when", "unless")
        if any(getattr(first.stated, name) is not None for name in narrow):
            return False
    return (
        all(_set_covers(getattr(first.stated, name), getattr(second.stated, name)) for name in _SETS)
        and all(
            _patterns_cover(getattr(first.stated, name), getattr(second.stated, name), path=name == "path")
            for name in _PATTERNS
        )
        and all(getattr(first.stated, name) in (None, getattr(second.stated, name)) for name in _SAME)
    )


def _set_covers(first: Sequence[str] | None, second: Sequence[str] | None) -> bool:
    return first is None or (second is not None and set(second) <= set(first))


def _patterns_cover(first: Sequence[str] | None, second: Sequence[str] | None, *, path: bool) -> bool:
    if first is None:
        return True
    if second is None:
        return False
    compiled = path_pattern if path else name_pattern
    return all(
        wanted in first
        or (is_literal(wanted) and any(compiled(each, fold=False).fullmatch(wanted) for each in first))
        for wanted in second
    )
