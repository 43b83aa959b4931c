"""A single command, from a script or on its own: wrappers taken off, then judged by what the program does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from code_safety.findings import Place, Rule, Severity
from code_safety.inspection import Inspection
from code_safety.paths import judge_read
from code_safety.shell.command_rules import COMMAND_RULES, UNIT, operands
from code_safety.shell.git_rules import inspect_git
from code_safety.shell.read_only import is_read_only
from code_safety.shell.words import UNKNOWN
from code_safety.shell.wrappers import changes_loading, program_name, unwrap

SHELLS: Final = frozenset(
    [
        "sh",
        "bash",
        "dash",
        "zsh",
        "ksh",
        "ash",
        "fish",
        "rbash",
        "mksh",
        "csh",
        "tcsh",
        "pwsh",
        "powershell",
        "cmd",
    ]
)
_INTERPRETERS: Final = re.compile(
    r"^(?:python(?:\d(?:\.\d+)?)?|pypy3?|ipython3?|node|nodejs|deno|bun|perl|ruby|php|lua|Rscript|julia|groovy|scala|ts-node|tsx)$"
)
_LANGUAGE_OF: Final = {
    "python": "python",
    "pypy": "python",
    "ipython": "python",
    "node": "nodejs",
    "bun": "nodejs",
    "deno": "nodejs",
}
_SQL_CLIENTS: Final = frozenset(
    {"sqlite3", "duckdb", "psql", "mysql", "mariadb", "clickhouse-client", "sqlcmd", "cockroach"}
)
_SQL_CLIENT_FILES: Final = re.compile(
    r"^(?:-[oLf]\S*|-init|--?(?:output|out|log-file|file|init|tee|defaults-\S+|init-command|plugin-dir)(?:=.*)?)$",
    re.DOTALL,
)
_GLOB_NAME: Final = re.compile(r"[*?\[]")
_SHELL_OPERATORS: Final = frozenset(
    {"|", "||", "&&", ";", "&", ">", ">>", "<", "<<", "<<<", "2>", "2>&1", "|&", "&>"}
)


def is_interpreter(words: Sequence[str]) -> bool:
    """Tell whether a command reads a program from its input: an interpreter without a script of its own."""
    inner = unwrap(words).words
    if not inner:
        return False
    name = program_name(inner[0])
    if name not in SHELLS and not _INTERPRETERS.match(name) and name not in {"source", "."}:
        return False
    return (
        not operands(inner[1:]) or inner[-1] == "-" or any(word in {"-s", "/dev/stdin"} for word in inner[1:])
    )


def language_of(words: Sequence[str]) -> str:
    """The language that an interpreter reads; one that has no analyser is named as it is."""
    inner = unwrap(words).words
    name = program_name(inner[0]) if inner else "bash"
    if name in SHELLS or name in {"source", "."}:
        return "bash"
    return next((language for prefix, language in _LANGUAGE_OF.items() if name.startswith(prefix)), name)


def inspect_joined_command(text: str, inspection: Inspection) -> None:
    """Judge a command that came as one text joined by UNIT (from ``find -exec``)."""
    inspect_command(text.split(UNIT), inspection, inspection.place())


def inspect_command(
    words: Sequence[str], inspection: Inspection, place: Place, *, functions: frozenset[str] = frozenset()
) -> None:
    """Record what a command does; nothing is recorded for one that only reads the work folder.

    `functions` are the names that the script defines itself.
    """
    unwrapped = unwrap(words)
    for rule, severity in unwrapped.findings:
        inspection.add(rule, place, severity)
    for name, value in unwrapped.variables:
        inspect_variable(name, value, inspection, place)
    if unwrapped.script is not None:
        inspection.embedded("bash", unwrapped.script, place)
        return
    if not unwrapped.words:
        return
    name, arguments = unwrapped.words[0], unwrapped.words[1:]
    if UNKNOWN in name or (_GLOB_NAME.search(name) and name not in {"[", "[["}):
        inspection.add(Rule.BASH_BUILDS_COMMAND_NAME, place)
        return
    program = program_name(name)
    if program in functions:
        return
    if (
        name.startswith(("/", "./", "../", "~"))
        and judge_read(name) is not None
        and not name.startswith(
            ("/bin/", "/usr/bin/", "/usr/local/bin/", "/sbin/", "/usr/sbin/", "/opt/homebrew/")
        )
    ):
        inspection.add(Rule.COMMAND_NOT_ALLOWLISTED, place)
    if unwrapped.from_input:
        arguments = [*arguments, UNKNOWN]
    _judge(program, arguments, inspection, place)


def inspect_variable(name: str, value: str, inspection: Inspection, place: Place) -> None:
    """Record the setting of a variable that other programs obey."""
    if name == "IFS":
        inspection.add(Rule.BASH_CHANGES_SHELL, place, Severity.LOW)
    elif changes_loading(name) and name not in {
        "EDITOR",
        "VISUAL",
        "PAGER",
        "BROWSER",
        "GIT_EDITOR",
        "GIT_PAGER",
    }:
        keeps = name == "PATH" and not re.match(r"^(?:\.|/tmp|\x00)", value)
        inspection.add(
            Rule.COMMAND_CHANGES_LOADER, place, Severity.MEDIUM if keeps or name == "PYTHONPATH" else None
        )
    elif changes_loading(name) and value not in {"cat", "less", "more", "vim", "vi", "nano", "true", ""}:
        inspection.add(Rule.COMMAND_CHANGES_LOADER, place)


def _judge(program: str, arguments: list[str], inspection: Inspection, place: Place) -> None:
    if program == "git":
        inspect_git(arguments, inspection, place)
    elif program in SHELLS:
        _inspect_shell(arguments, inspection, place)
    elif _INTERPRETERS.match(program):
        _inspect_interpreter(program, arguments, inspection, place)
    elif program in _SQL_CLIENTS:
        _inspect_sql_client(arguments, inspection, place)
    elif program in {"eval", "trap", "alias", "source", "."} | {
        "set",
        "shopt",
        "unset",
        "export",
        "unalias",
        "enable",
        "bind",
        "complete",
    }:
        _inspect_builtin(program, arguments, inspection, place)
    elif is_read_only(program, arguments):
        if program == "yes":
            return
        for argument in operands(arguments):
            quiet = program in {"echo", "printf", "[", "test", "[[", "expr", "basename", "dirname"}
            if not quiet and (verdict := judge_read(argument.replace(UNKNOWN, ""))) is not None:
                inspection.add(verdict.rule, place, verdict.severity)
    elif (rule := COMMAND_RULES.get(program) or COMMAND_RULES.get(program.partition(".")[0])) is not None:
        rule(program, arguments, inspection, place)
    else:
        inspection.add(Rule.COMMAND_NOT_ALLOWLISTED, place)
        for argument in arguments:
            if (verdict := judge_read(argument.replace(UNKNOWN, ""))) is not None:
                inspection.add(verdict.rule, place, verdict.severity)
    if any(argument in _SHELL_OPERATORS for argument in arguments) and program not in {
        "[",
        "[[",
        "test",
        "expr",
        "find",
    }:
        inspection.add(Rule.COMMAND_SHELL_OPERATOR, place)


def _inspect_shell(arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
    for position, argument in enumerate(arguments):
        if re.match(r"^-[a-zA-Z]*c$", argument) or argument in {
            "--command",
            "-Command",
            "/c",
            "-EncodedCommand",
            "-enc",
        }:
            script = arguments[position + 1] if position + 1 < len(arguments) else UNKNOWN
            if argument in {"-EncodedCommand", "-enc"}:
                inspection.add(Rule.BASH_RUNS_DECODED_PAYLOAD, place)
            elif UNKNOWN in script:
                inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE, place)
                inspection.embedded("bash", script.replace(UNKNOWN, "''"), place)
            else:
                inspection.embedded("bash", script, place)
            return
        if argument in {"--rcfile", "--init-file"}:
            inspection.add(Rule.COMMAND_CHANGES_LOADER, place)
        if not argument.startswith(("-", "+")):
            inspection.add(Rule.COMMAND_RUNS_CODE, place, detail="a script that is not shown here")
            if (verdict := judge_read(argument.replace(UNKNOWN, ""))) is not None:
                inspection.add(Rule.COMMAND_RUNS_CODE, place, Severity.HIGH)
                inspection.add(verdict.rule, place, verdict.severity)
            return
        if re.match(r"^-[a-z]*i", argument):
            inspection.add(Rule.COMMAND_RUNS_CODE, place, Severity.HIGH, "an interactive shell")
    inspection.add(Rule.COMMAND_RUNS_CODE, place)


def _inspect_interpreter(
    program: str, arguments: Sequence[str], inspection: Inspection, place: Place
) -> None:
    language = language_of([program])
    if arguments and arguments[0] in {"--version", "-V", "-v", "--help"} and len(arguments) == 1:
        return
    for position, argument in enumerate(arguments):
        following = arguments[position + 1] if position + 1 < len(arguments) else ""
        inline = re.match(r"^-[a-zA-Z]*[ceErp]$", argument) or argument in {"--eval", "--print", "eval"}
        if language == "python":
            inline = re.match(r"^-[bBdEhiIOqsSuvx]*c$", argument)
        if inline:
            if UNKNOWN in following or not following:
                inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE, place)
                following = following.replace(UNKNOWN, " ")
            inspection.embedded(language, following, place)
            return
        if language == "python" and argument.startswith("-c") and len(argument) > 2:
            inspection.embedded("python", argument[2:], place)
            return
        if language == "python" and argument.startswith("-m"):
            module = argument[2:] or following
            if module == "pip":
                COMMAND_RULES["pip"]("pip", list(arguments[position + 2 :]), inspection, place)
            elif module.partition(".")[0] in {"http", "smtpd", "ftplib"}:
                inspection.add(Rule.COMMAND_OPENS_NETWORK, place, Severity.HIGH, "serves files to others")
            elif module == "json.tool" and len(operands(arguments[position + 1 :])) > 2:
                inspection.add(Rule.COMMAND_WRITES_FILES, place)
            elif module not in {"json.tool", "calendar", "this", "py_compile", "tokenize", "ast", "dis"}:
                inspection.add(Rule.COMMAND_RUNS_CODE, place)
            return
        if not argument.startswith("-"):
            break
    inspection.add(Rule.COMMAND_RUNS_CODE, place, detail="a program that is not shown here")
    for argument in arguments:
        if (verdict := judge_read(argument.replace(UNKNOWN, ""))) is not None:
            inspection.add(verdict.rule, place, verdict.severity)


def _inspect_sql_client(arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
    known = False
    if any(_SQL_CLIENT_FILES.match(argument) for argument in arguments):
        inspection.add(Rule.COMMAND_WRITES_FILES, place, Severity.MEDIUM, "or reads its commands from one")
    for position, argument in enumerate(arguments):
        statement = ""
        if argument in {"-c", "-e", "--command", "--execute", "-Q", "-q", "--query", "-cmd"}:
            statement = arguments[position + 1] if position + 1 < len(arguments) else ""
        elif argument.startswith(("--command=", "--execute=", "--query=")):
            statement = argument.partition("=")[2]
        elif " " in argument and not argument.startswith("-") and position:
            statement = argument
        if statement and statement.lstrip().startswith(
            (".shell", ".system", "\\!", ".load", ".output", ".import", "\\copy", "\\o")
        ):
            inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE, place)
        elif statement:
            inspection.embedded("sql", statement, place)
            known = True
    if not known:
        inspection.add(Rule.COMMAND_RUNS_CODE, place, detail="a database client")


def _inspect_builtin(program: str, arguments: list[str], inspection: Inspection, place: Place) -> None:
    joined = " ".join(arguments)
    if program == "eval":
        if UNKNOWN in joined:
            inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE, place)
        inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE, place, Severity.MEDIUM)
        inspection.embedded("bash", joined.replace(UNKNOWN, "''"), place)
    elif program in {"source", "."}:
        inspection.add(
            Rule.COMMAND_RUNS_CODE, place, Severity.HIGH if UNKNOWN in joined or "/dev/" in joined else None
        )
        if arguments and (verdict := judge_read(arguments[0])) is not None:
            inspection.add(verdict.rule, place, verdict.severity)
    elif program == "trap":
        if arguments and arguments[0] not in {"-", "-p", "-l", ""}:
            inspection.add(
                Rule.BASH_CHANGES_SHELL, place, Severity.MEDIUM if "DEBUG" in arguments else Severity.LOW
            )
            inspection.embedded("bash", arguments[0].replace(UNKNOWN, "''"), place)
    elif program == "alias":
        inspection.add(Rule.BASH_CHANGES_SHELL, place)
        for argument in arguments:
            inspection.embedded("bash", argument.partition("=")[2], place)
    elif program in {"enable", "bind", "complete"}:
        inspection.add(
            Rule.BASH_CHANGES_SHELL, place, Severity.HIGH if "-f" in arguments or "-x" in joined else None
        )
    elif (program == "unset" and any(argument in {"HISTFILE", "HISTSIZE"} for argument in arguments)) or (
        program == "set" and "history" in joined
    ):
        inspection.add(Rule.COMMAND_COVERS_TRACKS, place)
    elif (program == "set" and not arguments) or (
        program == "export" and (not arguments or arguments == ["-p"])
    ):
        inspection.add(Rule.COMMAND_READS_ENVIRONMENT, place)
