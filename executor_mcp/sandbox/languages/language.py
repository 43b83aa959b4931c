"""What a sandbox has to know of a language."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

from executor_mcp.sandbox.base import SandboxJob
from hitl_contract.action_code import Language


def driver_source(name: str) -> str:
    """Source text of a file that runs inside a sandbox."""
    return (resources.files("executor_mcp.sandbox") / "drivers" / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Driver:
    """A program that runs the agent's program, given its path; it reports a result by descriptor 3.

    Attributes:
        file_name: the driver's name in a sandbox; also that of its file in `drivers` where `text` is None.
        text: its source.
        preflight: a small program that leads a Python driver through all it does. With one, interpreters
            that wait in warm sandboxes load the driver and run this in advance.
    """

    file_name: str
    text: str | None = None
    preflight: str | None = None

    @property
    def path(self) -> str:
        """Where it is in a sandbox."""
        return f"/tmp/.{self.file_name}"  # noqa: S108 - inside the sandbox

    def source(self) -> str:
        return driver_source(self.file_name) if self.text is None else self.text


def _nothing(_: SandboxJob) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class SandboxLanguage:
    """One language.

    Attributes:
        name: as actions name it.
        interpreter: a program that is in `/usr/local/bin`, `/usr/bin` or `/bin` of the sandbox.
        program_name: how the program's file is called in the work directory.
        probe: arguments with which the interpreter prints `{"version": TEXT, "packages": [TEXT, …]}`.
        input: how a program finds its input; one sentence for agents.
        result: what becomes the result of an execution; one sentence for agents.
        options: of the interpreter, before the driver or the program.
        driver: None where the interpreter runs the program itself; there is no result then.
        environment: variables that are made of the job, besides those of all languages.
        debian_packages: what the image installs for it. A base that brings an interpreter of its own, not
            Debian's, brings what belongs to it too.
    """

    name: Language
    interpreter: str
    program_name: str
    probe: tuple[str, ...]
    input: str
    result: str
    options: tuple[str, ...] = ()
    driver: Driver | None = None
    environment: Callable[[SandboxJob], dict[str, str]] = _nothing
    debian_packages: tuple[str, ...] = ()

    def arguments(self, program_path: str) -> list[str]:
        """The interpreter's arguments for one program."""
        driver = () if self.driver is None else (self.driver.path,)
        return [*self.options, *driver, program_path]
