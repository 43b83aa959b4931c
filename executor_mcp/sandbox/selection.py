"""Which sandbox programs run in. There is no choice that means none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from executor_mcp.sandbox.base import Sandbox, SandboxHealth
from executor_mcp.sandbox.bubblewrap import BubblewrapSandbox
from executor_mcp.sandbox.errors import SandboxUnavailable
from executor_mcp.sandbox.settings import SandboxSettings

_NO_BURST = SandboxHealth(
    ready=False,
    problem="it has no burst tier, which EXECUTOR_BURST__ENABLED asks for",
    remedy="use docker, or turn the burst tier off",
)
SandboxChoice = Literal["auto", "docker", "gvisor", "bubblewrap"]


async def choose_sandbox(name: SandboxChoice, settings: SandboxSettings) -> Sandbox:
    """A sandbox that has been tried and can run now.

    `auto` takes docker when an engine answers and has the image, else bubblewrap. Raises
    SandboxUnavailable, which says for each one tried what is missing and what to do.
    """
    names = ("docker", "bubblewrap") if name == "auto" else (name,)
    failures: list[tuple[str, SandboxHealth]] = []
    for candidate in names:
        sandbox = make_sandbox(candidate, settings)
        health = await sandbox.check()
        if health.ready and settings.burst.enabled and candidate != "docker":
            health = _NO_BURST
        if health.ready:
            return sandbox
        await sandbox.close()
        failures.append((candidate, health))
    raise SandboxUnavailable(_explain(name, failures))


def make_sandbox(name: Literal["docker", "gvisor", "bubblewrap"], settings: SandboxSettings) -> Sandbox:
    """The sandbox of this name, not tried yet; for `doctor`, which reports instead of refusing."""
    if name == "bubblewrap":
        return BubblewrapSandbox(
            seccomp_profile=settings.seccomp_profile, use_control_groups=settings.control_groups
        )
    # Lazily: the Docker SDK takes 150 ms to import and a host with bubblewrap alone need not have it.
    from executor_mcp.sandbox.burst.sandbox import BurstSandbox
    from executor_mcp.sandbox.docker import DockerEngine
    from executor_mcp.sandbox.docker_container import Runtime
    from executor_mcp.sandbox.docker_sandbox import DockerSandbox
    from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox

    engine = DockerEngine(settings.engine_seconds)
    sandbox = DockerSandbox(
        engine,
        image=settings.image,
        runtime=Runtime("runsc", gvisor=True) if name == "gvisor" else Runtime(settings.runtime),
        seccomp_profile=settings.seccomp_profile,
        instance=settings.instance,
    )
    # gVisor lets nothing of the host in: neither a socket nor a pipe can be handed to it.
    if name == "gvisor":
        return sandbox
    ordinary = PooledDockerSandbox(engine, sandbox, settings.pool) if settings.pool.enabled else sandbox
    return BurstSandbox(engine, ordinary, sandbox, settings.burst) if settings.burst.enabled else ordinary


def _explain(name: str, failures: Sequence[tuple[str, SandboxHealth]]) -> str:
    reasons = "; ".join(
        f"{candidate}: {health.problem} (to fix: {health.remedy})" for candidate, health in failures
    )
    return f"no sandbox can run with EXECUTOR_SANDBOX={name}: {reasons}. Nothing is ever run without one."
