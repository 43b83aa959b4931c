"""From an approved program to what a sandbox is handed."""

from __future__ import annotations

from executor_mcp.sandbox.base import PackageLayer, SandboxJob
from hitl_contract.action import CodeExecution
from hitl_contract.action_files import FileReference, InputFile


def job_of(
    execution_id: str,
    program: CodeExecution,
    layers: tuple[PackageLayer, ...] = (),
    *,
    principal: str | None = None,
) -> SandboxJob:
    """All of the job comes from the approved action; `layers` hold the packages that it names, `principal` is
    the token's subject.

    Its files by reference were resolved before.
    """
    return SandboxJob(
        execution_id=execution_id,
        language=program.language,
        code=program.code,
        input_data=program.input_data,
        files=tuple(_with_content(file) for file in program.files),
        limits=program.limits,
        profile=program.profile,
        network_mode=program.network.mode,
        packages=program.packages,
        runtime=program.runtime,
        layers=layers,
        domains=program.network.domains,
        principal=principal,
    )


def _with_content(file: InputFile | FileReference) -> InputFile:
    if isinstance(file, FileReference):
        raise TypeError(f"the reference of {file.path[:100]!a} was not resolved")
    return file
