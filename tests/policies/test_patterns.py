"""Wildcards in rules: the same as the plain translation, in time that no text can stretch."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_mcp.policies.patterns import name_pattern, path_pattern

_PIECES = ["a", "b", "/", "*", "**", "**/", "/**/", "?"]
_NAME = {"**/": ".*/", "**": ".*", "*": ".*", "?": "."}
_PATH = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_SECONDS = 5.0


def _plain(pattern: str, wildcards: dict[str, str]) -> re.Pattern[str]:
    parts = re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", pattern)
    return re.compile("".join(wildcards.get(part) or re.escape(part) for part in parts), re.DOTALL)


@given(
    st.lists(st.sampled_from(_PIECES), min_size=1, max_size=8).map("".join),
    st.lists(st.sampled_from("ab/"), max_size=10).map("".join),
)
def test_a_pattern_means_what_its_plain_translation_means(pattern: str, text: str) -> None:
    for compiled, wildcards in ((name_pattern, _NAME), (path_pattern, _PATH)):
        wanted = _plain(pattern, wildcards).fullmatch(text) is not None
        assert (compiled(pattern, fold=False).fullmatch(text) is not None) == wanted


@pytest.mark.parametrize(
    ("pattern", "text"), [("*rm*x", "rm" * 65_000), ("*a*b*c", "ab" * 65_000), ("*ab*ab*ab*c", "ab" * 65_000)]
)
def test_no_name_takes_long(pattern: str, text: str) -> None:
    started = time.perf_counter()
    assert not name_pattern(pattern, fold=True).fullmatch(text)
    assert time.perf_counter() - started < _SECONDS


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("**/*a*b*c*", "ab" * 2000),
        ("**/a/**/b/*x", "a/" * 1000 + "b/" * 1000),
        ("**/a/**/a/**/a/**/x", "a/" * 2000),
        ("docs/**/*.md", "docs/" * 800),
    ],
)
def test_no_path_takes_long(pattern: str, text: str) -> None:
    started = time.perf_counter()
    assert not path_pattern(pattern, fold=True).fullmatch(text)
    assert time.perf_counter() - started < _SECONDS
