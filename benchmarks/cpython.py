"""`python -m benchmarks cpython`: CPython's own test suite outside of a sandbox and inside.

Needs the suite of the system's Python, in Debian a package such as libpython3.11-testsuite. A module that
passes outside has to pass inside, but for those that `reasons` names for the backend. In docker the image's
Python has to be of the same build as the system's.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from benchmarks.cpython_reasons import reasons
from executor_mcp.sandbox.base import Sandbox, SandboxJob
from executor_mcp.sandbox.bubblewrap import BubblewrapSandbox
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.errors import SandboxError
from executor_mcp.sandbox.settings import DEFAULT_IMAGE
from executor_mcp.sandbox.usage import UsageSample
from hitl_contract.action_code import Language, Limits, NetworkMode, Profile

Verdict = Literal["passed", "skipped", "failed", "too slow"]

PYTHON: Final = "/usr/bin/python3"
_IMAGE: Final = "hitl-sandbox-cpython:latest"
_NOBODY: Final = 65534
_PASSED, _NOTHING_RUN = 0, 4


@dataclass(frozen=True, slots=True)
class Compared:
    module: str
    outside: Verdict
    inside: Verdict
    said: str
    reason: str | None
    """Why it differs, where that is known."""

    @property
    def explained(self) -> bool:
        return self.inside == self.outside or self.outside != "passed" or self.reason is not None


class _Unheard:
    def stdout(self, chunk: bytes) -> None:
        """Read at the end."""

    def stderr(self, chunk: bytes) -> None:
        """See `stdout`."""

    def usage(self, sample: UsageSample) -> None:
        """See `stdout`."""

    def checkpoint(self, content: bytes) -> None:
        """See `stdout`."""


def suite() -> Path | None:
    """Where the test suite of the system's Python lies; None where it is not installed."""
    found = subprocess.run(
        [PYTHON, "-c", "import test.support; print(test.__path__[0])"],
        capture_output=True,
        text=True,
        check=False,
    )
    folder = Path(found.stdout.strip())
    return folder if found.returncode == 0 and (folder / "test_grammar.py").exists() else None


def modules(folder: Path) -> list[str]:
    """The modules and packages of tests, by name."""
    names = (path.name.removesuffix(".py") for path in folder.glob("test_*"))
    return sorted(name for name in names if name.isidentifier())


def verdict(code: int | None, said: str) -> Verdict:
    """What the suite's own runner says with its exit code, and with a line where a module skips itself."""
    if code is None or "timed out (" in said or "\nTimeout (" in f"\n{said}":
        return "too slow"
    if code == _NOTHING_RUN or "test skipped" in said or "(resource denied)" in said:
        return "skipped"
    return "passed" if code == _PASSED else "failed"


def _command(module: str, seconds: float) -> list[str]:
    return ["python3", "-m", "test", "-W", "--timeout", str(seconds), module]


