"""What no sandbox of this version offers, refused before a token is spent instead of being dropped in
silence.
"""

from __future__ import annotations

from executor_mcp.sandbox.base import SandboxJob
from executor_mcp.sandbox.errors import SandboxRefused
from executor_mcp.sandbox.results import MAX_PATH_BYTES
from hitl_contract.action_code import NetworkMode


def refuse_what_is_not_offered(job: SandboxJob, *, image_digest: str | None) -> None:
    """Profiles are all accepted: they bound what an action may ask for, and never how it is shut in.

    Raises SandboxRefused.
    """
    if job.network_mode is not NetworkMode.NONE and job.egress is None:
        raise SandboxRefused(
            f"network mode '{job.network_mode}' is not offered by this executor; ask for mode 'none'"
        )
    for file in job.files:
        # Below the work directory a longer path is none to the kernel, which would be found out too late.
        if len(file.path.encode()) > MAX_PATH_BYTES:
            raise SandboxRefused(
                f"files: a path has {len(file.path.encode())} bytes; at most {MAX_PATH_BYTES} are allowed"
            )
    if job.packages and not job.layers:
        raise SandboxRefused(
            f"packages cannot be installed by this executor ({len(job.packages)} were asked for); use what "
            "list_languages names, or give the code as input files"
        )
    if job.runtime is not None and job.runtime != image_digest:
        has = image_digest if image_digest is not None else "no image at all"
        raise SandboxRefused(f"the action asks for image {job.runtime}; this sandbox uses {has}")
