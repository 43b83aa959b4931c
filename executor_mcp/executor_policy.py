"""What this executor is willing to run, whatever was approved. It narrows; it never widens."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from code_safety.findings import Finding, Rule, Severity
from executor_mcp.ceilings import PROFILE_CEILINGS, Ceilings
from executor_mcp.sandbox.base import SandboxDescription
from executor_mcp.text_rules import ImportRule, PatternRule
from hitl_contract.action import Action, CodeExecution, PackageAddition
from hitl_contract.action_code import Language, Limits, NetworkMode, Profile

_NAMED_DOMAINS = 20


@dataclass(frozen=True)
class FindingRules:
    """Which findings of static analysis a policy minds: those named, and all of a severity but those left
    out.
    """

    named: frozenset[str] = frozenset()
    from_severity: Severity | None = None
    left_out: frozenset[str] = frozenset()

    def minds(self, finding: Finding) -> bool:
        if finding.rule in self.named:
            return True
        severe = self.from_severity is not None and finding.severity.rank >= self.from_severity.rank
        return severe and finding.rule not in self.left_out


@dataclass(frozen=True)
class Selection:
    """Names, with `*` for any part of one. `only` None lets all in that `never` does not keep out."""

    only: tuple[str, ...] | None = None
    never: tuple[str, ...] = ()

    def allows(self, name: str) -> bool:
        if any(fnmatchcase(name, pattern) for pattern in self.never):
            return False
        return self.only is None or any(fnmatchcase(name, pattern) for pattern in self.only)


@dataclass(frozen=True)
class ExecutorPolicy:
    """`problems` are what step 6 of the gate refuses; `blocked` and the rules that block, what step 7 does.

    `digest` names this very policy in the audit log.
    """

    ceilings: Ceilings = field(default_factory=Ceilings)
    languages: frozenset[str] = field(default_factory=lambda: frozenset(Language))
    profiles: frozenset[str] = frozenset({"restricted", "standard"})
    agents: Selection = Selection()
    images: Selection = Selection()
    domains: tuple[str, ...] = ()
    """Names that programs may be let reach; `*` stands for any part of one. Empty: no network at all."""
    blocked: FindingRules = field(
        default_factory=lambda: FindingRules(
            frozenset({Rule.PYTHON_SYNTAX_ERROR, Rule.PYTHON_SOURCE_ENCODING, Rule.BIDIRECTIONAL_CONTROL})
        )
    )
    warned: FindingRules = FindingRules(from_severity=Severity.HIGH)
    patterns: tuple[PatternRule, ...] = ()
    imports: tuple[ImportRule, ...] = ()
    digest: str = field(default="built-in", compare=False)

    def problems(self, action: Action, sandbox: SandboxDescription, agent: str | None) -> tuple[str, ...]:
        """One sentence each: the field, its value, what is allowed. Empty when the action may run here.

        `agent` None is somebody of whom no name is known: rules about agents are then not looked at.
        """
        if isinstance(action, PackageAddition):
            language = Language(action.language)
            return (*self._agent_problems(agent), *self._language_problems(language, sandbox))
        if not isinstance(action, CodeExecution):
            return (f"type: this executor runs code_execution and package_addition, not {action.type}",)
        return (
            *self._agent_problems(agent),
            *self._language_problems(action.language, sandbox),
            *self._limit_problems(action.limits, action.profile),
            *self._reach_problems(action, sandbox),
            *self._image_problems(action, sandbox),
        )

    def _agent_problems(self, agent: str | None) -> tuple[str, ...]:
        if agent is None or self.agents.allows(agent):
            return ()
        return (f"agent: this executor runs nothing for {agent[:128]!a}; use another executor",)

    def profile_ceilings(self, profile: Profile) -> Ceilings:
        """What an action of this profile may ask for at most."""
        own = PROFILE_CEILINGS[profile]
        return self.ceilings if own is None else self.ceilings.within(own)

    def _limit_problems(self, limits: Limits, profile: Profile) -> tuple[str, ...]:
        beyond = {name: ceiling for name, _, ceiling in self.ceilings.exceeded(limits)}
        return tuple(
            f"limits.{name}: {value:g} is above this executor's ceiling of {beyond[name]:g}"
            if name in beyond
            else f"limits.{name}: {value:g} is above the {ceiling:g} of profile {profile}; "
            f"ask for less, or for profile {_next(profile)}"
            for name, value, ceiling in self.profile_ceilings(profile).exceeded(limits)
        )

    def _reach_problems(self, action: CodeExecution, sandbox: SandboxDescription) -> tuple[str, ...]:
        found: list[str] = []
        if action.network.mode is not NetworkMode.NONE:
            found.extend(self._network_problems(action, sandbox))
        if action.profile not in self.profiles:
            allowed = ", ".join(sorted(self.profiles))
            found.append(f"profile: {action.profile} is not allowed here; allowed: {allowed}")
        return tuple(found)

    def network_modes(self, sandbox: SandboxDescription) -> tuple[str, ...]:
        """What an action may ask for as `network.mode`."""
        return ("none", "allowlist") if self.domains and sandbox.backend != "gvisor" else ("none",)

    def _network_problems(self, action: CodeExecution, sandbox: SandboxDescription) -> list[str]:
        mode = action.network.mode
        if mode not in self.network_modes(sandbox):
            return [f"network.mode: {mode} is not offered here; only none is"]
        refused = [
            domain
            for domain in action.network.domains
            if not any(fnmatchcase(domain, pattern) for pattern in self.domains)
        ]
        if not refused:
            return []
        allowed = ", ".join(self.domains[:_NAMED_DOMAINS])
        return [f"network.domains: {', '.join(refused)} may not be reached from here; allowed: {allowed}"]

    def _language_problems(self, language: Language, sandbox: SandboxDescription) -> tuple[str, ...]:
        offered = sorted({one.language.value for one in sandbox.languages} & self.languages)
        if language.value in offered:
            return ()
        return (f"language: {language} is not offered here; offered: {', '.join(offered) or 'none'}",)

    def _image_problems(self, action: CodeExecution, sandbox: SandboxDescription) -> tuple[str, ...]:
        found: list[str] = []
        here = sandbox.image_digest or f"no image ({sandbox.backend})"
        if action.runtime is not None and action.runtime != sandbox.image_digest:
            found.append(f"runtime: approved for {action.runtime}, and this executor has {here}")
        if not self.images.allows(sandbox.image_digest or ""):
            found.append(f"runtime: this executor's policy does not allow {here}; its operator has to act")
        return tuple(found)


def _next(profile: Profile) -> Profile:
    return Profile.STANDARD if profile is Profile.RESTRICTED else Profile.TRUSTED
