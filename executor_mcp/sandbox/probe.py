"""Asks a sandbox's interpreters themselves which versions they have, and what is installed for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import BaseModel, ConfigDict, TypeAdapter

from executor_mcp.sandbox.base import LanguageDescription, OutputSink, PreparedRun, SandboxJob, SandboxRun
from executor_mcp.sandbox.errors import SandboxUnavailable
from executor_mcp.sandbox.languages.registry import Languages
from executor_mcp.sandbox.usage import UsageSample
from hitl_contract.action_code import Language, Limits, NetworkMode, Profile

MAX_PACKAGES = 400
MAX_NAME_CHARACTERS = 200

_PROBE = """
import json, shutil, subprocess
probes = {}
for name, (interpreter, arguments) in input_data.items():
    path = shutil.which(interpreter, path="/usr/local/bin:/usr/bin:/bin")
    if path:
        probes[name] = subprocess.Popen([path, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
answers = {name: probe.communicate(timeout=20)[0] for name, probe in probes.items()}
{name: json.loads(answers[name]) for name, probe in probes.items() if probe.returncode == 0}
"""


class _Answer(BaseModel):
    """What a language's probe prints."""

    model_config = ConfigDict(frozen=True)

    version: str
    packages: tuple[str, ...]


_ANSWERS: TypeAdapter[dict[str, _Answer]] = TypeAdapter(dict[str, _Answer])


class NoSink:
    """For programs of this project's own, whose output nobody reads."""

    def stdout(self, chunk: bytes) -> None:
        """Versions are a result, not output."""

    def stderr(self, chunk: bytes) -> None:
        """See `stdout`."""

    def usage(self, sample: UsageSample) -> None:
        """See `stdout`."""

    def checkpoint(self, content: bytes) -> None:
        """See `stdout`."""


async def probe_languages(
    prepare: Callable[[SandboxJob], Awaitable[PreparedRun]],
    start: Callable[[PreparedRun, OutputSink], Awaitable[SandboxRun]],
    languages: Languages,
) -> tuple[LanguageDescription, ...]:
    """Those whose interpreter is there and answers. Raises SandboxUnavailable."""
    job = SandboxJob(
        execution_id="probe",
        language=Language.PYTHON,
        code=_PROBE,
        input_data={one.name.value: [one.interpreter, list(one.probe)] for one in languages},
        files=(),
        limits=Limits(),
        profile=Profile.RESTRICTED,
        network_mode=NetworkMode.NONE,
    )
    outcome = await (await start(await prepare(job), NoSink())).wait()
    if outcome.result_json is None:
        reason = (
            outcome.detail or outcome.stderr.decode("utf-8", "replace").strip()[-200:] or outcome.termination
        )
        raise SandboxUnavailable(
            f"the interpreters in the sandbox could not be asked for their versions: {reason}"
        )
    answers = _ANSWERS.validate_json(outcome.result_json)
    return tuple(
        LanguageDescription(
            language=one.name,
            version=answers[one.name.value].version,
            packages=tuple(
                package[:MAX_NAME_CHARACTERS] for package in answers[one.name.value].packages[:MAX_PACKAGES]
            ),
            input=one.input,
            result=one.result,
        )
        for one in languages
        if one.name.value in answers
    )
