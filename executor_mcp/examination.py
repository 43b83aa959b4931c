"""Steps 6 and 7 of the gate: what this executor's policy says of an action.

Asked by the gate before it admits, and by `validate_code` for whoever wants to know beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from code_safety.analysis import StaticAnalysis
from code_safety.findings import Finding
from executor_mcp.analysing import AnalysisPlace
from executor_mcp.executor_policy import ExecutorPolicy
from executor_mcp.jobs import job_of
from executor_mcp.packages.addition_rules import AdditionRules
from executor_mcp.packages.errors import PackageNotAllowed, PackagesUnavailable
from executor_mcp.packages.offering import PackageOffer
from executor_mcp.packages.planning import AdditionPlanner, Plan
from executor_mcp.sandbox.base import PackageLayer, Sandbox, SandboxDescription
from executor_mcp.sandbox.errors import SandboxRefused
from executor_mcp.sandbox.refusals import refuse_what_is_not_offered
from executor_mcp.text_rules import matches
from hitl_contract.action import Action, CodeExecution, PackageAddition
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
    """What the policy says. Without `not_allowed`, `packages_refused`, `packages_unavailable` (step 6) and
    `unsafe` (step 7) the action may run, with `layers` for its packages, or by the plan of an `addition`;
    `warnings` go into the record of its execution. `policy` is the digest of the policy that was asked.
    `instead` is an action for which an agent may ask people, where there is one.
    """

    not_allowed: tuple[str, ...]
    unsafe: tuple[str, ...]
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]
    sandbox: SandboxDescription
    policy: str
    packages_refused: tuple[str, ...] = ()
    layers: tuple[PackageLayer, ...] = ()
    addition: Plan | None = None
    packages_unavailable: str | None = None
    instead: PackageAddition | None = None

    @property
    def refused_because(self) -> tuple[str, ...]:
        away = () if self.packages_unavailable is None else (self.packages_unavailable,)
        return (*self.not_allowed, *self.packages_refused, *away, *self.unsafe)


class Examiner:
    """Judges actions. Runs nothing, spends nothing, stores nothing."""

    def __init__(
        self,
        *,
        sandbox: Sandbox,
        policies: PolicySource,
        packages: PackageOffer,
        additions: AdditionPlanner,
        analysis: StaticAnalysis,
        place: AnalysisPlace,
    ) -> None:
        self._place = place
        self._sandbox = sandbox
        self._packages = packages
        self._additions = additions
        self._policies = policies
        self._analysis = analysis

    @property
    def policy(self) -> ExecutorPolicy:
        """The policy in force."""
        return self._policies.current()

    @property
    def additions(self) -> AdditionRules:
        """What an approval may add."""
        return self._additions.rules

    async def examine(self, action: Action, *, agent: str | None, has_token: bool = False) -> Verdict:
        """`agent` is `sub` of the token; None where no token says who asks. `has_token`: one stands
        behind the question; who only wants to know never holds that one up.

        Raises:
            SandboxError: the sandbox cannot say what it offers.
        """
        policy = self._policies.current()
        description = await self._sandbox.describe()
        verdict = await self._place.run(action, lambda: self._judge(policy, description, action, agent))
        if isinstance(action, PackageAddition):
            return await self._with_plan(verdict, action, has_token=has_token)
        return await self._with_packages(verdict, action)

    async def describe(self) -> SandboxDescription:
        """What the sandbox offers, with the packages that programs may have. Raises SandboxError."""
        description = await self._sandbox.describe()
        offered = {
            language: await self._packages.offered(description, language)
            for language in (Language.PYTHON, Language.NODEJS)
        }
        languages = tuple(
            replace(one, offered_packages=offered.get(one.language, ())) for one in description.languages
        )
        return replace(description, languages=languages)

    async def _with_packages(self, verdict: Verdict, action: Action) -> Verdict:
        if not isinstance(action, CodeExecution):
            return verdict
        try:
            return replace(verdict, layers=await self._packages.layers(action, verdict.sandbox))
        except PackageNotAllowed as error:
            return replace(verdict, packages_refused=(str(error),), instead=error.instead)

    async def _with_plan(self, verdict: Verdict, action: PackageAddition, *, has_token: bool) -> Verdict:
        if verdict.refused_because:
            return verdict
        try:
            plan = await self._additions.plan(action, verdict.sandbox, has_token=has_token)
            return replace(verdict, addition=plan)
        except PackageNotAllowed as error:
            return replace(verdict, packages_refused=(str(error),), instead=error.instead)
        except PackagesUnavailable as error:
            return replace(verdict, packages_unavailable=str(error))

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
