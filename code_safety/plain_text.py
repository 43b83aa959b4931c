"""What can be said about text that no parser reads: words that a dangerous program would have to use.

For texts that are too large, broken or in an unknown language. It finds, and it never clears: whoever calls
it has said already that the text is unknown.
"""

from __future__ import annotations

import re
from typing import Final

from code_safety.findings import Rule, Severity
from code_safety.inspection import Inspection
from code_safety.paths import judge_text
from code_safety.secret_patterns import find_secret

MAX_SEARCHED: Final = 60_000

_WORDS: Final[tuple[tuple[Rule, Severity, re.Pattern[str]], ...]] = (
    (
        Rule.COMMAND_DELETES_WIDELY,
        Severity.CRITICAL,
        re.compile(
            r"\brm\s{1,20}-[a-zA-Z]{0,10}[rR][a-zA-Z]{0,10}\s{1,20}(?:-\S{1,40}\s{1,20}){0,3}[\"']?(?:/|~|\$HOME|\*)"
        ),
    ),
    (
        Rule.BASH_RUNS_DOWNLOAD,
        Severity.CRITICAL,
        re.compile(r"\b(?:curl|wget)\b[^\n|]{0,400}\|\s{0,20}(?:sudo\s{1,9})?(?:ba|z|da|k)?sh\b"),
    ),
    (
        Rule.BASH_RUNS_DECODED_PAYLOAD,
        Severity.CRITICAL,
        re.compile(
            r"base64\s{1,9}(?:-d|-D|--decode)\b[^\n|]{0,200}\|\s{0,20}(?:(?:ba|z|da|k)?sh|python3?|perl|node)\b"
        ),
    ),
    (Rule.BASH_NETWORK_DEVICE, Severity.CRITICAL, re.compile(r"/dev/(?:tcp|udp)/")),
    (Rule.BASH_FORK_BOMB, Severity.CRITICAL, re.compile(r":\s{0,9}\(\)\s{0,9}\{\s{0,9}:\s{0,9}\|\s{0,9}:")),
    (
        Rule.COMMAND_DESTROYS_DISK,
        Severity.CRITICAL,
        re.compile(r"\bmkfs(?:\.\w{1,9})?\s|\bdd\s[^\n]{0,200}\bof=/dev/"),
    ),
    (
        Rule.PYTHON_RUNS_TEXT_AS_CODE,
        Severity.HIGH,
        re.compile(
            r"(?<![\w.])(?:eval|exec|__import__|Function)\s{0,9}\(|importlib|child_process|\bvm\.runIn"
        ),
    ),
    (
        Rule.PYTHON_STARTS_PROCESSES,
        Severity.HIGH,
        re.compile(r"\bos\.(?:system|popen|exec[lv]p?e?|fork|spawn\w{1,4})\b|\bsubprocess\b|\bpty\.spawn\b"),
    ),
    (
        Rule.PYTHON_DELETES_FILES,
        Severity.HIGH,
        re.compile(r"\brmtree\b|\bos\.(?:remove|unlink|rmdir)\b|\bfs\.(?:rm|unlink|rmdir)"),
    ),
    (
        Rule.PYTHON_CALLS_NATIVE_CODE,
        Severity.HIGH,
        re.compile(r"\bctypes\b|\bcffi\b|process\.(?:binding|dlopen)"),
    ),
    (Rule.PYTHON_UNPICKLES, Severity.HIGH, re.compile(r"\b(?:pickle|marshal|dill|cloudpickle)\.loads?\b")),
    (
        Rule.PYTHON_WALKS_INTERNALS,
        Severity.HIGH,
        re.compile(r"__(?:subclasses|globals|builtins|bases|mro|code)__"),
    ),
    (
        Rule.PYTHON_OPENS_NETWORK,
        Severity.MEDIUM,
        re.compile(
            r"\bsocket\b|\burllib\b|\brequests\.|\bhttpx\b|\baiohttp\b|\bfetch\s{0,9}\(|\bcurl\s|\bwget\s"
        ),
    ),
    (
        Rule.SQL_CHANGES_EVERY_ROW,
        Severity.HIGH,
        re.compile(
            r"\b(?:drop\s{1,9}(?:table|database|schema)|truncate\s{1,9}table|delete\s{1,9}from)\b",
            re.IGNORECASE,
        ),
    ),
)


def inspect_plain_text(text: str, inspection: Inspection) -> None:
    """Record the first place of each kind of dangerous words."""
    searched = text[:MAX_SEARCHED]
    for rule, severity, pattern in _WORDS:
        if (found := pattern.search(searched)) is not None:
            place = inspection.place(searched.count("\n", 0, found.start()) + 1)
            inspection.add(rule, place, severity)
    for start in range(0, len(searched), 4_000):
        # Overlapping, so that no path is cut in two.
        if (verdict := judge_text(searched[start : start + 4_096])) is not None:
            inspection.add(verdict.rule, None, verdict.severity)
            break
    if find_secret(searched) is not None:
        inspection.add(Rule.SECRET_IN_TEXT)
