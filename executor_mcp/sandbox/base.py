"""The Protocol that every sandbox implements, and the values that pass through it.

Above: the runner, which holds an admitted call. Below: an engine or the kernel's namespaces. Implementations:
`docker.DockerSandbox` (also gVisor, as a runtime) and `bubblewrap.BubblewrapSandbox`;
`selection.choose_sandbox` picks one.

`prepare` does everything that can fail before a token is spent and starts no program; `start` hands the
program over. They are separate so that a pool of warm sandboxes can stand behind `prepare`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from pydantic import JsonValue

from executor_mcp.sandbox.usage import UsageSample
from hitl_contract.action_code import InputFile, Language, Limits, NetworkMode, Profile

Termination = Literal[
    "exited", "signalled", "timed_out", "cancelled", "out_of_memory", "output_limit", "sandbox_failed"
]
SandboxName = Literal["docker", "gvisor", "bubblewrap", "burst"]


@dataclass(frozen=True)
class PackageLayer:
    """A locked package: `package` is its name and version, `digest` that of its files in `directory`.
    `module` is the name by which Node.js programs find it.
    """

    package: str
    digest: str
    directory: Path
    module: str | None = None


@dataclass(frozen=True)
class EgressDoorway:
    """The way to the names that were approved: a directory with one socket, behind which is this execution's
    own proxy. `certificates` (PEM) are the authorities that the program is given to trust.
    """

    directory: Path
    certificates: str = field(default="", repr=False)


@dataclass(frozen=True)
class SandboxJob:
    """One program with everything it is given; all of it comes from the approved action.

    `packages` and `runtime` are carried so that a sandbox refuses what it cannot honour, never ignores it;
    `layers` are what the gate has chosen for `packages`, `egress` is the way to `domains`. `principal` is the
    agent that the program runs for; None for this project's own.
    """

    execution_id: str
    language: Language
    code: str
    input_data: JsonValue
    files: tuple[InputFile, ...]
    limits: Limits
    profile: Profile
    network_mode: NetworkMode
    packages: tuple[str, ...] = ()
    runtime: str | None = None
    layers: tuple[PackageLayer, ...] = ()
    domains: tuple[str, ...] = ()
    egress: EgressDoorway | None = None
    principal: str | None = None


@dataclass(frozen=True)
class CreatedFile:
    """A regular file, new or changed, that the program left in its work directory.

    `path` is relative to it, normalised, and free of control characters.
    """

    path: str
    size: int
    sha256: str
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class ResourceUsage:
    """What the run cost. None where the sandbox cannot measure it.

    The last three come of samples: None for a run of less than 50 ms too.
    """

    wall_seconds: float
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    output_bytes: int
    peak_processes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None


@dataclass(frozen=True)
class Connection:
    """One connection that the program asked its proxy for.

    `host` and `port` as it asked; `address` what was connected to; `verdict` "allowed" or why not; bytes
    `sent` to the server and `received` from it.
    """

    host: str
    port: int
    address: str | None
    verdict: str
    sent: int
    received: int


@dataclass(frozen=True)
class SandboxOutcome:
    """How the run ended and what it left.

    `exit_code` is the program's status when it exited, 128 + N when signal N ended it, and None when the
    sandbox ended it. `stdout` and `stderr` are each bounded by `limits.output_kb`; `truncated` says that
    bytes were dropped there or that the result was too large to keep. `detail` is one line for people: why
    the sandbox failed, or what was dropped.
    """

    termination: Termination
    exit_code: int | None
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    truncated: bool
    result_json: bytes | None = field(repr=False)
    files: tuple[CreatedFile, ...]
    files_truncated: bool
    usage: ResourceUsage
    detail: str | None = None
    connections: tuple[Connection, ...] = ()


@dataclass(frozen=True)
class SandboxHealth:
    """Whether the sandbox can run now. `problem` and `remedy` are one line each and set when it cannot.

    `warnings` are bounds that hold more weakly than they could on this host.
    """

    ready: bool
    problem: str | None = None
    remedy: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class LanguageDescription:
    """A language that can be asked for, with the interpreter's version and the packages installed for it.

    `input` and `result` say in a sentence each how a program finds its input and what becomes its result.
    `offered_packages` are those that an action may name besides, with their versions.
    """

    language: Language
    version: str
    packages: tuple[str, ...] = ()
    input: str = ""
    result: str = ""
    offered_packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class SandboxDescription:
    """What agents and receipts need to know: where programs run, and the image's digest if there is one.

    `burst_profiles`: those of which some agents' programs run in the burst tier instead.
    """

    backend: SandboxName
    runtime: str
    image_digest: str | None
    languages: tuple[LanguageDescription, ...]
    details: Mapping[str, str] = field(default_factory=dict[str, str])
    burst_profiles: tuple[str, ...] = ()


class OutputSink(Protocol):
    """Receives output while the program runs: already bounded, at most `limits.output_kb` of each stream.

    Called on the event loop; must not block. An exception that output raises here ends the run.
    """

    def stdout(self, chunk: bytes) -> None: ...

    def stderr(self, chunk: bytes) -> None: ...

    def usage(self, sample: UsageSample) -> None:
        """Every 50 ms, from the 50th on; never where the sandbox cannot be measured."""
        ...

    def checkpoint(self, content: bytes) -> None:
        """What the program has in `checkpoint.json`, JSON of at most 256 KiB: every two seconds from its
        first second on, where it is new.
        """
        ...


class PreparedRun(Protocol):
    """A sandbox that holds no program yet. Used once: by `start`, or given back by `discard`."""

    @property
    def execution_id(self) -> str: ...

    @property
    def image_digest(self) -> str | None:
        """The image it was made from; None for a sandbox without images."""
        ...

    @property
    def backend(self) -> SandboxName | Literal["packages"] | None:
        """Where it is, when that is not what the sandbox's description says; else None. `packages` is no
        sandbox: nothing but packages are added there.
        """
        ...


class SandboxRun(Protocol):
    """A program under way."""

    async def wait(self) -> SandboxOutcome:
        """The outcome, once nothing of the program is alive.

        May be awaited more than once and concurrently; cancelling a wait does not touch the program. Raises
        nothing of its own: a broken sandbox is an outcome.
        """
        ...

    async def cancel(self) -> None:
        """Ends the program and returns when nothing of it is alive. Does nothing when it has ended."""
        ...


class Sandbox(Protocol):
    """See the module. All methods raise only `SandboxError`s."""

    @property
    def name(self) -> SandboxName: ...

    async def check(self) -> SandboxHealth:
        """Tries the real thing (an engine's answer, a namespace that opens) and says what is missing."""
        ...

    async def describe(self) -> SandboxDescription:
        """Raises SandboxUnavailable when the sandbox cannot be asked."""
        ...

    async def prepare(self, job: SandboxJob) -> PreparedRun:
        """Starts no program. Raises SandboxRefused (not offered here) or SandboxUnavailable (away now)."""
        ...

    async def start(self, prepared: PreparedRun, sink: OutputSink) -> SandboxRun:
        """Hands the program over; the wall limit counts from here. Raises SandboxFailed when it cannot."""
        ...

    async def discard(self, prepared: PreparedRun) -> None:
        """Removes a sandbox that will not be started. Does nothing when it is gone already."""
        ...

    async def remove_leftovers(self) -> int:
        """Removes what dead processes of this executor left behind; the number of sandboxes removed.

        Called at the start: a sandbox with a pool begins to fill it here, in the background.
        """
        ...

    async def close(self) -> None:
        """Ends every run and removes every sandbox of this process."""
        ...
