"""What an operator can set about sandboxes; the defaults are for one executor on one host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_IMAGE = "hitl-sandbox:latest"


@dataclass(frozen=True)
class SandboxSettings:
    """`instance` names this executor among those that share an engine: leftovers of another are not
    touched.
    """

    image: str = DEFAULT_IMAGE
    instance: str = "default"
    gvisor_runtime: str = "runsc"
    seccomp_profile: Path | None = None
    control_groups: bool = True
