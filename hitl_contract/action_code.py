"""``code_execution``: a program, all that it is given and all that bounds it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from hitl_contract.action_fields import (
    ActionModel,
    Domain,
    ImageDigest,
    Requirement,
)
from hitl_contract.action_files import MAX_FILES, ActionFile, FileReference, InputFile
from hitl_contract.nodejs_packages import split_nodejs_package

__all__ = [
    "CodeExecution",
    "FileReference",
    "InputFile",
    "Language",
    "Limits",
    "Network",
    "NetworkMode",
    "Profile",
]

MAX_CODE_CHARACTERS = 1_000_000
_PACKAGES = "Packages it needs, such as requests>=2.31 or, in Node.js, lodash@^4.17"


class Language(StrEnum):
    """Languages that a program can be written in."""

    PYTHON = "python"
    NODEJS = "nodejs"
    BASH = "bash"
    SQL = "sql"


class Profile(StrEnum):
    """How much the sandbox allows; ``restricted`` is the tightest."""

    RESTRICTED = "restricted"
    STANDARD = "standard"
    TRUSTED = "trusted"


class NetworkMode(StrEnum):
    """Whether the program reaches anything outside its sandbox."""

    NONE = "none"
    ALLOWLIST = "allowlist"


class Network(ActionModel):
    """Network access; ``domains`` belongs to ``allowlist`` and to nothing else."""

    mode: Annotated[NetworkMode, Field(strict=False)] = NetworkMode.NONE
    domains: Annotated[tuple[Domain, ...], Field(strict=False, max_length=64)] = ()

    @model_validator(mode="after")
    def _domains_fit_the_mode(self) -> Self:
        if self.mode is NetworkMode.NONE and self.domains:
            raise ValueError("domains must be empty when mode is 'none'; use mode 'allowlist' to reach them")
        if self.mode is NetworkMode.ALLOWLIST and not self.domains:
            raise ValueError("domains must name at least one domain when mode is 'allowlist'")
        if len(set(self.domains)) != len(self.domains):
            raise ValueError("domains must not repeat a name")
        return self


class Limits(ActionModel):
    """Bounds on one execution. An executor may refuse a bound above its own ceiling, never widen one."""

    wall_seconds: Annotated[
        float, Field(ge=0.1, le=3600, description="Longest run, in seconds of wall time")
    ] = 30
    memory_mb: Annotated[
        int, Field(ge=16, le=65536, description="Memory of all processes together, in MiB")
    ] = 256
    cpus: Annotated[float, Field(ge=0.05, le=64, description="Processor share; 1 is one core")] = 1
    pids: Annotated[int, Field(ge=1, le=4096, description="Most processes and threads at a time")] = 64
    disk_mb: Annotated[
        int, Field(ge=1, le=65536, description="Room for files that the program writes, in MiB")
    ] = 64
    output_kb: Annotated[
        int, Field(ge=1, le=65536, description="Most output kept of each stream, in KiB")
    ] = 1024


class CodeExecution(ActionModel):
    """Run a program in the executor's sandbox."""

    type: Literal["code_execution"] = "code_execution"
    language: Annotated[Language, Field(strict=False)]
    code: Annotated[str, Field(min_length=1, max_length=MAX_CODE_CHARACTERS, description="The whole program")]
    input_data: Annotated[JsonValue, Field(description="A JSON value that the program can read")] = None
    files: Annotated[tuple[ActionFile, ...], Field(strict=False, max_length=MAX_FILES)] = ()
    packages: Annotated[
        tuple[Requirement, ...], Field(strict=False, max_length=64, description=_PACKAGES)
    ] = ()
    network: Network = Network()
    limits: Limits = Limits()
    profile: Annotated[Profile, Field(strict=False)] = Profile.RESTRICTED
    runtime: Annotated[ImageDigest | None, Field(description="Digest of the one image that may run it")] = (
        None
    )

    @field_validator("code")
    @classmethod
    def _is_not_blank(cls, code: str) -> str:
        if not code.strip():
            raise ValueError("must not be blank")
        return code

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        paths = [file.path for file in self.files]
        if len(set(paths)) != len(paths):
            raise ValueError("files must not repeat a path")
        directories = {
            "/".join(path.split("/")[:depth]) for path in paths for depth in range(1, path.count("/") + 1)
        }
        if directories & set(paths):
            raise ValueError("files must not use one path both as a file and as a folder")
        if len(set(self.packages)) != len(self.packages):
            raise ValueError("packages must not repeat an entry")
        return self

    @model_validator(mode="after")
    def _packages_are_of_the_language(self) -> Self:
        if self.language is Language.NODEJS:
            for entry in self.packages:
                try:
                    split_nodejs_package(entry)
                except ValueError as error:
                    raise ValueError(f"packages {error}, not {entry!r}") from error
        return self
