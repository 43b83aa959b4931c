"""What every sandbox is held to, in the burst tier: all of it in one outer container, as it would be used."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.sandbox.burst_support import OfOneAgent, make_burst
from tests.sandbox.conformance import test_bounds, test_files, test_isolation, test_languages, test_life

pytestmark = pytest.mark.timeout(420)
INSTANCE = f"burst-conformance-{os.getpid()}"
# These look at a backend by its name, or end the sandbox that the others share; test_burst_life has its own.
_OWN = {
    "test_what_a_killed_executor_left_is_ended_and_removed",
    "test_what_a_living_executor_runs_is_no_leftover",
    "test_closing_ends_what_is_running",
}


@dataclass(frozen=True)
class Case:
    """One conformance test with one set of its parameters."""

    name: str
    function: Callable[..., Coroutine[Any, Any, None]]
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        return self.name


def _cases(module: ModuleType) -> Iterator[Case]:
    for name, function in vars(module).items():
        if not name.startswith("test_") or name in _OWN or not inspect.iscoroutinefunction(function):
            continue
        marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
        for number, chosen in enumerate(product(*(mark.args[1] for mark in marks))):
            arguments: dict[str, Any] = {}
            for mark, values in zip(marks, chosen, strict=True):
                names = mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0]
                values = getattr(values, "values", values) if hasattr(values, "marks") else values
                given = (values,) if len(names) == 1 and not hasattr(values, "__len__") else values
                given = (values,) if len(names) == 1 and not isinstance(values, tuple) else given
                arguments |= {key.strip(): value for key, value in zip(names, given, strict=True)}
            yield Case(f"{name}[{number}]" if marks else name, function, arguments)


CASES = [
    case
    for module in (test_languages, test_files, test_isolation, test_life, test_bounds)
    for case in _cases(module)
]


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, docker_image: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, BaseException | None]:
    """Runs those that are asked for, whichever test comes first."""
    del docker_image
    asked = {
        str(item.callspec.params["case"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec")
    }
    cases = [case for case in CASES if str(case) in asked]
    return asyncio.run(_run(cases, tmp_path_factory.mktemp("burst")))


async def _run(cases: list[Case], folder: Path) -> dict[str, BaseException | None]:
    sandbox = OfOneAgent(make_burst(INSTANCE))
    found: dict[str, BaseException | None] = {}
    try:
        for case in cases:
            wanted = inspect.signature(case.function).parameters
            extra = {"tmp_path": folder} if "tmp_path" in wanted else {}
            try:
                await case.function(sandbox=sandbox, **extra, **case.arguments)
            except (Exception, pytest.fail.Exception) as error:
                found[str(case)] = error
            else:
                found[str(case)] = None
        report = sandbox.sandbox.report()
        assert report is not None
        assert (report.launched, report.condemned) == (1, 0), report
    finally:
        await sandbox.close()
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_tier_is_held_to_what_every_sandbox_is(
    case: Case, results: dict[str, BaseException | None]
) -> None:
    error = results[str(case)]
    if error is not None:
        raise error
