"""Conditions that an approver attaches: the same action with less allowed to it, never more: pure.

1. Only a program has limits to tighten.
2. A limit only goes down, the network only gets narrower, the profile only stricter; nothing else changes.
3. The result is checked against the original as a whole, whatever made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from hitl_contract.action import Action, parse_action
from hitl_contract.action_code import CodeExecution, NetworkMode, Profile
from hitl_contract.errors import InvalidAction
from hitl_mcp.approvals.errors import InvalidSubmission
from hitl_mcp.approvals.models import Conditions, LimitValue
from hitl_mcp.approvals.terms import Terms

_PROFILES: Final = list(Profile)
_LIMITS: Final = "limits."


def tightened(action: Action, terms: Terms, conditions: Conditions) -> Action:
    """`action` under the conditions that the rule offers by name and those that the approver set.

    A limit of an offered condition that is met already changes nothing; one that the approver set must be
    tighter than what is asked for.

    Raises InvalidSubmission for a name that is not offered, what is no limit, and what is not tighter.
    """
    if not isinstance(action, CodeExecution):  # 1
        raise InvalidSubmission(
            "conditions", f"cannot be attached to {action.type}; only a program has limits"
        )
    offered = {each.name: each for each in terms.conditions}
    result: CodeExecution = action
    for name in conditions.offered:
        if name not in offered:
            known = ", ".join(sorted(offered)) or "none"
            raise InvalidSubmission("conditions", f"{name[:80]!r} is not offered here; offered are: {known}")
        for path, value in offered[name].limits:
            changed = _applied(result, path, value)
            if is_tighter(result, changed):
                result = changed
    for path, value in conditions.limits.items():
        changed = _applied(result, path, value)
        if not is_tighter(result, changed):
            raise InvalidSubmission(
                "conditions", f"{path[:80]} = {value!r} is not tighter than what is asked for"
            )
        result = changed
    if result != action and not is_tighter(action, result):  # 3
        raise InvalidSubmission("conditions", "are not tighter than what is asked for")
    return result


def is_tighter(before: Action, after: Action) -> bool:
    """Whether `after` is `before` with strictly less allowed to it and nothing else changed."""
    if not isinstance(before, CodeExecution) or not isinstance(after, CodeExecution) or before == after:
        return False
    same = after.model_copy(
        update={"limits": before.limits, "network": before.network, "profile": before.profile}
    )
    limits = zip(_limits(before).values(), _limits(after).values(), strict=True)
    return (
        same == before
        and all(new <= old for old, new in limits)
        and set(after.network.domains) <= set(before.network.domains)
        and (after.network.mode is NetworkMode.NONE or after.network.mode is before.network.mode)
        and _PROFILES.index(after.profile) <= _PROFILES.index(before.profile)
    )


def _limits(action: CodeExecution) -> dict[str, float]:
    return action.limits.model_dump()


def _applied(action: CodeExecution, path: str, value: LimitValue) -> CodeExecution:
    document = action.model_dump()
    if path.startswith(_LIMITS) and path.removeprefix(_LIMITS) in document["limits"]:
        document["limits"][path.removeprefix(_LIMITS)] = value
    elif path == "profile":
        document["profile"] = value
    elif path == "network.mode":
        domains = () if value == NetworkMode.NONE.value else action.network.domains
        document["network"] = {"mode": value, "domains": domains}
    elif path == "network.domains":
        domains = (value,) if isinstance(value, str) else value
        document["network"] = {"mode": action.network.mode, "domains": domains}
    else:
        raise InvalidSubmission(
            "conditions",
            f"{path[:80]!r} is no limit; use limits.NAME, network.mode, network.domains or profile",
        )
    try:
        return cast("CodeExecution", parse_action(document))
    except InvalidAction as error:
        raise InvalidSubmission("conditions", f"{path} = {value!r} is not possible: {error}") from error


def described(conditions: Conditions) -> str:
    """The conditions as people read them in the record of a decision."""
    limits: Mapping[str, LimitValue] = conditions.limits
    parts = [*conditions.offered, *(f"{path} = {_plain(value)}" for path, value in limits.items())]
    return "; ".join(parts)


def _plain(value: LimitValue) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
