"""Puts the supervisor together: in a sandbox there is no file of this project to import."""

from __future__ import annotations

from executor_mcp.sandbox.job_message import usual_environment
from executor_mcp.sandbox.languages.language import driver_source
from executor_mcp.sandbox.languages.python import PYTHON_OPTIONS
from executor_mcp.sandbox.languages.registry import Languages

_LANGUAGES_MODULE = "sandbox_languages"
_SUPERVISOR_MODULES = (
    "supervisor_quick",
    "supervisor_wire",
    "supervisor_parts",
    "supervisor_files",
    "egress_forwarder",
    "supervisor",
)
_WARM_MODULES = (
    "supervisor_quick",
    "supervisor_wire",
    "supervisor_parts",
    "supervisor_files",
    "warm_handover",
    "warm_child",
    "warm_drivers",
    "warm_supervisor",
    "warm_start",
)


def supervisor_program(languages: Languages) -> str:
    """The supervisor's modules as one program for `python3 -c`."""
    return program_of(sources_of(_SUPERVISOR_MODULES, languages), "")


def warm_supervisor_command(socket_path: str, compiled_path: str | None, languages: Languages) -> list[str]:
    """The command of a warm sandbox's process 1, with the options that its programs run under."""
    if compiled_path is not None:
        return ["python3", *PYTHON_OPTIONS, compiled_path, socket_path]
    modules, drivers = warm_supervisor_sources(languages)
    fill = f"    if name == 'warm_drivers': sys.modules[name].DRIVERS.update({drivers!r})\n"
    return ["python3", *PYTHON_OPTIONS, "-c", program_of(modules, fill), socket_path]


def warm_supervisor_sources(languages: Languages) -> tuple[dict[str, str], dict[str, str]]:
    """The modules of a warm sandbox's supervisor by name, and the drivers it loads in advance by path."""
    drivers = {driver.path: driver.source() for driver in languages.preloaded}
    return sources_of(_WARM_MODULES, languages), drivers


def sources_of(modules: tuple[str, ...], languages: Languages) -> dict[str, str]:
    """The modules of a supervisor by name, and before them what it has to know of the languages."""
    preflights = {driver.path: driver.preflight for driver in languages.preloaded}
    facts = (
        f"INTERPRETERS = {languages.interpreters!r}\nPREFLIGHTS = {preflights!r}\n"
        f"ENVIRONMENT = {usual_environment(languages)!r}\n"
    )
    return {_LANGUAGES_MODULE: facts, **{name: driver_source(f"{name}.py") for name in modules}}


def program_of(sources: dict[str, str], after_each: str) -> str:
    """One program of several modules; `after_each` are lines that are run after each of them."""
    return (
        "import sys, types\n"
        f"for name, source in {sources!r}.items():\n"
        "    sys.modules[name] = types.ModuleType(name)\n"
        "    exec(compile(source, name, 'exec'), sys.modules[name].__dict__)\n" + after_each
    )
