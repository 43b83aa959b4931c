"""``shell_command``: an argument vector that no shell takes apart."""

from __future__ import annotations

import re
from typing import Final

from code_safety.findings import Place, Rule, Severity
from code_safety.inspection import Inspection
from code_safety.paths import judge_read
from code_safety.secret_patterns import find_secret, is_secret_name
from code_safety.shell.commands import inspect_command, inspect_variable
from hitl_contract.action_operations import ShellCommand

MAX_ARGUMENTS: Final = 200_000
"""Most characters of all arguments together that are judged."""

_LEAVES_TRACES: Final = frozenset(
    {
        Rule.COMMAND_WRITES_FILES,
        Rule.COMMAND_CHANGES_REPOSITORY,
        Rule.BASH_WRITES_FILES,
        Rule.PYTHON_WRITES_FILES,
        Rule.JAVASCRIPT_WRITES_FILES,
    }
)
"""What is gone with the sandbox where a program does it, and stays on the machine where a command does."""

_EXPANSIONS: Final = re.compile(r"\$\(|`|\$\{|\|\||&&")


def inspect_shell_command(action: ShellCommand, inspection: Inspection) -> None:
    """Record what the command does, in which folder and with which variables."""
    whole = inspection.at("argv")
    if sum(map(len, action.argv)) > MAX_ARGUMENTS:
        whole.add(Rule.NOT_ANALYSED_TOO_LARGE)
        return
    inspect_command(action.argv, whole, whole.place())
    for position, argument in enumerate(action.argv):
        place = Place(f"argv[{position}]")
        if find_secret(argument) is not None:
            whole.add(Rule.SECRET_IN_TEXT, place)
        # The script of `sh -c` was read as a script; anywhere else a shell's syntax means nothing.
        if position and _EXPANSIONS.search(argument) and not _is_script(action.argv, position):
            whole.add(Rule.COMMAND_SHELL_OPERATOR, place, Severity.LOW)
    traces = next((each for each in inspection.findings if each.rule in _LEAVES_TRACES), None)
    if traces is not None:
        inspection.add(traces.rule, traces.place, Severity.MEDIUM, "on the machine itself")
    for name, value in sorted(action.env.items()):
        place = Place(f"env.{name}")
        inspect_variable(name, value, inspection, place)
        if find_secret(value) is not None or (is_secret_name(name) and len(value) >= 8):
            inspection.add(Rule.SECRET_IN_TEXT, place, Severity.MEDIUM)
    if action.cwd is not None and (verdict := judge_read(action.cwd)) is not None:
        outside = verdict.rule in {Rule.PATH_OUTSIDE, Rule.PATH_TRAVERSAL}
        # Agents name the folder of their project by its whole path; that alone is no news.
        inspection.add(verdict.rule, Place("cwd"), Severity.LOW if outside else verdict.severity)


def _is_script(argv: tuple[str, ...], position: int) -> bool:
    return bool(re.match(r"^-[a-zA-Z]*[ceS]$", argv[position - 1]))
