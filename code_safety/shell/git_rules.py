"""Git commands: which only read, which lose work, which reach others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from code_safety.findings import Place, Rule, Severity
from code_safety.inspection import Inspection
from code_safety.paths import judge_read
from code_safety.shell.command_rules import has_option, operands

_READING: Final = frozenset(
    [
        "status",
        "log",
        "diff",
        "show",
        "rev-parse",
        "rev-list",
        "ls-files",
        "ls-tree",
        "blame",
        "annotate",
        "shortlog",
        "describe",
        "cat-file",
        "grep",
        "reflog",
        "version",
        "help",
        "name-rev",
        "merge-base",
        "diff-tree",
        "diff-index",
        "diff-files",
        "show-ref",
        "for-each-ref",
        "whatchanged",
        "count-objects",
        "cherry",
        "range-diff",
        "check-ignore",
        "check-attr",
        "var",
        "verify-commit",
        "verify-tag",
        "show-branch",
        "fsck",
    ]
)
_CHANGING: Final = frozenset(
    [
        "add",
        "commit",
        "init",
        "mv",
        "merge",
        "cherry-pick",
        "revert",
        "apply",
        "am",
        "stash",
        "tag",
        "branch",
        "switch",
        "checkout",
        "worktree",
        "notes",
        "bisect",
        "remote",
        "sparse-checkout",
        "format-patch",
        "bundle",
        "archive",
        "write-tree",
        "commit-tree",
        "pull",
        "restore",
        "rm",
        "rebase",
        "config",
    ]
)
_RUNS_PROGRAMS: Final = (
    "--ext-diff",
    "--textconv",
    "--open-files-in-pager",
    "--upload-pack",
    "--receive-pack",
    "--exec",
    "--exec-path",
    "--paginate",
    "--output",
)
_PLAIN_SETTINGS: Final = re.compile(
    r"(?i)^(?:color\.|column\.|core\.(?:quotepath|abbrev)|log\.|user\.(?:name|email))"
)
_PLAIN_GLOBAL_OPTIONS: Final = frozenset(
    {"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--no-pager", "-P", "--version", "--help", "-h"}
    | {"--no-optional-locks", "--no-replace-objects", "--literal-pathspecs", "--bare"}
)
_SETTINGS_THAT_RUN: Final = re.compile(
    r"(?i)^(?:core\.(?:hookspath|sshcommand|pager|editor|fsmonitor|gitproxy|askpass|worktree|attributesfile)|alias\.|credential\.|diff\.\S*"
    r"(?:external|command|textconv)|filter\.|merge\.\S*driver|sequence\.editor|gpg\.|pager\.|include|url\.|http\.proxy|http\.sslverify"
    r"|protocol\.|uploadpack\.|remote\.\S*\.(?:url|uploadpack|receivepack|vcs)|ssh\.|sendemail\.|init\.templatedir|safe\.directory)"
)


def inspect_git(arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
    """Record what a git command does; nothing for one that only reads."""
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        value = (
            rest.pop(0)
            if option in {"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--config-env"} and rest
            else ""
        )
        if option == "-c" and _SETTINGS_THAT_RUN.match(value):
            inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE, place)
        elif option.startswith("--exec-path="):
            inspection.add(Rule.COMMAND_CHANGES_LOADER, place)
        elif option.partition("=")[0] not in _PLAIN_GLOBAL_OPTIONS or (
            option == "-c" and not _PLAIN_SETTINGS.match(value)
        ):
            # Many settings name programs, and more with every release.
            inspection.add(Rule.COMMAND_RUNS_CODE, place, Severity.MEDIUM, "git with settings of its own")
        elif option in {"-C", "--git-dir", "--work-tree"} and (verdict := judge_read(value)) is not None:
            inspection.add(verdict.rule, place, verdict.severity)
    if not rest:
        return
    command, words = rest[0], rest[1:]
    if any(map(_runs_programs, words)):
        inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE, place, Severity.HIGH)
    for word in operands(words):
        path = word.rpartition(":")[2]
        if (
            (verdict := judge_read(path)) is not None
            and "://" not in word
            and command in _READING | {"add", "apply"}
        ):
            inspection.add(verdict.rule, place, verdict.severity)
    _inspect_command(command, words, inspection, place)


def _runs_programs(word: str) -> bool:
    """Git takes the beginning of a long option for the option: `git grep --open=sh` starts sh."""
    name = word.partition("=")[0]
    begins = len(name) > 3 and name != "--text" and any(each.startswith(name) for each in _RUNS_PROGRAMS)
    return word.startswith(("-O", "--output")) or begins


def _inspect_command(command: str, words: list[str], inspection: Inspection, place: Place) -> None:
    given = operands(words)
    if command in _READING:
        if command == "reflog" and given[:1] in (["expire"], ["delete"]):
            inspection.add(Rule.COMMAND_LOSES_WORK, place)
        return
    if _reads(command, words, given):
        return
    if _loses_work(command, words, given):
        inspection.add(Rule.COMMAND_LOSES_WORK, place)
    elif command in {"push", "send-email", "request-pull", "send-pack"}:
        forced = has_option(words, "fd", "--force", "--mirror", "--delete", "--prune") or any(
            word.startswith(("+", ":")) for word in given
        )
        inspection.add(Rule.COMMAND_PUBLISHES, place, Severity.CRITICAL if forced else None)
    elif command in {"clone", "fetch", "pull", "ls-remote", "submodule", "lfs", "remote"}:
        inspection.add(Rule.COMMAND_OPENS_NETWORK, place)
        if any(word.startswith(("ext::", "fd::")) for word in given) or command == "submodule":
            inspection.add(Rule.COMMAND_RUNS_CODE, place, Severity.HIGH)
        if command == "remote":
            inspection.add(Rule.COMMAND_CHANGES_REPOSITORY, place, Severity.MEDIUM)
    elif command == "config":
        runs = any(_SETTINGS_THAT_RUN.match(word) for word in given)
        wide = has_option(words, "", "--global", "--system")
        severity = Severity.HIGH if runs else Severity.MEDIUM if wide else None
        inspection.add(Rule.COMMAND_CHANGES_REPOSITORY, place, severity)
    elif command in _CHANGING:
        inspection.add(Rule.COMMAND_CHANGES_REPOSITORY, place)
        if command == "bisect" and given[:1] == ["run"]:
            inspection.embedded("bash", " ".join(given[1:]), place)
        if command == "commit" and has_option(words, "n", "--no-verify"):
            inspection.add(
                Rule.CHANGE_WEAKENS_SECURITY, place, Severity.MEDIUM, "skips the checks before a commit"
            )
    else:
        inspection.add(Rule.COMMAND_NOT_ALLOWLISTED, place)


def _reads(command: str, words: list[str], given: list[str]) -> bool:
    if command in {"branch", "tag"}:
        return not given and not has_option(
            words, "dDmMcCfu", "--delete", "--move", "--copy", "--force", "--set-upstream-to"
        )
    if command == "stash":
        return given[:1] in (["list"], ["show"])
    if command == "remote":
        return not given or given[0] in {"get-url"}
    if command == "config":
        return has_option(words, "l", "--list", "--get", "--get-all", "--get-regexp") or given[:1] in (
            ["get"],
            ["list"],
        )
    if command == "worktree":
        return given[:1] == ["list"]
    return command in {"notes", "bisect"} and given[:1] in (["list"], ["show"], ["log"])


def _loses_work(command: str, words: list[str], given: list[str]) -> bool:
    match command:
        case "reset":
            return has_option(words, "", "--hard", "--merge", "--keep")
        case "clean":
            return not has_option(words, "n", "--dry-run")
        case "checkout":
            return has_option(words, "f", "--force") or "--" in words or given[:1] == ["."]
        case "restore":
            return not has_option(words, "S", "--staged") or has_option(words, "W", "--worktree")
        case "branch":
            return has_option(words, "DM", "--force") or (
                has_option(words, "d", "--delete") and has_option(words, "f", "--force")
            )
        case "stash":
            return given[:1] in (["drop"], ["clear"])
        case "gc" | "prune":
            return True
        case "commit":
            return has_option(words, "", "--amend")
        case "switch":
            return has_option(words, "f", "--force", "--discard-changes")
        case "rebase" | "filter-branch" | "filter-repo" | "update-ref" | "replace" | "symbolic-ref":
            return True
        case "rm":
            return has_option(words, "f", "--force") or not has_option(words, "", "--cached")
        case "worktree" | "tag" | "remote":
            return given[:1] in (["remove"], ["prune"]) or (
                command == "tag" and has_option(words, "df", "--delete", "--force")
            )
        case _:
            return False
