"""What the tools and the REST API answer."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from executor_mcp.models import ExecutionStatus


class AnswerModel(BaseModel):
    """Base of everything answered: immutable, and serialised by field name."""

    model_config = ConfigDict(frozen=True)


class FileAnswer(AnswerModel):
    """A file that the program left."""

    path: str
    size: Annotated[int, Field(description="Bytes")]
    sha256: Annotated[str, Field(description="Hexadecimal SHA-256 of the content")]
    media_type: str
    reference: Annotated[
        str,
        Field(
            description="Give this and sha256 in files of a later action instead of the content; also the "
            "file's address as a resource"
        ),
    ]


class UsageAnswer(AnswerModel):
    """What the run cost; null where the sandbox cannot measure it."""

    wall_seconds: float
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    output_bytes: int
    peak_processes: Annotated[
        int | None, Field(description="Most processes and threads at once; null for a run of under 50 ms")
    ]
    read_bytes: Annotated[int | None, Field(description="Read from disks; files lie in memory")]
    written_bytes: Annotated[int | None, Field(description="Written to disks; files lie in memory")]


class SandboxAnswer(AnswerModel):
    """Where the program ran."""

    backend: Annotated[
        str,
        Field(
            description="docker, gvisor, bubblewrap; or burst, shared with others of the same agent; or "
            "packages: no program ran, packages were added"
        ),
    ]
    runtime: str
    image_digest: str | None


class PackageAnswer(AnswerModel):
    """A package that the program was given."""

    package: Annotated[str, Field(description="Name and version, as its language writes them")]
    layer: Annotated[str, Field(description="Digest of all its files")]


class ConnectionAnswer(AnswerModel):
    """A connection that the program asked for."""

    host: str
    port: int
    address: Annotated[str | None, Field(description="What was connected to; null where nothing was")]
    verdict: Annotated[str, Field(description="allowed, or why not")]
    sent: Annotated[int, Field(description="Bytes to the server")]
    received: Annotated[int, Field(description="Bytes from the server")]


class ExecutionSummary(AnswerModel):
    """One execution without what it put out."""

    execution_id: Annotated[
        str, Field(description="Secret enough to be kept: it reads and cancels this execution")
    ]
    status: Annotated[
        ExecutionStatus,
        Field(
            description="pending and running: not ended yet. completed: exit status 0. failed: another exit "
            "status, a signal, or the sandbox broke. interrupted: the executor died, the program may "
            "have run and "
            "is never run again"
        ),
    ]
    language: str
    action_digest: str
    request_id: Annotated[str, Field(description="The request for approval that allowed it")]
    created_at: datetime
    started_at: datetime | None
    duration_seconds: float | None
    sandbox: SandboxAnswer
    packages: tuple[PackageAnswer, ...]


class ExecutionAnswer(ExecutionSummary):
    """One execution with what it put out, so far or in the end."""

    stdout: Annotated[str, Field(description="UTF-8, with U+FFFD for bytes that are not; see truncated")]
    stderr: Annotated[str, Field(description="UTF-8, with U+FFFD for bytes that are not; see truncated")]
    exit_code: Annotated[int | None, Field(description="Null when the program was ended from outside")]
    result: Annotated[
        JsonValue, Field(description="Value of the last expression, where the language has one")
    ]
    truncated: Annotated[
        bool, Field(description="Some output was dropped here; next_step says where the rest is")
    ]
    files_created: tuple[FileAnswer, ...]
    checkpoint: Annotated[
        JsonValue,
        Field(
            description="What the program wrote to checkpoint.json in its work directory (JSON, at most "
            "256 KiB), also when it was stopped. Give it as input_data, or the file by its reference, to the "
            "next run"
        ),
    ]
    files_truncated: Annotated[bool, Field(description="Some files were too many or too large to be kept")]
    resource_usage: UsageAnswer | None
    connections: Annotated[
        tuple[ConnectionAnswer, ...],
        Field(description="The first 100; read_output_file with path /dev/connections has all"),
    ]
    detail: Annotated[str | None, Field(description="Why it ended as it did, where there is more to say")]
    receipt: Annotated[
        str | None,
        Field(
            description="Signed statement (JWS) of token, action digest, output digest and image; checkable "
            "with the keys at /.well-known/jwks.json"
        ),
    ]
    warnings: Annotated[
        tuple[str, ...], Field(description="What this executor's policy minded about it and let pass")
    ] = ()
    next_step: Annotated[str, Field(description="What to do now")]


class ExecutionList(AnswerModel):
    """One page of executions, newest first."""

    executions: tuple[ExecutionSummary, ...]
    next_cursor: Annotated[str | None, Field(description="Give this as cursor; null on the last page")]


class OutputFileAnswer(AnswerModel):
    """A piece of an output file; exactly one of text and content_base64 is set."""

    path: str
    size: Annotated[int, Field(description="Bytes of the whole file")]
    sha256: Annotated[str, Field(description="Of the whole file")]
    media_type: str
    offset: Annotated[int, Field(description="Where this piece begins, in bytes")]
    text: Annotated[str | None, Field(description="The piece, when it is UTF-8")]
    content_base64: Annotated[str | None, Field(description="The piece, when it is not UTF-8")]
    next_offset: Annotated[int | None, Field(description="Ask again with this offset; null at the end")]


class LanguageAnswer(AnswerModel):
    """A language that can be asked for."""

    language: str
    version: str
    image_digest: Annotated[
        str | None, Field(description="Of the image it runs in; null where there is none")
    ]
    input: Annotated[str, Field(description="How a program finds what it is given")]
    result: Annotated[str, Field(description="What becomes the result of an execution")]
    packages: Annotated[tuple[str, ...], Field(description="Always there")]
    offered_packages: Annotated[
        tuple[str, ...], Field(description="There when an action names them in `packages`")
    ]


class LimitsAnswer(AnswerModel):
    """A value for each limit of an action."""

    wall_seconds: float
    memory_mb: int
    cpus: float
    pids: int
    disk_mb: int
    output_kb: int


class ProfileAnswer(AnswerModel):
    """A profile: it bounds what an action may ask for, never how a program is shut in."""

    profile: str
    limits: Annotated[LimitsAnswer, Field(description="An action of this profile may ask for at most this")]


class BurstAnswer(AnswerModel):
    """The burst tier: fast, and weaker than a container of one's own. See docs/burst-tier.md."""

    profiles: Annotated[
        tuple[str, ...],
        Field(description="Programs of these profiles, of agents the operator named, run in it"),
    ]


