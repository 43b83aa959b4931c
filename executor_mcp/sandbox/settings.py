"""What an operator can set about sandboxes; the defaults are for one executor on one host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_IMAGE = "hitl-sandbox:latest"


@dataclass(frozen=True)
class PoolSettings:
    """Containers that wait for a program; docker alone has them. Times in seconds.

    `minimum` of the usual limits always wait, more and other ones as they are asked for, `maximum` of all
    together. `launches_at_a_time` bounds what making and removing them may take of the host.
    `worth_keeping`: calls a second from which limits that are not the usual ones have a container waiting;
    two within half a minute.
    """

    enabled: bool = True
    minimum: int = 2
    maximum: int = 8
    launches_at_a_time: int = 3
    most_waiting: int = 64
    patience_seconds: float = 15.0
    max_age_seconds: float = 1800.0
    worth_keeping: float = 0.05


@dataclass(frozen=True)
class BurstSettings:
    """Executions that share one outer container with others of the same agent; see docs/burst-tier.md.

    Only programs of `agents` that ask for one of `profiles` are run so. An outer container is replaced after
    `max_executions` or `max_age_seconds`, and removed after `idle_seconds` without one. `fresh_interpreter`
    starts Python anew for each program instead of forking one that is loaded.
    """

    enabled: bool = False
    agents: frozenset[str] = frozenset()
    profiles: frozenset[str] = frozenset({"standard"})
    most_at_a_time: int = 8
    most_containers: int = 8
    max_executions: int = 1000
    max_age_seconds: float = 900.0
    idle_seconds: float = 60.0
    fresh_interpreter: bool = False


@dataclass(frozen=True)
class SandboxSettings:
    """`instance` names this executor among those that share an engine: leftovers of another are not
    touched. `engine_seconds`: how long an answer of the engine is waited for. `runtime`: what the engine
    starts containers of `docker` with, where that is not its default.
    """

    image: str = DEFAULT_IMAGE
    instance: str = "default"
    runtime: str | None = None
    seccomp_profile: Path | None = None
    control_groups: bool = True
    engine_seconds: float = 30.0
    pool: PoolSettings = PoolSettings()
    burst: BurstSettings = BurstSettings()
