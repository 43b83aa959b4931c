"""The JOB frame: one program as the supervisor is given it, with the command that runs it."""

from __future__ import annotations

import base64
import json
import posixpath
from dataclasses import dataclass
from importlib import resources

from executor_mcp.sandbox.amounts import (
    MAX_FOLDER_DEPTH,
    MAX_RETURNED_FILES,
    MAX_SCANNED_ENTRIES,
    Amounts,
)
from executor_mcp.sandbox.base import SandboxJob
from executor_mcp.sandbox.frames import FrameKind, encode_frame
from hitl_contract.action_code import InputFile, Language

WORK_DIRECTORY = "/tmp/work"  # noqa: S108 - inside the sandbox
INPUT_PATH = "/tmp/input.json"  # noqa: S108
HOSTS = b"127.0.0.1 localhost sandbox\n::1 localhost\n"
"""/etc/hosts of every sandbox."""

PROGRAM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class BoundsInside:
    """What the supervisor has to bound because nothing outside of it does.

    `processes_per_user`: by rlimit, where the kernel counts a sandbox's processes apart; `processes` and
    `memory`: by its watch, and memory by an rlimit of each process besides.
    """

    memory: bool = False
    processes: bool = False
    processes_per_user: bool = False


@dataclass(frozen=True)
class _Runtime:
    interpreter: str
    options: tuple[str, ...]
    driver: str | None
    program_name: str


_SUPERVISOR_MODULES = ("supervisor_wire", "supervisor_parts", "supervisor_files", "supervisor")
_WARM_MODULES = (
    "supervisor_wire",
    "supervisor_parts",
    "supervisor_files",
    "warm_child",
    "warm_drivers",
    "warm_supervisor",
)
_PRELOADED_DRIVERS = ("python_driver.py", "sql_driver.py")
_PYTHON_OPTIONS = ("-I", "-B", "-X", "utf8")

_RUNTIMES = {
    Language.PYTHON: _Runtime("python3", _PYTHON_OPTIONS, "python_driver.py", "program.py"),
    Language.NODEJS: _Runtime("node", (), "node_driver.cjs", "program.mjs"),
    Language.BASH: _Runtime("bash", ("--noprofile", "--norc"), None, "program.sh"),
    Language.SQL: _Runtime("python3", _PYTHON_OPTIONS, "sql_driver.py", "program.sql"),
}

INTERPRETERS = tuple(dict.fromkeys(runtime.interpreter for runtime in _RUNTIMES.values()))


def interpreter_of(language: Language) -> str:
    return _RUNTIMES[language].interpreter


def driver_source(name: str) -> str:
    """Source text of a file that runs inside a sandbox."""
    return (resources.files("executor_mcp.sandbox") / "drivers" / name).read_text(encoding="utf-8")


def supervisor_program() -> str:
    """The supervisor's modules as one program for `python3 -c`: in a sandbox there is no file to import."""
    return _program(_SUPERVISOR_MODULES, "")


def warm_supervisor_command(socket_path: str, compiled_path: str | None) -> list[str]:
    """The command of a warm sandbox's process 1, with the options that its programs run under."""
    if compiled_path is not None:
        return ["python3", *_PYTHON_OPTIONS, compiled_path, socket_path]
    modules, drivers = warm_supervisor_sources()
    fill = f"    if name == 'warm_drivers': sys.modules[name].DRIVERS.update({drivers!r})\n"
    return ["python3", *_PYTHON_OPTIONS, "-c", _program(tuple(modules), fill), socket_path]


def warm_supervisor_sources() -> tuple[dict[str, str], dict[str, str]]:
    """The modules of a warm sandbox's supervisor by name, and the drivers it loads in advance by path."""
    modules = {name: driver_source(f"{name}.py") for name in _WARM_MODULES}
    return modules, {_driver_path(name): driver_source(name) for name in _PRELOADED_DRIVERS}


