"""The warm supervisor as the image's own Python has compiled it: once an image, not once a container.

The compiling is a job like any other, in a sandbox of its own that has run nothing before; its result is
bytes that this process passes on and never loads.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from typing import cast

from executor_mcp.sandbox.base import OutputSink, PreparedRun, SandboxJob, SandboxRun
from executor_mcp.sandbox.errors import SandboxError
from executor_mcp.sandbox.languages.registry import Languages
from executor_mcp.sandbox.probe import NoSink
from executor_mcp.sandbox.supervisor_program import warm_supervisor_sources
from hitl_contract.action_code import Language, Limits, NetworkMode, Profile

_COMPILE = """
import base64, marshal
from importlib._bootstrap_external import _code_to_timestamp_pyc
def compiled(sources):
    codes = {name: compile(text, name, "exec", dont_inherit=True) for name, text in sources.items()}
    return {name: marshal.dumps(code) for name, code in codes.items()}
program = input_data["program"].replace("MODULES", repr(compiled(input_data["modules"])))
program = program.replace("DRIVERS_BY_PATH", repr(compiled(input_data["drivers"])))
base64.b64encode(_code_to_timestamp_pyc(compile(program, "supervisor", "exec", dont_inherit=True))).decode()
"""
_PROGRAM = """
import marshal, sys, types
for name, code in MODULES.items():
    sys.modules[name] = types.ModuleType(name)
    exec(marshal.loads(code), sys.modules[name].__dict__)
    if name == "warm_drivers":
        sys.modules[name].DRIVERS.update(DRIVERS_BY_PATH)
"""


class CompiledSupervisors:
    """Compiled supervisors by image."""

    def __init__(
        self,
        prepare: Callable[[SandboxJob], Awaitable[PreparedRun]],
        start: Callable[[PreparedRun, OutputSink], Awaitable[SandboxRun]],
        languages: Languages,
    ) -> None:
        self._languages = languages
        self._prepare = prepare
        self._start = start
        self._by_image: dict[str, bytes | None] = {}

    async def of(self, image: str) -> bytes | None:
        """None where it could not be compiled: a container then does it itself."""
        if image not in self._by_image:
            try:
                self._by_image[image] = await self._compile(image)
            except SandboxError:
                return None
        return self._by_image[image]

    async def _compile(self, image: str) -> bytes | None:
        modules, drivers = warm_supervisor_sources(self._languages)
        job = SandboxJob(
            execution_id="compile",
            language=Language.PYTHON,
            code=_COMPILE,
            input_data={"program": _PROGRAM, "modules": {**modules}, "drivers": {**drivers}},
            files=(),
            limits=Limits(),
            profile=Profile.RESTRICTED,
            network_mode=NetworkMode.NONE,
            runtime=image,
        )
        outcome = await (await self._start(await self._prepare(job), NoSink())).wait()
        if outcome.result_json is None:
            return None
        return base64.b64decode(cast("str", json.loads(outcome.result_json)))