class PackageAdditionsAnswer(AnswerModel):
    """Which packages people can approve for programs, by an action of type package_addition."""

    allowed: Annotated[
        tuple[str, ...],
        Field(description="Python's: names with versions; * stands for any part, no version for all"),
    ]
    never: Annotated[tuple[str, ...], Field(description="Must not come along either, as a need of another")]
    nodejs_allowed: Annotated[tuple[str, ...], Field(description="Node.js's")]
    nodejs_never: Annotated[tuple[str, ...], Field(description="Of Node.js's")]
    how: str


class LanguagesAnswer(AnswerModel):
    """What this executor runs, and within which bounds."""

    sandbox: SandboxAnswer
    languages: tuple[LanguageAnswer, ...]
    default_limits: LimitsAnswer
    limits: Annotated[LimitsAnswer, Field(description="Ceilings: an action may ask for at most this")]
    profiles: Annotated[tuple[str, ...], Field(description="What an action may name as its profile")]
    profile_limits: tuple[ProfileAnswer, ...]
    network_modes: tuple[str, ...]
    network_domains: Annotated[
        tuple[str, ...], Field(description="Names that an action may ask to reach; * for any part")
    ]
    packages: Annotated[bool, Field(description="Whether an action may name packages in `packages`")]
    package_additions: Annotated[
        PackageAdditionsAnswer | None,
        Field(description="Null where only an operator of this executor can add packages"),
    ]
    burst: Annotated[BurstAnswer | None, Field(description="Null where every program has its own container")]


class FindingAnswer(AnswerModel):
    """One observation of static analysis."""

    rule: str
    severity: Annotated[str, Field(description="low, medium, high, critical")]
    message: str
    where: str
    line: int | None
    column: int | None


class ValidationAnswer(AnswerModel):
    """What would be said about an action, without a token and without running it."""

    would_be_allowed: Annotated[
        bool, Field(description="Nothing in the action itself would be refused; it still needs an approval")
    ]
    refused_because: Annotated[
        tuple[str, ...], Field(description="Exactly what execute would say of it now; empty: it would run")
    ]
    warnings: Annotated[
        tuple[str, ...],
        Field(description="What would be written into the execution's record, and not refused"),
    ]
    findings: tuple[FindingAnswer, ...]
    action_digest: Annotated[str, Field(description="What an approval of exactly this action would name")]
    ask_instead: Annotated[
        dict[str, JsonValue] | None,
        Field(
            description="The action for which to ask approval so that missing packages are there: check it "
            "with validate_code first, which completes it"
        ),
    ] = None
    installs: Annotated[
        tuple[str, ...], Field(description="Everything that an addition of packages would install")
    ] = ()
