"""``package_addition``: packages that programs may use from then on, and everything that comes with them."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, model_validator

from hitl_contract.action_fields import ActionModel
from hitl_contract.nodejs_packages import nodejs_name, refuse_unless_exact

MAX_PACKAGES: Final = 16
MAX_NEEDS: Final = 128

_NODEJS: Final = "nodejs"
_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?"
_EXACT: Final = re.compile(
    rf"({_NAME})(?:\[({_NAME}(?:,{_NAME}){{0,15}})\])?==([^\s=\[\]]{{1,64}})", re.ASCII
)
_CANONICAL_VERSION: Final = re.compile(
    r"(?:[1-9][0-9]*!)?(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*(?:(?:a|b|rc)(?:0|[1-9][0-9]*))?"
    r"(?:\.post(?:0|[1-9][0-9]*))?(?:\.dev(?:0|[1-9][0-9]*))?(?:\+[a-z0-9]+(?:\.[a-z0-9]+)*)?",
    re.ASCII,
)
_END_OF_NAME: Final = re.compile(r"[\[<>=!~^*\s,]")


def normal_name(name: str) -> str:
    """A package's name as indexes compare it: lower case, one hyphen for each run of ``-_.``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str, language: str = "python") -> str:
    """The normal name of the package that a requirement is about, whatever versions it asks for."""
    if language == _NODEJS:
        return nodejs_name(requirement)
    return normal_name(_END_OF_NAME.split(requirement, maxsplit=1)[0])


def version_of(exact: str, language: str) -> str:
    """The version of a requirement that names one exactly."""
    return exact.rpartition("@" if language == _NODEJS else "==")[2]


def _exact(value: str, info: ValidationInfo) -> str:
    if info.data.get("language") == _NODEJS:
        refuse_unless_exact(value, needed=info.field_name == "needs")
        return value
    return _exact_python(value)


def _exact_python(value: str) -> str:
    found = _EXACT.fullmatch(value)
    if found is None:
        raise ValueError("must name one exact version without white space (for example requests==2.32.3)")
    name, extras, version = found.groups()
    if _CANONICAL_VERSION.fullmatch(version) is None:
        raise ValueError(
            "must have its version in the normal form of PEP 440 (for example 2.0rc1, not 2.0-RC.1)"
        )
    named = ",".join(sorted({normal_name(extra) for extra in extras.split(",")})) if extras else ""
    normal = f"{normal_name(name)}{f'[{named}]' if named else ''}=={version}"
    if value != normal:
        raise ValueError(f"must have its names in their normal form: {normal}")
    return value


ExactRequirement = Annotated[str, StringConstraints(min_length=4, max_length=400), AfterValidator(_exact)]


class PackageAddition(ActionModel):
    """Let programs use packages that the executor does not offer yet.

    It installs exactly what is named: ``packages``, and in ``needs`` whatever these need, of Node.js in as
    many versions as come along. An executor that finds that anything else would be installed refuses.
    """

    type: Literal["package_addition"] = "package_addition"
    # Before what is written as this language writes it.
    language: Annotated[Literal["python", "nodejs"], Field(description="Whose packages they are")]
    packages: Annotated[
        tuple[ExactRequirement, ...],
        Field(
            strict=False,
            min_length=1,
            max_length=MAX_PACKAGES,
            description="What programs may name from then on, each as NAME==VERSION, of Node.js as "
            "NAME@VERSION",
        ),
    ]
    needs: Annotated[
        tuple[ExactRequirement, ...],
        Field(
            strict=False,
            max_length=MAX_NEEDS,
            description="Everything else that they need, each written the same way; validate_code of the "
            "executor says what that is",
        ),
    ] = ()

    @model_validator(mode="after")
    def _names_each_package_once(self) -> Self:
        everything, offered = (*self.packages, *self.needs), self.packages
        # Of Node.js each package has what it needs to itself, so that several versions of one come along.
        once = offered if self.language == _NODEJS else everything
        names = [name_of(each, self.language) for each in once]
        if len(set(names)) != len(names) or len(set(everything)) != len(everything):
            raise ValueError("packages and needs must not name a package twice")
        return self

    @model_validator(mode="after")
    def _needs_are_plain(self) -> Self:
        if any("[" in each for each in self.needs):
            raise ValueError("needs must not have extras: what these bring is named itself")
        return self

    @property
    def in_several_versions(self) -> dict[str, tuple[str, ...]]:
        """Packages that come along more than once, with their versions as they are named."""
        versions: dict[str, list[str]] = {}
        for each in (*self.packages, *self.needs):
            found = versions.setdefault(name_of(each, self.language), [])
            found.append(version_of(each, self.language))
        return {name: tuple(found) for name, found in versions.items() if len(found) > 1}
