"""The list of promises, the tests behind them and what readers are told agree with each other."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.repository import ROOT
from tests.guarantees import PROMISES, Promise, Standing

PROMISED = [
    *(f"A{number}" for number in range(1, 15)),
    *(f"T{number}" for number in range(1, 7)),
    *(f"E{number}" for number in range(1, 13)),
    *(f"D{number}" for number in range(1, 5)),
    *(f"W{number}" for number in range(1, 5)),
]
TABLE_ROW = re.compile(
    r"^\| (?P<name>[ATEDW]\d+) \| (?P<text>.+?) \| (?P<standing>[^|]+?) \| (?P<missing>.*?) ?\|$", re.M
)
MENTION = re.compile(r"\b[ATEDW]\d{1,2}\b")


def functions_in(path: str) -> set[str]:
    """The names of a module's tests: functions, and what hypothesis makes of a state machine."""
    tree = ast.parse((ROOT / path).read_text())
    functions = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    cases = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return {name for name in functions | cases if name.startswith(("test_", "Test"))}


def test_every_promise_is_listed_once_and_in_order() -> None:
    assert [promise.name for promise in PROMISES] == PROMISED


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_every_test_a_promise_names_exists(promise: Promise) -> None:
    for node in promise.tests:
        path, separator, name = node.partition("::")
        assert (ROOT / path).is_file(), f"{promise.name} names {path}, which does not exist"
        functions = functions_in(path)
        assert functions, f"{promise.name} names {path}, which has no tests"
        assert not separator or name in functions, f"{promise.name} names {node}, which does not exist"


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_a_promise_has_tests_or_says_why_not(promise: Promise) -> None:
    assert promise.tests or promise.missing, f"{promise.name} has neither tests nor a reason"


def test_readers_are_shown_the_same_promises_with_the_same_standing() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text()
    shown = {row["name"]: (row["text"], row["standing"], row["missing"]) for row in TABLE_ROW.finditer(page)}
    assert shown == {
        promise.name: (promise.text, promise.standing.value, promise.missing) for promise in PROMISES
    }


def test_the_readme_claims_no_promise_that_is_not_kept() -> None:
    kept = {promise.name for promise in PROMISES if promise.standing is Standing.KEPT}
    claimed = set(MENTION.findall((ROOT / "README.md").read_text())) & set(PROMISED)
    assert claimed <= kept
