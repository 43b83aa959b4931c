"""What an operator sets about packages."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from executor_mcp.packages.addition_rules import AdditionRules, NamePattern
from executor_mcp.packages.errors import RequirementInvalid
from executor_mcp.packages.requirements import parse_requirement
from hitl_contract.action_code import Language
from server_kit.settings import SettingsModel


def _requirement(value: str, language: Language) -> str:
    try:
        parse_requirement(value, language)
    except RequirementInvalid as error:
        raise ValueError(str(error)) from error
    return value


def _pattern(value: str, language: Language) -> str:
    try:
        NamePattern.parse(value, language)
    except RequirementInvalid as error:
        raise ValueError(str(error)) from error
    return value


def _python_pattern(value: str) -> str:
    return _pattern(value, Language.PYTHON)


def _nodejs_pattern(value: str) -> str:
    return _pattern(value, Language.NODEJS)


Pattern = Annotated[str, AfterValidator(_python_pattern)]
NodejsPattern = Annotated[str, AfterValidator(_nodejs_pattern)]


class AdditionSettings(SettingsModel):
    """Packages that programs get because people approved it, without an operator. Off: nothing is allowed."""

    allowed: tuple[Pattern, ...] = Field(
        default=(),
        max_length=500,
        description="what of Python an approval may add, such as types-* or pandas>=2,<3; none: nothing",
    )
    never: tuple[Pattern, ...] = Field(
        default=(), max_length=500, description="what may not come along either, as a need of another one"
    )
    nodejs_allowed: tuple[NodejsPattern, ...] = Field(
        default=(),
        max_length=500,
        description="what of Node.js an approval may add, such as @types/* or lodash@^4.17; none: nothing",
    )
    nodejs_never: tuple[NodejsPattern, ...] = Field(
        default=(), max_length=500, description="what of Node.js may not come along either"
    )
    wall_seconds: float = Field(default=300, ge=1, le=3600, description="longest an addition may take")
    disk_mb: int = Field(
        default=2048, ge=1, le=65536, description="room that its files may take while it is added"
    )

    def rules(self) -> AdditionRules:
        return AdditionRules(
            (*_parsed(self.allowed, Language.PYTHON), *_parsed(self.nodejs_allowed, Language.NODEJS)),
            (*_parsed(self.never, Language.PYTHON), *_parsed(self.nodejs_never, Language.NODEJS)),
        )


def _parsed(texts: Iterable[str], language: Language) -> Iterator[NamePattern]:
    return (NamePattern.parse(text, language) for text in texts)


def _python_requirement(value: str) -> str:
    return _requirement(value, Language.PYTHON)


def _nodejs_requirement(value: str) -> str:
    return _requirement(value, Language.NODEJS)


class VulnerabilitySettings(SettingsModel):
    """Who is asked whether a package is known to be vulnerable."""

    source: Literal["none", "osv_snapshot", "osv_api", "pypi"] = "none"
    file: Path | None = Field(default=None, description="osv_snapshot: a zip archive or JSON of OSV records")
    nodejs_file: Path | None = Field(
        default=None, description="osv_snapshot: one of records about npm's packages; file by default"
    )
    url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s?#@]+$",
        description="osv_api: the service; pypi: the package index",
    )
    max_age_hours: float = Field(
        default=168, gt=0, le=8760, description="after this long without a scan a package counts as unknown"
    )
    snapshot_max_age_days: float = Field(
        default=14, gt=0, le=365, description="age at which a file is too old"
    )

    @model_validator(mode="after")
    def _has_where_to_look(self) -> Self:
        if self.source == "osv_snapshot" and self.file is None:
            raise ValueError("file is needed for the source osv_snapshot")
        if self.source in ("osv_api", "pypi") and self.url is None:
            raise ValueError(f"url is needed for the source {self.source}")
        return self


class PackageSettings(SettingsModel):
    """Packages that programs may use, once an operator has locked them."""

    python: tuple[Annotated[str, AfterValidator(_python_requirement)], ...] = Field(
        default=(), description="names with the versions that are allowed, such as requests>=2.31,<3"
    )
    nodejs: tuple[Annotated[str, AfterValidator(_nodejs_requirement)], ...] = Field(
        default=(), description="names with the versions that are allowed, such as lodash@^4.17.21"
    )
    directory: Path | None = Field(default=None, description="where layers lie; packages in home by default")
    vulnerabilities: VulnerabilitySettings = VulnerabilitySettings()
    additions: AdditionSettings = AdditionSettings()

    @model_validator(mode="after")
    def _additions_are_checked(self) -> Self:
        source = self.vulnerabilities.source
        if self.additions.rules().allowed and source == "none":
            raise ValueError("additions.allowed needs vulnerabilities.source: what nobody knows is not added")
        if self.additions.nodejs_allowed and source == "pypi":
            raise ValueError(
                "additions.nodejs_allowed needs vulnerabilities.source osv_snapshot or osv_api: pypi knows "
                "nothing of Node.js packages"
            )
        return self
