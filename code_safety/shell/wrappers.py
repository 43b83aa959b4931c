"""Programs that run another program: what is left when they are taken off."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from code_safety.findings import Rule, Severity
from code_safety.shell.words import UNKNOWN

MAX_LAYERS: Final = 12

_OPTIONS_WITH_VALUE: Final[Mapping[str, tuple[str, ...]]] = {
    "sudo": (
        "-u",
        "-g",
        "-h",
        "-p",
        "-C",
        "-r",
        "-t",
        "-T",
        "-U",
        "-D",
        "-R",
        "--user",
        "--group",
        "--chdir",
    ),
    "doas": ("-u", "-C"),
    "env": ("-u", "-C", "--unset", "--chdir"),
    "nice": ("-n", "--adjustment"),
    "ionice": ("-c", "-n", "-p"),
    "timeout": ("-s", "-k", "--signal", "--kill-after"),
    "xargs": (
        "-I",
        "-n",
        "-P",
        "-d",
        "-L",
        "-s",
        "-a",
        "-E",
        "--max-args",
        "--max-procs",
        "--delimiter",
        "--arg-file",
    ),
    "stdbuf": ("-i", "-o", "-e"),
    "watch": ("-n", "--interval"),
    "strace": ("-e", "-o", "-p", "-s"),
    "chroot": ("--userspec", "--groups"),
    "exec": ("-a",),
    "time": ("-f", "-o", "--format", "--output"),
    "flock": ("-w", "-E", "--timeout"),
    "taskset": (),
    "unshare": ("-S", "-G", "-R"),
    "nsenter": ("-t", "-S", "-G"),
    "script": (),
    "parallel": ("-j", "--jobs", "-I", "-a"),
    "runuser": ("-u", "-g"),
    "setpriv": (),
    "proot": ("-r", "-b", "-w"),
    "systemd-run": ("-u", "-p", "--unit", "--property", "--on-active", "--on-calendar"),
    "su": (),
}
_BARE: Final = frozenset(
    [
        "nohup",
        "setsid",
        "command",
        "builtin",
        "exec",
        "time",
        "nice",
        "ionice",
        "env",
        "sudo",
        "doas",
        "timeout",
        "xargs",
        "stdbuf",
        "watch",
        "strace",
        "chroot",
        "flock",
        "taskset",
        "unshare",
        "nsenter",
        "busybox",
        "toybox",
        "parallel",
        "runuser",
        "setpriv",
        "proot",
        "systemd-run",
        "dbus-run-session",
        "fakeroot",
        "eatmydata",
        "chrt",
        "catchsegv",
        "unbuffer",
        "coproc",
        "ltrace",
        "linux64",
        "linux32",
        "setarch",
        "caffeinate",
        "pkexec",
        "xvfb-run",
    ]
)
_POSITIONAL_FIRST: Final = {"timeout": 1, "chroot": 1, "flock": 1, "taskset": 1, "chrt": 1}
_RAISES: Final = frozenset(
    {"sudo", "doas", "pkexec", "chroot", "nsenter", "runuser", "setpriv", "unshare", "systemd-run"}
)
_DETACHES: Final = frozenset({"nohup", "setsid", "systemd-run"})
_LOADER: Final = re.compile(
    r"^(?:LD_\w+|DYLD_\w+|PATH|BASH_ENV|ENV|PROMPT_COMMAND|PYTHONPATH|PYTHONSTARTUP|PYTHONHOME|NODE_OPTIONS|NODE_PATH|PERL5OPT"
    r"|PERL5LIB|RUBYOPT|RUBYLIB|GIT_SSH\w*|GIT_EXTERNAL_DIFF|GIT_EDITOR|GIT_PAGER|GIT_CONFIG\w*|GIT_EXEC_PATH|PAGER|EDITOR"
    r"|VISUAL|BROWSER|MANPAGER|LESSOPEN|LESSCLOSE|IFS|PS4|SHELLOPTS|BASHOPTS|BASH_FUNC_\w+|JAVA_TOOL_OPTIONS|CLASSPATH)$"
)


@dataclass(slots=True)
class Unwrapped:
    """The inner command, and what the layers around it mean. `script` is a text that a shell would read."""

    words: list[str]
    findings: list[tuple[Rule, Severity | None]] = field(default_factory=list[tuple[Rule, Severity | None]])
    variables: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    script: str | None = None
    from_input: bool = False


def unwrap(words: Sequence[str]) -> Unwrapped:
    """Take off wrappers such as ``sudo``, ``env``, ``xargs`` and ``timeout``, one within the other."""
    found = Unwrapped(list(words))
    for _ in range(MAX_LAYERS):
        if not found.words:
            return found
        program = program_name(found.words[0])
        if program not in _BARE:
            return found
        _take_off(program, found)
    found.findings.append((Rule.NOT_ANALYSED_TOO_COMPLEX, None))
    return found


def program_name(word: str) -> str:
    """The name of a program without its folder, as the allowlists know it."""
    name = word.rpartition("/")[2]
    return {"gawk": "awk", "mawk": "awk", "nawk": "awk", "gsed": "sed", "gfind": "find"}.get(name, name)


def changes_loading(variable: str) -> bool:
    """Tell whether a variable decides which code other programs load or run."""
    return _LOADER.match(variable) is not None


def _take_off(program: str, found: Unwrapped) -> None:
    rest = found.words[1:]
    if program in _RAISES:
        found.findings.append((Rule.COMMAND_RAISES_PRIVILEGES, None))
    if program in _DETACHES:
        found.findings.append((Rule.BASH_BACKGROUND, None))
    with_value = _OPTIONS_WITH_VALUE.get(program, ())
    while rest and rest[0].startswith("-") and rest[0] != "-":
        option = rest.pop(0)
        if option == "--":
            break
        if program == "env" and (option.startswith(("-S", "--split-string"))):
            text = option.partition("=")[2] if option.startswith("--") else option[2:]
            found.script = " ".join([text or (rest.pop(0) if rest else ""), *rest])
            found.words = []
            return
        if program in {"command", "builtin"} and option in {"-v", "-V"}:
            found.words = ["type", *rest]
            return
        if program in {"flock", "script", "watch", "su"} and option in {"-c", "--command"}:
            found.script, found.words = (rest[0] if rest else ""), []
            return
        replaced = program in {"xargs", "parallel"} and option.startswith("-I")
        value = option[2:] if replaced and len(option) > 2 else ""
        if option in with_value and rest:
            value = rest.pop(0)
        if replaced and value:
            rest = [word.replace(value, UNKNOWN) for word in rest]
    rest = rest[_POSITIONAL_FIRST.get(program, 0) :]
    while program in {"env", "sudo", "doas"} and rest and re.match(r"^[A-Za-z_]\w*=", rest[0]):
        name, _, value = rest.pop(0).partition("=")
        found.variables.append((name, value))
    if program in {"xargs", "parallel"}:
        found.from_input = True
        rest = rest or ["echo"]
    if program == "watch" and rest:
        found.script, rest = " ".join(rest), []
    if program == "env" and not rest:
        rest = ["printenv"]
    found.words = rest
