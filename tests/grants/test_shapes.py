"""A shape admits what its words say, and nothing else, however it is spelled."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_contract.action import Action, parse_action
from hitl_mcp.shapes.addresses import plain_address
from hitl_mcp.shapes.errors import ShapeRefused
from hitl_mcp.shapes.paths import is_within, plain_parts
from hitl_mcp.shapes.patterns import AtMost, same
from hitl_mcp.shapes.shape import Shape, patterns_from, shape_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def tool(**arguments: Any) -> Action:
    return parse_action({"type": "tool_call", "server": "bank", "tool": "pay", "arguments": arguments})


def program(**more: Any) -> Action:
    return parse_action({"type": "code_execution", "language": "python", "code": "print(1)", **more})


def fetch(url: str) -> Action:
    return parse_action({"type": "http_request", "method": "GET", "url": url})


def shape(action: Action, **vary: Any) -> Shape:
    made = shape_of(
        action, patterns_from({"/" + place.replace("__", "/"): how for place, how in vary.items()})
    )
    assert Shape.from_text(made.to_text()) == made
    assert made.matches(action)
    return made


@given(JSON, JSON)
def test_without_patterns_only_the_very_same_action_matches(shown: Any, asked: Any) -> None:
    made = shape(tool(value=shown))
    assert made.matches(tool(value=asked)) == same(shown, asked)


@given(JSON, JSON, st.integers(-100, 200))
def test_a_change_outside_the_varying_place_never_matches(shown: Any, asked: Any, amount: int) -> None:
    made = shape(tool(amount=20, to=shown), arguments__amount={"pattern": "at_most", "maximum": 50})
    expected = same(shown, asked) and 0 <= amount <= 50
    assert made.matches(tool(amount=amount, to=asked)) == expected
    assert not made.matches(tool(amount=20, to=shown, extra=asked))
    assert not made.matches(tool(to=shown))


@given(JSON)
def test_only_a_number_in_range_is_at_most(value: Any) -> None:
    number = isinstance(value, int) and not isinstance(value, bool)
    assert AtMost(maximum=50).admits(value) == (number and 0 <= value <= 50)


@pytest.mark.parametrize("value", ["5", "５", True, False, None, 5.5, -1, -0.5, 51, [5], {"n": 5}, "5e0"])
def test_a_number_of_another_type_or_out_of_range_does_not_match(value: Any) -> None:
    made = shape(tool(n=5), arguments__n={"pattern": "at_most", "maximum": 50})
    assert not made.matches(tool(n=value))


def test_a_number_in_another_spelling_is_the_same_number() -> None:
    assert shape(tool(n=5), arguments__n={"pattern": "at_most", "maximum": 50}).matches(tool(n=7.0))


@pytest.mark.parametrize(
    "path",
    [
        "/data/in",
        "/data/in/",
        "/data/in/../../etc/passwd",
        "/data/in/./a",
        "/data/in//a",
        "/data/inside/a",
        "/data/IN/a",
        "/DATA/in/a",
        "data/in/a",
        "//data/in/a",
        "/data/in/..",
        "/data/in/...",
        "/data/in/a/..",
        "/data/in\\..\\a",
        "/data/in/%2e%2e/a",
        "/data/in/a%00b",
        "/data/in/~root",
        "/data/in/$HOME",
        "/data/in/`id`",
        "/data/in/*",
        "/data/in/a b/../c",
        "/data/in/a:stream",
        "/data/in/a.",
        "/data/in/a ",
        "/data/in/-rf",
        "/data/in/\u2024\u2024/a",  # one dot leaders, which NFKC makes dots
        "/data/in/\uff0e\uff0e/a",  # full-width dots
        "/data/in\uff0fa",  # a full-width slash
        "/data/in\u2215a",  # a division slash
        "/data/i\u0441/a",  # a Cyrillic letter
        "/data/in/a\u200b",  # an invisible character
        "/data/in/e\u0301",  # a decomposed form
        "/data/in/a\nb",
        "/proc/self/root/data/in/a",
        "",
    ],
)
def test_no_trick_of_spelling_leaves_a_directory(path: str) -> None:
    made = shape(tool(path="/data/in/a.csv"), arguments__path={"pattern": "within", "directory": "/data/in"})
    assert not made.matches(tool(path=path))
    assert not made.matches(tool(path=[path]))


@pytest.mark.parametrize("path", ["/data/in/b.csv", "/data/in/2026/é.csv", "/data/in/a b/.hidden"])
def test_a_plain_path_in_the_directory_matches(path: str) -> None:
    made = shape(tool(path="/data/in/a.csv"), arguments__path={"pattern": "within", "directory": "/data/in"})
    assert made.matches(tool(path=path))


@pytest.mark.parametrize(
    "directory", ["/", "", "/data/", "/data/..", "~", "/proc/self/root", "/dev/fd", ".", "a/*"]
)
def test_a_directory_that_is_not_plain_cannot_be_allowed(directory: str) -> None:
    with pytest.raises(ShapeRefused):
        shape(tool(path="/data/in/a"), arguments__path={"pattern": "within", "directory": directory})


PARTS = st.sampled_from(
    ["..", ".", "", "a", "in", "data", "%2e%2e", "A", "\uff0e\uff0e", "\\..", "a b", "é", "-x"]
)


@settings(max_examples=400)
@given(st.lists(PARTS, max_size=6), st.booleans())
def test_what_counts_as_inside_is_inside_for_the_file_system_too(parts: list[str], absolute: bool) -> None:
    import posixpath

    path = ("/" if absolute else "") + "/".join(parts)
    if is_within(path, "/data/in"):
        assert posixpath.normpath(path) == path
        assert path.startswith("/data/in/")
        assert "%" not in path
        assert "\\" not in path


@given(st.text(max_size=30))
def test_whatever_text_comes_is_judged_and_never_raises(text: str) -> None:
    plain_parts(text)
    plain_address(text)
    assert not is_within("/data/in/../" + text, "/data/in")


_URL = "https://api.example.com/v1/items/7"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/v1/items/7",
        "https://api.example.com:8443/v1/items/7",
        "https://api.example.com:443/v1/items/7",
        "https://api.example.com@evil.example/v1/items/7",
        "https://user:pw@api.example.com/v1/items/7",
        "https://api.example.com.evil.example/v1/items/7",
        "https://evil.example/https://api.example.com/v1/items/7",
        "https://api.example.com./v1/items/7",
        "https://API.example.com/v1/items/7",
        "HTTPS://api.example.com/v1/items/7",
        "https://\u0430pi.example.com/v1/items/7",  # a Cyrillic letter
        "https://api\u3002example\u3002com/v1/items/7",  # ideographic full stops
        "https://xn--pi-6kc.example.com/v1/items/7",
        "https://api.example.com/v1/items/../../admin",
        "https://api.example.com/v1/items/%2e%2e/admin",
        "https://api.example.com/v1/items/..;/admin",
        "https://api.example.com/v1/items//7",
        "https://api.example.com/v1/itemsX/7",
        "https://api.example.com/V1/items/7",
        "https://api.example.com/v1/items/7?all=1",
        "https://api.example.com/v1/items/7?",
        "https://api.example.com/v1/items/7#x",
        "https://api.example.com/v1",
        "https://api.example.com",
    ],
)
def test_no_trick_of_spelling_reaches_another_address(url: str) -> None:
    made = shape(fetch(_URL), url={"pattern": "same_host", "prefix": "https://api.example.com/v1/items/"})
    assert made.matches(fetch("https://api.example.com/v1/items/8"))
    assert not made.matches(fetch(url))


@pytest.mark.parametrize(
    "prefix",
    [
        "https://api.example.com",
        "https://",
        "https://a@api.example.com/",
        "https://api.example.com/v1/items",
        "*",
    ],
)
def test_a_prefix_that_is_no_folder_of_one_host_cannot_be_allowed(prefix: str) -> None:
    with pytest.raises(ShapeRefused):
        shape(fetch(_URL), url={"pattern": "same_host", "prefix": prefix})


def test_a_program_varies_in_named_keys_of_its_input_alone() -> None:
    made = shape(
        program(input_data={"id": 3, "mode": "read"}),
        input_data__id={"pattern": "at_most", "maximum": 10, "minimum": 1},
    )
    assert made.matches(program(input_data={"id": 4, "mode": "read"}))
    for other in (
        program(input_data={"id": 4, "mode": "write"}),
        program(input_data={"id": "4", "mode": "read"}),
        program(input_data={"id": 4, "mode": "read", "more": 1}),
        program(input_data={"id": 4}),
        program(input_data={"id": 4, "mode": "read"}, code="print(2)"),
        program(input_data={"id": 4, "mode": "read"}, code="print(1) "),
        program(input_data={"id": 4, "mode": "read"}, files=[{"path": "a", "content": "b"}]),
        program(input_data={"id": 4, "mode": "read"}, packages=["requests"]),
        program(input_data={"id": 4, "mode": "read"}, profile="standard"),
        program(
            input_data={"id": 4, "mode": "read"}, network={"mode": "allowlist", "domains": ["a.example"]}
        ),
    ):
        assert not made.matches(other)


@given(
    st.integers(16, 600),
    st.floats(0.1, 100),
    st.sets(st.sampled_from(["a.example", "b.example", "c.example"])),
)
def test_a_program_may_run_with_less_than_was_shown_and_never_with_more(
    memory: int, seconds: float, domains: set[str]
) -> None:
    made = shape(
        program(
            limits={"memory_mb": 256, "wall_seconds": 30},
            network={"mode": "allowlist", "domains": ["a.example", "b.example"]},
        )
    )
    network = {"mode": "allowlist", "domains": sorted(domains)} if domains else {"mode": "none"}
    asked = program(limits={"memory_mb": memory, "wall_seconds": seconds}, network=network)
    assert made.matches(asked) == (memory <= 256 and seconds <= 30 and "c.example" not in domains)


@pytest.mark.parametrize(
    ("action", "place", "pattern"),
    [
        (program(), "/code", {"pattern": "text", "max_characters": 100}),
        (program(), "/input_data", {"pattern": "text", "max_characters": 100}),
        (program(), "/limits/memory_mb", {"pattern": "at_most", "maximum": 9999}),
        (program(), "/profile", {"pattern": "any_of", "values": ["restricted", "trusted"]}),
        (tool(a=1), "/tool", {"pattern": "any_of", "values": ["pay", "refund"]}),
        (tool(a=1), "/arguments", {"pattern": "text", "max_characters": 9}),
        (tool(a=1), "/arguments/b", {"pattern": "at_most", "maximum": 9}),
        (tool(a=1), "/arguments/a", {"pattern": "any_of", "values": [2, 3]}),
        (tool(a=1), "/arguments/a/~2", {"pattern": "at_most", "maximum": 9}),
        (fetch(_URL), "/method", {"pattern": "any_of", "values": ["GET", "DELETE"]}),
        (fetch(_URL), "/url", {"pattern": "text", "max_characters": 900}),
        (
            parse_action({"type": "shell_command", "argv": ["ls", "/data"]}),
            "/argv/0",
            {"pattern": "any_of", "values": ["ls", "rm"]},
        ),
        (
            parse_action({"type": "shell_command", "argv": ["ls", "/data"]}),
            "/argv/1",
            {"pattern": "text", "max_characters": 9},
        ),
        (
            parse_action({"type": "file_change", "path": "docs/a", "diff": "+x"}),
            "/diff",
            {"pattern": "text", "max_characters": 9},
        ),
    ],
)
def test_what_decides_over_what_happens_never_varies(action: Action, place: str, pattern: Any) -> None:
    with pytest.raises(ShapeRefused):
        shape_of(action, patterns_from({place: pattern}))


def test_another_type_of_action_never_matches() -> None:
    made = shape(parse_action({"type": "generic", "operation": "pay", "details": {}}))
    assert not made.matches(tool())


@pytest.mark.parametrize(
    "value", ["Alice", "alice ", "\uff41lice", "al\u0131ce", "\u0430lice", ["alice"], None]
)
def test_any_of_compares_to_the_letter(value: Any) -> None:
    made = shape(tool(to="alice"), arguments__to={"pattern": "any_of", "values": ["alice", "bob"]})
    assert made.matches(tool(to="bob"))
    assert not made.matches(tool(to=value))


@pytest.mark.parametrize("value", ["two\nlines", "a\u202eb", "x" * 21, 5, None, "\x1b[2J"])
def test_free_text_is_short_visible_and_on_one_line(value: Any) -> None:
    made = shape(tool(note="hello"), arguments__note={"pattern": "text", "max_characters": 20})
    assert made.matches(tool(note="anything else"))
    assert not made.matches(tool(note=value))
