"""The languages of a sandbox, found by their name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from executor_mcp.sandbox.errors import SandboxRefused
from executor_mcp.sandbox.languages.bash import BASH
from executor_mcp.sandbox.languages.language import Driver, SandboxLanguage
from executor_mcp.sandbox.languages.nodejs import NODEJS
from executor_mcp.sandbox.languages.python import PYTHON
from executor_mcp.sandbox.languages.sql import SQL
from hitl_contract.action_code import Language

_DEBIAN_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")


class Languages:
    """An unchanging set of languages, in the order in which they are reported."""

    def __init__(self, languages: Sequence[SandboxLanguage]) -> None:
        self._by_name = {language.name: language for language in languages}
        if len(self._by_name) != len(languages):
            raise ValueError("two languages have the same name")
        wrong = [name for name in self.debian_packages if _DEBIAN_NAME.fullmatch(name) is None]
        if wrong:
            raise ValueError(f"no names of Debian packages: {', '.join(wrong)}")

    def __iter__(self) -> Iterator[SandboxLanguage]:
        return iter(self._by_name.values())

    def of(self, name: Language) -> SandboxLanguage:
        """Raises SandboxRefused for a name that is none of these."""
        if name not in self._by_name:
            offered = ", ".join(self._by_name)
            raise SandboxRefused(f"language: {name} is not offered by this sandbox; offered: {offered}")
        return self._by_name[name]

    @property
    def interpreters(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(language.interpreter for language in self))

    @property
    def debian_packages(self) -> tuple[str, ...]:
        """What an image has to have for all of them."""
        return tuple(dict.fromkeys(name for language in self for name in language.debian_packages))

    @property
    def preloaded(self) -> tuple[Driver, ...]:
        """Drivers that a waiting interpreter holds."""
        drivers = (language.driver for language in self)
        return tuple(driver for driver in drivers if driver is not None and driver.preflight is not None)


BUILT_IN = Languages((PYTHON, NODEJS, BASH, SQL))
