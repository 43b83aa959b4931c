"""An operator's own rules about the text of a program: words in it, and modules that it imports.

A pattern is plain text in which `*` stands for anything within a line. There are no regular expressions: a
program written for it could make one run for ever.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from code_safety.imported_modules import ImportsUnknown, imported_modules, is_or_is_within
from hitl_contract.action_code import CodeExecution, InputFile

Effect = Literal["block", "warn"]

_LANGUAGE_OF_SUFFIX: Final = {
    ".py": "python",
    ".js": "nodejs",
    ".mjs": "nodejs",
    ".cjs": "nodejs",
    ".sh": "bash",
    ".sql": "sql",
}


@dataclass(frozen=True, slots=True)
class PatternRule:
    """What a line of a program must not, or should not, contain. Letter case does not matter.

    `languages` empty means all of them. `reason` is for the agent.
    """

    pattern: str
    effect: Effect
    reason: str
    languages: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ImportRule:
    """A module, with all its parts, that a program must not, or should not, import."""

    module: str
    effect: Effect
    reason: str
    languages: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TextMatch:
    """A rule that holds for a program, in words that quote the rule and never the program."""

    effect: Effect
    text: str


@dataclass(frozen=True, slots=True)
class _Text:
    where: str
    language: str
    content: str


def matches(
    program: CodeExecution, patterns: tuple[PatternRule, ...], imports: tuple[ImportRule, ...]
) -> tuple[TextMatch, ...]:
    """What the rules say of the code and of each file. At most one match of each rule in each of them."""
    if not patterns and not imports:
        return ()
    found: list[TextMatch] = []
    for text in _texts(program):
        found.extend(_pattern_matches(text, patterns))
        found.extend(_import_matches(text, imports))
    return tuple(found)


def contains(line: str, pieces: tuple[str, ...]) -> bool:
    """Whether the pieces stand in the line one after another. Takes time linear in the line."""
    begin = 0
    for piece in pieces:
        at = line.find(piece, begin)
        if at < 0:
            return False
        begin = at + len(piece)
    return True


def _pattern_matches(text: _Text, rules: tuple[PatternRule, ...]) -> Iterator[TextMatch]:
    lines = text.content.lower().splitlines() if rules else []
    for rule in rules:
        if not _applies(rule.languages, text.language):
            continue
        pieces = tuple(piece for piece in rule.pattern.lower().split("*") if piece)
        for number, line in enumerate(lines, start=1):
            if contains(line, pieces):
                where = f"{text.where} line {number}"
                yield TextMatch(rule.effect, f"pattern {rule.pattern!a} at {where}: {rule.reason}")
                break


def _import_matches(text: _Text, rules: tuple[ImportRule, ...]) -> Iterator[TextMatch]:
    rules = tuple(rule for rule in rules if _applies(rule.languages, text.language))
    if not rules:
        return
    try:
        modules = imported_modules(text.language, text.content)
    except ImportsUnknown as error:
        effect: Effect = "block" if any(rule.effect == "block" for rule in rules) else "warn"
        yield TextMatch(effect, f"imports at {text.where}: not known, because the text is {error}")
        return
    for rule in rules:
        if any(is_or_is_within(module, rule.module) for module in modules):
            yield TextMatch(rule.effect, f"import {rule.module} at {text.where}: {rule.reason}")


def _applies(languages: frozenset[str], language: str) -> bool:
    return not languages or language in languages


def _texts(program: CodeExecution) -> Iterator[_Text]:
    yield _Text("code", program.language.value, program.code)
    for number, file in enumerate(program.files):
        if not isinstance(file, InputFile):
            # Resolved before anything runs; one that is not is reported as missing.
            continue
        suffix = PurePosixPath(file.path).suffix.lower()
        yield _Text(f"files[{number}]", _LANGUAGE_OF_SUFFIX.get(suffix, ""), _content(file))


def _content(file: InputFile) -> str:
    if file.content is not None:
        return file.content
    return base64.b64decode(file.content_base64 or "").decode("utf-8", "replace")
