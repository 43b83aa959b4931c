"""The section `policy` of the settings, and the policy that it means."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
import hashlib
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from code_safety.findings import Rule, Severity
from executor_mcp.ceilings import Ceilings
from executor_mcp.executor_policy import ExecutorPolicy, FindingRules, Selection
from executor_mcp.text_rules import Effect, ImportRule, PatternRule
from hitl_contract.action_code import Language
from server_kit.settings import SettingsModel

Name = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=300)]
ImageName = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f*]{1,64}$")]
ModuleName = Annotated[str, StringConstraints(pattern=r"^@?[A-Za-z_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_.\-]+)*$")]
DomainPattern = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$"
    ),
]
SeverityName = Literal["none", "low", "medium", "high", "critical"]


class LimitSettings(SettingsModel):
    """The largest value of each limit that an approved action may ask for."""

    wall_seconds: float = Field(default=300, ge=0.1, le=3600)
    memory_mb: int = Field(default=2048, ge=16, le=65536)
    cpus: float = Field(default=4, ge=0.05, le=64)
    pids: int = Field(default=256, ge=1, le=4096)
    disk_mb: int = Field(default=1024, ge=1, le=65536)
    output_kb: int = Field(default=8192, ge=1, le=65536)


class PatternSettings(SettingsModel):
    """Words in a program."""

    pattern: str = Field(max_length=500, description="plain text, * stands for anything within a line")
    effect: Effect = "block"
    reason: Reason = "this executor's policy minds it"
    languages: tuple[Language, ...] = ()

    @field_validator("pattern")
    @classmethod
    def _says_something(cls, pattern: str) -> str:
        if not pattern.replace("*", "").strip():
            raise ValueError("must have text besides *, or it would stand for every program")
        if "\n" in pattern or "\r" in pattern:
            raise ValueError("must be one line: it is looked for in each line")
        return pattern


class ImportSettings(SettingsModel):
    """A module that a program imports."""

    module: ModuleName
    effect: Effect = "block"
    reason: Reason = "this executor's policy minds it"
    languages: tuple[Literal[Language.PYTHON, Language.NODEJS], ...] = ()


class AgentSettings(SettingsModel):
    """Whose programs are run, by `sub` of the token; * stands for any part of a name."""

    only: tuple[Name, ...] | None = Field(
        default=None, min_length=1, description="nobody else; left out: all"
    )
    never: tuple[Name, ...] = ()


class ImageSettings(SettingsModel):
    """In which images, by digest."""

    only: tuple[ImageName, ...] | None = Field(
        default=None, min_length=1, description="no other, and no sandbox without an image; left out: any"
    )
    never: tuple[ImageName, ...] = ()


class PolicySettings(SettingsModel):
    """What this executor is willing to run, whatever was approved."""

    limits: LimitSettings = LimitSettings()
    languages: tuple[Language, ...] = Field(default=tuple(Language), min_length=1)
    profiles: tuple[Literal["restricted", "standard", "trusted"], ...] = ("restricted", "standard")
    blocked_findings: tuple[Rule, ...] = Field(
        default=(Rule.PYTHON_SYNTAX_ERROR, Rule.PYTHON_SOURCE_ENCODING, Rule.BIDIRECTIONAL_CONTROL),
        description="findings of static analysis that stop a program",
    )
    blocked_severity: SeverityName = Field(
        default="none", description="all findings at least this severe stop a program"
    )
    warned_findings: tuple[Rule, ...] = Field(
        default=(), description="findings that are written into the execution's record"
    )
    warned_severity: SeverityName = Field(
        default="high", description="so are all findings at least this severe"
    )
    tolerated_findings: tuple[Rule, ...] = Field(
        default=(), description="findings whose severity alone neither stops nor warns"
    )
    patterns: tuple[PatternSettings, ...] = Field(default=(), max_length=200)
    imports: tuple[ImportSettings, ...] = Field(default=(), max_length=500)
    agents: AgentSettings = AgentSettings()
    images: ImageSettings = ImageSettings()
    network_domains: tuple[DomainPattern, ...] = Field(
        default=(), max_length=1000, description="names that approved programs may reach; none: no network"
    )

    @field_validator("blocked_findings", "warned_findings", "tolerated_findings", mode="after")
    @classmethod
    def _named_once(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        twice = sorted({rule.value for rule in rules if rules.count(rule) > 1})
        if twice:
            raise ValueError(f"names {', '.join(twice)} more than once")
        return rules

    def policy(self) -> ExecutorPolicy:
        tolerated = frozenset(rule.value for rule in self.tolerated_findings)
        return ExecutorPolicy(
            ceilings=Ceilings(**self.limits.model_dump()),
            languages=frozenset(language.value for language in self.languages),
            profiles=frozenset(self.profiles),
            agents=Selection(self.agents.only, self.agents.never),
            images=Selection(self.images.only, self.images.never),
            domains=self.network_domains,
            blocked=_finding_rules(self.blocked_findings, self.blocked_severity, tolerated),
            warned=_finding_rules(self.warned_findings, self.warned_severity, tolerated),
            patterns=tuple(
                PatternRule(one.pattern, one.effect, one.reason, frozenset(one.languages))
                for one in self.patterns
            ),
            imports=tuple(
                ImportRule(one.module, one.effect, one.reason, frozenset(one.languages))
                for one in self.imports
            ),
            digest=hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16],
        )


def _finding_rules(
    named: tuple[Rule, ...], severity: SeverityName, tolerated: frozenset[str]
) -> FindingRules:
    return FindingRules(
        named=frozenset(rule.value for rule in named),
        from_severity=None if severity == "none" else Severity(severity),
        left_out=tolerated,
    )
