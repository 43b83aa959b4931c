"""Programs that hide what they do are never taken for harmless ones."""

from __future__ import annotations

import pytest

from code_safety.analysis import analyse
from code_safety.findings import Severity
from hitl_contract.action import parse_action
from tests.code_safety.evasions import EVASIONS


@pytest.mark.parametrize(("language", "code"), EVASIONS)
def test_a_program_that_hides_what_it_does_is_found_to_be_dangerous(language: str, code: str) -> None:
    action = parse_action({"type": "code_execution", "language": language, "code": code})
    assert analyse(action).level.rank >= Severity.HIGH.rank


def test_there_are_enough_of_them() -> None:
    assert len(EVASIONS) >= 60
    assert len(set(EVASIONS)) == len(EVASIONS)
