"""How an execution over stdio is judged beside its parts."""

from __future__ import annotations

import pytest

from benchmarks.whole_call import FLOOR, WARM, WHOLE, main, verdicts

NUMBERS = {WARM: 2.0, FLOOR: 2.0, WHOLE: 12.0, "served cold": 0.0}


def test_a_ratio_at_its_bound_is_met_and_beyond_it_is_not() -> None:
    assert [(one.value, one.met) for one in verdicts(NUMBERS)] == [(3, True), (0, True)]
    assert [one.met for one in verdicts({**NUMBERS, WHOLE: 12.1})] == [False, True]
    assert [one.met for one in verdicts({**NUMBERS, "served cold": 1.0})] == [True, False]


def test_arguments_that_are_none_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--rounds", "many"])
    assert "--rounds" in capsys.readouterr().err
