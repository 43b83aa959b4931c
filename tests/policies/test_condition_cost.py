"""What the loops of a condition may cost: bounded when rules load, and by the size of the action."""

from __future__ import annotations

import time

import pytest

from hitl_mcp.policies.conditions import Condition, Truth, Variables
from hitl_mcp.policies.errors import ConditionRefused

WITHIN = 'action.details.exists(a, action.details.exists(b, a == "k7" && b == "k8"))'


def of(keys: int, text: str = "") -> Variables:
    return Variables({"action": {"details": {f"k{n}": text for n in range(keys)}}})


def test_loops_within_bounds_are_decided() -> None:
    assert Condition(WITHIN).evaluate(of(60)) is Truth.TRUE
    assert Condition('action.details.exists(a, a == "none")').evaluate(of(1000)) is Truth.FALSE


@pytest.mark.parametrize(
    ("condition", "variables"),
    [
        (WITHIN, of(2000)),
        ('action.details.exists(a, a == "k1")', of(20_000)),
        ('action.details.exists(a, action.details[a].matches("(x+x+)+y"))', of(90, "x" * 100_000)),
    ],
    ids=["two loops over a large map", "one over a huge map", "many rounds over long texts"],
)
def test_a_condition_that_would_take_too_long_is_undecided_at_once(
    condition: str, variables: Variables
) -> None:
    compiled = Condition(condition)
    began = time.process_time()
    assert compiled.evaluate(variables) is Truth.UNKNOWN
    assert time.process_time() - began < 0.5


def test_what_is_large_costs_nothing_where_no_loop_goes_through_it() -> None:
    assert Condition("size(action.details) > 100").evaluate(of(20_000)) is Truth.TRUE


def test_the_depth_of_loops_is_that_of_the_code_whatever_texts_and_comments_say() -> None:
    told = "action.details.exists(a, // )))\n action.details.exists(b, a + b == ').exists(x, '))"
    assert Condition(told).evaluate(of(2000)) is Truth.UNKNOWN


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1].exists(a, [1].exists(b, [1].all(c, a == b && b == c)))", "nested 3 deep"),
        (" && ".join(["[1].exists(a, a == 1)"] * 9), "9 loops"),
    ],
)
def test_more_loops_than_may_be_are_refused_when_rules_load(text: str, reason: str) -> None:
    with pytest.raises(ConditionRefused, match=reason):
        Condition(text)
