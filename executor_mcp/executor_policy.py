"""What this executor is willing to run, whatever was approved. It narrows; it never widens."""

from __future__ import annotations

from dataclasses import dataclass, field

from code_safety.findings import Finding, Rule
from executor_mcp.sandbox.base import SandboxDescription
from hitl_contract.action import Action, CodeExecution
from hitl_contract.action_code import Limits, NetworkMode


@dataclass(frozen=True)
class Ceilings:
    """The largest value of each limit that an action may ask for."""

    wall_seconds: float = 300.0
    memory_mb: int = 2048
    cpus: float = 4.0
    pids: int = 256
    disk_mb: int = 1024
    output_kb: int = 8192


@dataclass(frozen=True)
class ExecutorPolicy:
    """`problems` are what step 6 of the gate refuses, `blocking` what step 7 refuses."""

    ceilings: Ceilings = Ceilings()
    profiles: frozenset[str] = frozenset({"restricted", "standard"})
    blocked_rules: frozenset[str] = field(
        default_factory=lambda: frozenset(
            {Rule.PYTHON_SYNTAX_ERROR, Rule.PYTHON_SOURCE_ENCODING, Rule.BIDIRECTIONAL_CONTROL}
        )
    )

    def problems(self, action: Action, sandbox: SandboxDescription) -> tuple[str, ...]:
        """One sentence each: the field, its value, what is allowed. Empty when the action may run here."""
        if not isinstance(action, CodeExecution):
            return (f"type: this executor runs code_execution, not {action.type}",)
        return (
            *self._language_problems(action, sandbox),
            *self._limit_problems(action.limits),
            *self._reach_problems(action),
            *_image_problems(action, sandbox),
        )

    def blocking(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Those findings that this executor does not run past."""
        return tuple(finding for finding in findings if finding.rule in self.blocked_rules)

    def _limit_problems(self, limits: Limits) -> tuple[str, ...]:
        ceilings = self.ceilings
        pairs = (
            ("wall_seconds", limits.wall_seconds, ceilings.wall_seconds),
            ("memory_mb", limits.memory_mb, ceilings.memory_mb),
            ("cpus", limits.cpus, ceilings.cpus),
            ("pids", limits.pids, ceilings.pids),
            ("disk_mb", limits.disk_mb, ceilings.disk_mb),
            ("output_kb", limits.output_kb, ceilings.output_kb),
        )
        return tuple(
            f"limits.{name}: {value:g} is above this executor's ceiling of {ceiling:g}"
            for name, value, ceiling in pairs
            if value > ceiling
        )

    def _reach_problems(self, action: CodeExecution) -> tuple[str, ...]:
        found: list[str] = []
        if action.packages:
            found.append("packages: this executor installs none; leave packages empty")
        if action.network.mode is not NetworkMode.NONE:
            found.append(f"network.mode: {action.network.mode} is not offered here; only none is")
        if action.profile not in self.profiles:
            allowed = ", ".join(sorted(self.profiles))
            found.append(f"profile: {action.profile} is not allowed here; allowed: {allowed}")
        return tuple(found)

    def _language_problems(self, action: CodeExecution, sandbox: SandboxDescription) -> tuple[str, ...]:
        offered = sorted(language.language.value for language in sandbox.languages)
        if action.language.value in offered:
            return ()
        return (f"language: {action.language} is not offered here; offered: {', '.join(offered) or 'none'}",)


def _image_problems(action: CodeExecution, sandbox: SandboxDescription) -> tuple[str, ...]:
    if action.runtime is None or action.runtime == sandbox.image_digest:
        return ()
    here = sandbox.image_digest or f"no image ({sandbox.backend})"
    return (f"runtime: approved for {action.runtime}, and this executor has {here}",)