def _program(modules: tuple[str, ...], after_each: str) -> str:
    sources = {name: driver_source(f"{name}.py") for name in modules}
    return (
        "import sys, types\n"
        f"for name, source in {sources!r}.items():\n"
        "    sys.modules[name] = types.ModuleType(name)\n"
        "    exec(compile(source, name, 'exec'), sys.modules[name].__dict__)\n" + after_each
    )


def _driver_path(name: str) -> str:
    return f"/tmp/.{name}"  # noqa: S108


def file_content(file: InputFile) -> bytes:
    if file.content is not None:
        return file.content.encode("utf-8")
    return base64.b64decode(file.content_base64 or "", validate=True)


def amounts_of(job: SandboxJob) -> Amounts:
    """The job's limits as amounts, with room for all that is laid into the sandbox for it."""
    given = (
        len(job.code.encode()) + len(_input_json(job)) + sum(len(file_content(file)) for file in job.files)
    )
    return Amounts.of(job.limits, given + 65536)


def warm_job_frame(job: SandboxJob, amounts: Amounts, bounds: BoundsInside) -> bytes:
    """`job_frame` for a sandbox that has the Python drivers already."""
    return job_frame(job, amounts, bounds, preloaded=_PRELOADED_DRIVERS)


def job_frame(
    job: SandboxJob, amounts: Amounts, bounds: BoundsInside, *, preloaded: tuple[str, ...] = ()
) -> bytes:
    """Everything that the supervisor needs, as one frame."""
    runtime = _RUNTIMES[job.language]
    program = _free_name(runtime.program_name, {file.path for file in job.files})
    driver_path = None if runtime.driver is None else _driver_path(runtime.driver)
    given_driver = None if runtime.driver is None or runtime.driver in preloaded else runtime.driver
    arguments = [*runtime.options, *([driver_path] if driver_path else []), f"{WORK_DIRECTORY}/{program}"]
    files = [(file.path, file_content(file)) for file in job.files]
    files.append((program, job.code.encode("utf-8")))
    message = {
        "interpreter": runtime.interpreter,
        "arguments": arguments,
        "environment": _environment(amounts),
        "driver_path": driver_path,
        "driver": None if given_driver is None else driver_source(given_driver),
        "input_json": _input_json(job),
        "files": [(path, base64.b64encode(content).decode()) for path, content in files],
        "output_bytes": amounts.output_bytes,
        "result_bytes": amounts.result_bytes,
        "resource_limits": amounts.resource_limits(
            count_processes=bounds.processes_per_user, memory_per_process=bounds.memory
        ),
        "watched_memory_bytes": amounts.memory_bytes if bounds.memory else None,
        "watched_processes": amounts.processes if bounds.processes else None,
        "file_bounds": {
            "files": MAX_RETURNED_FILES,
            "bytes": amounts.returned_bytes,
            "entries": MAX_SCANNED_ENTRIES,
            "depth": MAX_FOLDER_DEPTH,
        },
    }
    return encode_frame(FrameKind.JOB, json.dumps(message).encode())


def _environment(amounts: Amounts) -> dict[str, str]:
    return {
        "PATH": PROGRAM_PATH,
        "HOME": WORK_DIRECTORY,
        "TMPDIR": posixpath.dirname(WORK_DIRECTORY),
        "LANG": "C.UTF-8",
        "INPUT_DATA": INPUT_PATH,
        "RESULT_BYTES": str(amounts.result_bytes),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _input_json(job: SandboxJob) -> str:
    return json.dumps(job.input_data)


def _free_name(name: str, taken: set[str]) -> str:
    """The program lies in the work directory too, beside its files and never in place of one."""
    folders = {path.split("/", 1)[0] for path in taken}
    stem, extension = posixpath.splitext(name)
    candidates = (name, *(f"{stem}-{number}{extension}" for number in range(1, len(taken) + 2)))
    return next(candidate for candidate in candidates if candidate not in taken | folders)
