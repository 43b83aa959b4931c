"""From an approved program to what a sandbox is handed."""

from __future__ import annotations

from executor_mcp.sandbox.base import PackageLayer, SandboxJob
from hitl_contract.action import CodeExecution


def job_of(execution_id: str, program: CodeExecution, layers: tuple[PackageLayer, ...] = ()) -> SandboxJob:
    """All of the job comes from the approved action; `layers` hold the packages that it names."""
    return SandboxJob(
        execution_id=execution_id,
        language=program.language,
        code=program.code,
        input_data=program.input_data,
        files=program.files,
        limits=program.limits,
        profile=program.profile,
        network_mode=program.network.mode,
        packages=program.packages,
        runtime=program.runtime,
        layers=layers,
    )
