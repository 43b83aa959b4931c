"""How the runs of CPython's own suite are judged; the runs themselves take too long for every change."""

from __future__ import annotations

import pytest

from benchmarks.cpython import Compared, verdict
from benchmarks.cpython_reasons import Backend, reasons


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (0, "1 test OK.", "passed"),
        (2, "1 test failed:", "failed"),
        (3, "1 test altered the execution environment:", "failed"),
        (4, "== Tests result: NO TESTS RAN ==", "skipped"),
        (0, "1 test skipped:\n    test_winreg", "skipped"),
        (None, "", "too slow"),
        (
            1,
            "[1/1] test_io\nTimeout (0:01:00)!\nThread 0x00007f7e81b982c0 (most recent call first):",
            "too slow",
        ),
    ],
)
def test_a_run_is_judged_by_what_the_suites_own_runner_says(
    code: int | None, said: str, expected: str
) -> None:
    assert verdict(code, said) == expected


@pytest.mark.parametrize("backend", ["bubblewrap", "docker"])
def test_what_passes_outside_and_not_inside_needs_a_reason(backend: Backend) -> None:
    assert Compared("test_grammar", "passed", "passed", "", None).explained
    assert Compared("test_grammar", "failed", "failed", "", None).explained
    assert not Compared("test_grammar", "passed", "failed", "", None).explained
    assert not Compared("test_grammar", "passed", "skipped", "", None).explained
    known = reasons(backend)
    assert all(Compared(name, "passed", "failed", "", reason).explained for name, reason in known.items())
    assert known
    assert all(known.values())
