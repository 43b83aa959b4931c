"""Steps 6 and 7 of the gate: what this executor's policy says of an action.

Asked by the gate before it admits, and by `validate_code` for whoever wants to know beforehand.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Protocol

from code_safety.analysis import StaticAnalysis
from code_safety.findings import Finding
from executor_mcp.executor_policy import ExecutorPolicy
from executor_mcp.jobs import job_of
from executor_mcp.packages.errors import PackageNotAllowed
from executor_mcp.packages.offering import PackageOffer
from executor_mcp.sandbox.base import PackageLayer, Sandbox, SandboxDescription
from executor_mcp.sandbox.errors import SandboxRefused
from executor_mcp.sandbox.refusals import refuse_what_is_not_offered
from executor_mcp.text_rules import matches
from hitl_contract.action import Action, CodeExecution
from hitl_contract.action_code import Language, NetworkMode

_MAX_WARNINGS = 50


class PolicySource(Protocol):
    """Where the policy in force is."""

    def current(self) -> ExecutorPolicy: ...


@dataclass(frozen=True, slots=True)
class FixedPolicy:
    """A policy that does not change while the executor runs."""

    policy: ExecutorPolicy

    def current(self) -> ExecutorPolicy:
        return self.policy


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy says. With neither `not_allowed`, `packages_refused` (step 6) nor `unsafe` (step 7) the
    action may run, with `layers` for its packages; `warnings` go into the record of its execution. `policy`
    is the digest of the policy that was asked.
    """

    not_allowed: tuple[str, ...]
    unsafe: tuple[str, ...]
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]
    sandbox: SandboxDescription
    policy: str
    packages_refused: tuple[str, ...] = ()
    layers: tuple[PackageLayer, ...] = ()

    @property
    def refused_because(self) -> tuple[str, ...]:
        return (*self.not_allowed, *self.packages_refused, *self.unsafe)


class Examiner:
    """Judges actions. Runs nothing, spends nothing, stores nothing."""

    def __init__(
        self, *, sandbox: Sandbox, policies: PolicySource, packages: PackageOffer, analysis: StaticAnalysis
    ) -> None:
        self._sandbox = sandbox
        self._packages = packages
        self._policies = policies
        self._analysis = analysis

    @property
    def policy(self) -> ExecutorPolicy:
        """The policy in force."""
        return self._policies.current()

    async def examine(self, action: Action, *, agent: str | None) -> Verdict:
        """`agent` is `sub` of the token; None where no token says who asks.

        Raises:
            SandboxError: the sandbox cannot say what it offers.
        """
        policy = self._policies.current()
        description = await self._sandbox.describe()
        # In a thread: a large program takes long enough to be felt by every other caller.
        verdict = await asyncio.to_thread(self._judge, policy, description, action, agent)
        return await self._with_packages(verdict, action)

    async def describe(self) -> SandboxDescription:
        """What the sandbox offers, with the packages that programs may have. Raises SandboxError."""
        description = await self._sandbox.describe()
        packages = await self._packages.offered(description)
        languages = tuple(
            replace(one, offered_packages=packages) if one.language is Language.PYTHON else one
            for one in description.languages
        )
        return replace(description, languages=languages)

    async def _with_packages(self, verdict: Verdict, action: Action) -> Verdict:
        if not isinstance(action, CodeExecution):
            return verdict
        try:
            return replace(verdict, layers=await self._packages.layers(action, verdict.sandbox))
        except PackageNotAllowed as error:
            return replace(verdict, packages_refused=(str(error),))

    def _judge(
        self, policy: ExecutorPolicy, description: SandboxDescription, action: Action, agent: str | None
    ) -> Verdict:
        not_allowed = policy.problems(action, description, agent)
        if not not_allowed and isinstance(action, CodeExecution):
            not_allowed = _not_offered(action, description)
        findings = self._analysis.findings(action)
        unsafe = [_worded(finding) for finding in findings if policy.blocked.minds(finding)]
        warnings = [
            _worded(finding)
            for finding in findings
            if policy.warned.minds(finding) and not policy.blocked.minds(finding)
        ]
        if isinstance(action, CodeExecution):
            for match in matches(action, policy.patterns, policy.imports):
                (unsafe if match.effect == "block" else warnings).append(match.text)
        return Verdict(
            not_allowed=not_allowed,
            unsafe=tuple(unsafe),
            warnings=tuple(dict.fromkeys(warnings))[:_MAX_WARNINGS],
            findings=findings,
            sandbox=description,
            policy=policy.digest,
        )


def _not_offered(action: CodeExecution, description: SandboxDescription) -> tuple[str, ...]:
    """What the sandbox itself would refuse when it is prepared, but for packages and network."""
    try:
        refuse_what_is_not_offered(
            replace(job_of("", action), packages=(), network_mode=NetworkMode.NONE),
            image_digest=description.image_digest,
        )
    except SandboxRefused as error:
        return (str(error),)
    return ()


def _worded(finding: Finding) -> str:
    line = "" if finding.line is None else f" line {finding.line}"
    return f"{finding.rule} at {finding.where}{line}: {finding.message}"