async def outside(module: str, seconds: float) -> Verdict:
    """Runs the module as an unprivileged user in a directory of its own."""
    folder = Path(tempfile.mkdtemp(prefix="cpython-"))
    root = os.geteuid() == 0
    if root:
        os.chown(folder, _NOBODY, _NOBODY)
    try:
        process = await asyncio.create_subprocess_exec(
            PYTHON,
            *_command(module, seconds)[1:],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder)},
            start_new_session=True,
            user=_NOBODY if root else None,
            group=_NOBODY if root else None,
            extra_groups=[] if root else None,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), seconds + 5)
        except TimeoutError:
            os.killpg(process.pid, 9)
            await process.wait()
            return "too slow"
        return verdict(process.returncode, said.decode("utf-8", "replace"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def inside(sandbox: Sandbox, module: str, seconds: float) -> tuple[Verdict, str]:
    """Runs the module in a sandbox of its own; what it said too."""
    job = SandboxJob(
        execution_id=f"exe_{uuid.uuid4().hex}",
        language=Language.BASH,
        # A convenience of the sandbox and no bound of it: without it the suite is run as outside.
        code=f"unset PYTHONDONTWRITEBYTECODE; exec {' '.join(_command(module, seconds))}",
        input_data=None,
        files=(),
        limits=Limits(wall_seconds=seconds + 5, memory_mb=1024, cpus=2, pids=256, disk_mb=512),
        profile=Profile.RESTRICTED,
        network_mode=NetworkMode.NONE,
    )
    try:
        outcome = await (await sandbox.start(await sandbox.prepare(job), _Unheard())).wait()
    except SandboxError as error:
        return "failed", str(error)
    said = (outcome.stdout + outcome.stderr).decode("utf-8", "replace")
    if outcome.termination not in ("exited", "timed_out"):
        return "failed", f"{said}\n{outcome.termination}"
    return verdict(outcome.exit_code, said), said


async def compare(
    sandbox: Sandbox, known: Mapping[str, str], names: Sequence[str], seconds: float, at_a_time: int
) -> list[Compared]:
    """Every module outside, and inside where it passed outside. `known`: why modules differ, by module."""
    room = asyncio.Semaphore(at_a_time)
    compared: list[Compared] = []

    async def one(name: str) -> None:
        async with room:
            there = await outside(name, seconds)
            here, said = await inside(sandbox, name, seconds) if there == "passed" else (there, "")
        compared.append(Compared(name, there, here, said, known.get(name)))
        if here != there:
            print(f"{name}: {there} outside, {here} inside: {known.get(name, 'NOT EXPLAINED')}", flush=True)

    await asyncio.gather(*(one(name) for name in names))
    return [each if each.explained else await _again(sandbox, each, seconds) for each in compared]


async def _again(sandbox: Sandbox, found: Compared, seconds: float) -> Compared:
    """Alone: side by side some modules miss their own deadlines."""
    here, said = await inside(sandbox, found.module, seconds)
    return replace(found, inside=here, said=said)


def _same_python_in(image: str) -> bool:
    """The build too: a security update of Python changes what its suite asks for."""
    asked = ["python3", "-VV"]
    there = ["docker", "run", "--rm", "--network", "none", "--entrypoint", asked[0], image, *asked[1:]]
    builds = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for command in ([PYTHON, *asked[1:]], there)
    ]
    return builds[0] == builds[1]


def _image_with(folder: Path) -> None:
    """An image of its own with the suite in it: what is tested is the sandbox, not the image.

    Some modules of the suite run what lies in folders of tests beside it.
    """
    library = folder.parent
    parts = [folder, *library.glob("*/test"), *library.glob("*/tests")]
    recipe = f"FROM {DEFAULT_IMAGE}\nCOPY library {library}\n".encode()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(recipe)
        archive.addfile(entry, io.BytesIO(recipe))
        for part in parts:
            archive.add(part, Path("library") / part.relative_to(library))
    subprocess.run(["docker", "build", "-q", "-t", _IMAGE, "-"], input=context.getvalue(), check=True)


async def _run(arguments: argparse.Namespace) -> int:
    folder = suite()
    if folder is None:
        print("the test suite of the system's Python is missing: apt-get install libpython3.11-testsuite")
        return 3
    if arguments.backend == "docker":
        if not _same_python_in(DEFAULT_IMAGE):
            print("Python is of another build in the image: apt-get upgrade; hitl-executor image build")
            return 3
        _image_with(folder)
        sandbox: Sandbox = DockerSandbox(DockerEngine(), image=_IMAGE, instance="cpython")
    else:
        sandbox = BubblewrapSandbox()
    names = arguments.modules or modules(folder)
    compared = await compare(
        sandbox, reasons(arguments.backend), names, arguments.seconds, arguments.at_a_time
    )
    await sandbox.close()
    return _report(compared, arguments.backend, show=bool(arguments.modules))


def _report(compared: Sequence[Compared], backend: str, *, show: bool) -> int:
    passed = [each for each in compared if each.outside == "passed"]
    same = [each for each in passed if each.inside == "passed"]
    unexplained = [each for each in passed if not each.explained]
    for each in unexplained if show else ():
        print(f"== {each.module}\n{each.said[-4000:]}")
    print(
        f"{len(compared)} modules; {len(passed)} pass outside, {len(same)} of them pass in {backend}; "
        f"{len(passed) - len(same) - len(unexplained)} do not for a known reason, "
        f"{len(unexplained)} for none: {_names(unexplained)}"
    )
    print(
        f"not compared, as they took longer than that outside: "
        f"{_names(each for each in compared if each.outside == 'too slow')}"
    )
    print(f"in the list of reasons, and pass: {_names(each for each in same if each.reason is not None)}")
    return 1 if unexplained else 0


def _names(compared: Iterable[Compared]) -> str:
    return ", ".join(sorted(each.module for each in compared)) or "none"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every difference has its reason, 1 when one has none, 3 when they cannot be compared."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cpython", description=__doc__)
    parser.add_argument("modules", nargs="*", help="these alone, and what they say when they fail")
    parser.add_argument("--backend", choices=("bubblewrap", "docker"), default="bubblewrap")
    parser.add_argument("--seconds", type=float, default=280, help="longest time for a module (default: 280)")
    parser.add_argument("--at-a-time", type=int, default=2, help="modules side by side (default: 2)")
    return asyncio.run(_run(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
