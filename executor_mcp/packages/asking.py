"""What an agent can do about packages that a program names and that are not there."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import ValidationError

from executor_mcp.packages.addition_rules import AdditionRules
from executor_mcp.packages.requirements import Wanted, exactly
from hitl_contract.action_code import Language
from hitl_contract.action_packages import PackageAddition


def how_to_ask(
    missing: Sequence[Wanted], rules: AdditionRules, language: Language
) -> tuple[str, PackageAddition | None]:
    """In words, and the very action where each of them names one version.

    What else it would install is not known yet: `validate_code` of that action says it.
    """
    if not all(rules.may_name(one.name, language) for one in missing):
        names = " ".join(exactly(one.name, one.exact_version or "VERSION", language) for one in missing)
        if language is Language.NODEJS:
            names = f"--language nodejs {names}"
        return f"have the operator run: hitl-executor packages add {names}", None
    exact = tuple(_exact(one, language) for one in missing)
    document: dict[str, object] = {"type": "package_addition", "language": str(language), "packages": exact}
    try:
        action = PackageAddition.model_validate(document)
    except ValidationError:
        return (
            "ask people to approve (request_approval) that they are added, in exact versions: "
            f"{json.dumps(document)}; first give that action to validate_code, which says what it has to "
            "name besides",
            None,
        )
    return (
        "ask people to approve (request_approval) that they are added, with an action of its own: "
        f"{action.model_dump_json()}; first give that action to validate_code, which says what it has to "
        "name besides",
        action,
    )


def _exact(wanted: Wanted, language: Language) -> str:
    extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
    return exactly(f"{wanted.name}{extras}", wanted.exact_version or "VERSION", language)
