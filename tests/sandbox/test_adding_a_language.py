"""docs/languages.md says how a language is added; this adds one that way, to every kind of sandbox."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from executor_mcp.sandbox.base import Sandbox
from executor_mcp.sandbox.errors import SandboxRefused
from executor_mcp.sandbox.languages.language import Driver, SandboxLanguage
from executor_mcp.sandbox.languages.registry import BUILT_IN, Languages
from hitl_contract.action_code import Language
from tests.attacks.sandbox import host
from tests.sandbox.conftest import make_sandbox
from tests.sandbox.support import begin, make_job, result_of

SUMS = cast("Language", type("Sums", (str,), {"value": "sums"})("sums"))
_DRIVER = """
import json, os, sys
with open(sys.argv[1]) as file:
    total = sum(map(float, file.read().split()))
with open(os.environ["INPUT_DATA"]) as file:
    total += json.load(file) or 0
os.write(3, json.dumps({"sum": total, "unit": os.environ["UNIT"]}).encode())
"""
TOY = SandboxLanguage(
    name=SUMS,
    interpreter="python3",
    program_name="program.sums",
    probe=("-c", 'print(\'{"version": "1.0", "packages": ["nothing==0"]}\')'),
    options=("-I",),
    driver=Driver("sums_driver.py", text=_DRIVER),
    environment=lambda job: {"UNIT": "many" if job.input_data else "none"},
    input="a number",
    result="the sum",
)


@pytest.fixture
def languages() -> Languages:
    return Languages((*BUILT_IN, TOY))


@pytest.mark.timeout(420)
@pytest.mark.parametrize("backend", ["bubblewrap", "docker", "docker-warm"])
async def test_a_language_of_one_module_runs_and_is_described(
    backend: str, docker_image: str, languages: Languages
) -> None:
    sandbox = make_sandbox(backend, languages=languages)
    try:
        job = replace(make_job("python", "1 2\n3.5", input_data=4), language=SUMS)
        outcome = await (await begin(sandbox, job)).wait()
        assert result_of(outcome) == {"sum": 10.5, "unit": "many"}
        described = {one.language: one for one in (await sandbox.describe()).languages}
        assert (described[SUMS].version, described[SUMS].packages) == ("1.0", ("nothing==0",))
        assert (described[SUMS].input, described[SUMS].result) == ("a number", "the sum")
        assert set(described) == {*Language, SUMS}
    finally:
        await sandbox.close()


async def test_a_language_that_is_not_in_the_set_is_refused_before_anything_starts() -> None:
    sandbox: Sandbox = make_sandbox("bubblewrap", languages=Languages(tuple(BUILT_IN)[:1]))
    job = make_job("bash", "true")
    with pytest.raises(SandboxRefused, match=r"bash is not offered by this sandbox; offered: python"):
        await sandbox.prepare(job)
    await sandbox.close()
    assert host.control_groups_of(job.execution_id) == []


def test_two_languages_of_one_name_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="same name"):
        Languages((TOY, TOY))
