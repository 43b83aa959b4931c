"""How the runs of CPython's own suite are judged; the runs themselves take too long for every change."""

from __future__ import annotations

import pytest

from benchmarks.cpython import Compared, verdict
from benchmarks.cpython_reasons import ELSEWHERE


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (0, "1 test OK.", "passed"),
        (2, "1 test failed:", "failed"),
        (3, "1 test altered the execution environment:", "failed"),
        (4, "== Tests result: NO TESTS RAN ==", "skipped"),
        (0, "1 test skipped:\n    test_winreg", "skipped"),
        (None, "", "too slow"),
    ],
)
def test_a_run_is_judged_by_what_the_suites_own_runner_says(
    code: int | None, said: str, expected: str
) -> None:
    assert verdict(code, said) == expected


def test_what_passes_outside_and_not_inside_needs_a_reason() -> None:
    assert Compared("test_grammar", "passed", "passed", "").explained
    assert Compared("test_grammar", "failed", "failed", "").explained
    assert not Compared("test_grammar", "passed", "failed", "").explained
    assert not Compared("test_grammar", "passed", "skipped", "").explained
    assert all(Compared(name, "passed", "failed", "").explained for name in ELSEWHERE)
    assert all(ELSEWHERE.values())
