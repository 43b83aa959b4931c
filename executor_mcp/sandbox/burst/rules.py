"""Who may be run in the burst tier: decided by what the operator set and what was approved, nothing else."""

from __future__ import annotations

from executor_mcp.sandbox.base import SandboxJob
from executor_mcp.sandbox.host_directories import host_directories
from executor_mcp.sandbox.settings import BurstSettings


def may_burst(settings: BurstSettings, job: SandboxJob) -> bool:
    """Never for nobody or somebody who is not named, in a profile that is not, or with anything to mount."""
    return (
        settings.enabled
        and job.principal is not None
        and job.principal in settings.agents
        and job.profile.value in settings.profiles
        and not host_directories(job)
    )
