"""The JOB frame: one program as the supervisor is given it, with the command that runs it."""

from __future__ import annotations

import base64
import json
import posixpath
from dataclasses import dataclass, replace
from typing import NamedTuple

from executor_mcp.sandbox.amounts import (
    MAX_FOLDER_DEPTH,
    MAX_RETURNED_FILES,
    MAX_SCANNED_ENTRIES,
    Amounts,
)
from executor_mcp.sandbox.base import SandboxJob
from executor_mcp.sandbox.frames import FrameKind, encode_frame
from executor_mcp.sandbox.host_directories import DOOR, DOOR_SOCKET, python_path
from executor_mcp.sandbox.languages.language import SandboxLanguage
from executor_mcp.sandbox.languages.registry import Languages
from hitl_contract.action_code import InputFile, Language, Limits, NetworkMode, Profile

WORK_DIRECTORY = "/tmp/work"  # noqa: S108 - inside the sandbox
INPUT_PATH = "/tmp/input.json"  # noqa: S108
HOSTS = b"127.0.0.1 localhost sandbox\n::1 localhost\n"
"""/etc/hosts of every sandbox."""

_CERTIFICATES_PATH = "/tmp/.certificates.pem"  # noqa: S108
_PROXY_PORT = 3128
_DRIVER_BYTES = 65536
_MOST_KEPT = 256
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


def _in_base64(file: InputFile) -> str:
    if file.content is not None:
        return base64.b64encode(file.content.encode("utf-8")).decode()
    return file.content_base64 or ""


def _size(file: InputFile) -> int:
    """Bytes, without decoding what may be megabytes: base64 is in its canonical form."""
    if file.content is not None:
        return len(file.content.encode("utf-8"))
    encoded = file.content_base64 or ""
    return len(encoded) // 4 * 3 - encoded.count("=", -2) if encoded else 0


def input_bytes_of(job: SandboxJob) -> int:
    """Room for all that is laid into the sandbox for the job."""
    files = sum(_size(file) for file in job.files)
    certificates = 0 if job.egress is None else len(job.egress.certificates)
    return len(job.code.encode()) + len(_input_json(job)) + files + certificates + _DRIVER_BYTES


def amounts_of(job: SandboxJob, input_bytes: int) -> Amounts:
    """The job's limits as amounts, beside room for its input."""
    amounts = Amounts.of(job.limits, input_bytes)
    if job.egress is None:
        return amounts
    # What passes its connections on is no process of the program.
    return replace(amounts, processes=amounts.processes + 1)


class _Fixed(NamedTuple):
    """What all jobs of a language with the same amounts have in common; `text` is JSON but for its end."""

    environment: dict[str, str]
    text: str


class JobFrames:
    """Makes JOB frames. What does not depend on the program is put together once: doing it again takes longer
    than sending it.
    """

    def __init__(self, languages: Languages, *, warm: bool = False) -> None:
        """`warm`: the sandboxes hold drivers already."""
        self._languages = languages
        self._held = frozenset(languages.preloaded if warm else ())
        self._fixed: dict[tuple[Language, Amounts, BoundsInside, int], _Fixed] = {}

    def frame(self, job: SandboxJob, amounts: Amounts, bounds: BoundsInside) -> bytes:
        """Everything that the supervisor needs, as one frame."""
        language = self._languages.of(job.language)
        driver = language.driver
        key = (job.language, amounts, bounds, job.limits.memory_mb)
        fixed = self._fixed.get(key)
        if fixed is None:
            if len(self._fixed) >= _MOST_KEPT:
                self._fixed.clear()
            fixed = self._fixed[key] = _fixed_part(language, *key[1:])
        program = _free_name(language.program_name, {file.path for file in job.files})
        files = [(file.path, _in_base64(file)) for file in job.files]
        files.append((program, base64.b64encode(job.code.encode("utf-8")).decode()))
        own = {
            "arguments": language.arguments(f"{WORK_DIRECTORY}/{program}"),
            "environment": fixed.environment | _own_environment(job, language),
            "driver": None if driver is None or driver in self._held else driver.source(),
            "input_json": _input_json(job),
            "certificates": None if job.egress is None else job.egress.certificates,
            "forwarder": None
            if job.egress is None
            else {"port": _PROXY_PORT, "door": f"{DOOR}/{DOOR_SOCKET}"},
            "files": files,
        }
        return encode_frame(FrameKind.JOB, (fixed.text + json.dumps(own)[1:]).encode())


def _fixed_part(language: SandboxLanguage, amounts: Amounts, bounds: BoundsInside, memory_mb: int) -> _Fixed:
    message = {
        "interpreter": language.interpreter,
        "driver_path": None if language.driver is None else language.driver.path,
        "certificates_path": _CERTIFICATES_PATH,
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
    return _Fixed(_common_environment(amounts, memory_mb), json.dumps(message)[:-1] + ", ")


def usual_environment(languages: Languages) -> dict[str, str]:
    """What a program of the first language with a driver that waits finds, with no limits of its own."""
    language = next((each for each in languages if each.driver in languages.preloaded), None)
    if language is None:
        return {}
    job = SandboxJob(
        execution_id="usual",
        language=language.name,
        code="",
        input_data=None,
        files=(),
        limits=Limits(),
        profile=Profile.RESTRICTED,
        network_mode=NetworkMode.NONE,
    )
    amounts = amounts_of(job, input_bytes_of(job))
    return _common_environment(amounts, job.limits.memory_mb) | _own_environment(job, language)


def _common_environment(amounts: Amounts, memory_mb: int) -> dict[str, str]:
    return {
        "PATH": PROGRAM_PATH,
        "HOME": WORK_DIRECTORY,
        "TMPDIR": posixpath.dirname(WORK_DIRECTORY),
        "LANG": "C.UTF-8",
        "INPUT_DATA": INPUT_PATH,
        "RESULT_BYTES": str(amounts.result_bytes),
        "MEMORY_MB": str(memory_mb),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _own_environment(job: SandboxJob, language: SandboxLanguage) -> dict[str, str]:
    environment = {} if job.egress is None else _network_environment()
    packages = python_path(job) if job.layers else ""
    if packages:
        # The driver reads the first; the second is for Pythons that the program starts.
        environment |= {"PACKAGE_PATHS": packages, "PYTHONPATH": packages}
    return environment | language.environment(job)


def _network_environment() -> dict[str, str]:
    proxy = f"http://127.0.0.1:{_PROXY_PORT}"
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    authorities = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
    return {
        **dict.fromkeys(proxies, proxy),
        **dict.fromkeys(authorities, _CERTIFICATES_PATH),
        "NO_PROXY": "localhost,127.0.0.1,::1",
        "no_proxy": "localhost,127.0.0.1,::1",
    }


def _input_json(job: SandboxJob) -> str:
    return "null" if job.input_data is None else json.dumps(job.input_data)


def _free_name(name: str, taken: set[str]) -> str:
    """The program lies in the work directory too, beside its files and never in place of one."""
    if not taken:
        return name
    folders = {path.split("/", 1)[0] for path in taken}
    stem, extension = posixpath.splitext(name)
    candidates = (name, *(f"{stem}-{number}{extension}" for number in range(1, len(taken) + 2)))
    return next(candidate for candidate in candidates if candidate not in taken | folders)
