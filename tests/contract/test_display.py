"""What people see is what runs: the display hides nothing and cannot be tricked (promise A6)."""

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hitl_contract.action import canonical_action, parse_action
from hitl_contract.display import excerpt, render_action, safe_text
from hitl_contract.visible_text import has_hidden_characters, has_lookalike_characters
from tests.contract.strategies import actions, code_executions

PYTHON: dict[str, Any] = {"type": "code_execution", "language": "python", "code": "print(6*7)"}
LABEL = re.compile(r"^(Add|Run|Call|Send|Change|Do|WARNING|[a-z]+ |---)")


@given(actions)
def test_a_display_is_deterministic_and_made_of_visible_characters(document: dict[str, Any]) -> None:
    display = render_action(parse_action(document))
    assert display == render_action(parse_action(document))
    for character in display.text.replace("\n", ""):
        assert unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(code_executions, code_executions)
def test_different_programs_have_different_displays(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = parse_action(one), parse_action(other)
    assume(canonical_action(first) != canonical_action(second))
    assert render_action(first).text != render_action(second).text


@given(actions)
def test_every_line_is_a_label_or_stands_behind_a_gutter(document: dict[str, Any]) -> None:
    for line in render_action(parse_action(document)).text.splitlines():
        assert LABEL.match(line) or re.match(r"^ *\d* \| ", line), line


_trick = st.text(
    st.sampled_from("ab\\u{}0\u202e\u200b\u2066\u0430\u0455\uff41\u05d0\u0301\u00a0 \t\x1b\r\u2028\ufe0f")
)


@given(_trick, _trick)
def test_two_different_texts_never_look_the_same(one: str, other: str) -> None:
    assume(one != other)
    assert safe_text(one) != safe_text(other)


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_a_text_can_be_read_back_from_what_is_shown(text: str) -> None:
    def original(escape: re.Match[str]) -> str:
        if escape[1].startswith("20*"):
            return " " * int(escape[1].removeprefix("20*"))
        return chr(int(escape[1], 16))

    assert re.sub(r"\\u\{([0-9A-F*]+)\}", original, safe_text(text)) == text


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("x = 1 \u202e# ok", "\\u{202E}"),
        ("pa\u0443pal()", "\\u{443}"),
        ("\u0440\u0430\u0443\u0440\u0430\u04cf", "\\u{440}"),
        ("a\u200bb", "\\u{200B}"),
        ("\uff52\uff4d", "\\u{FF52}"),
        ("rm\u00a0-rf", "\\u{A0}"),
        ("x\r# hidden", "\\u{D}"),
        ("\x1b[2Kx", "\\u{1B}"),
        ("if a \u2010 b", "\\u{2010}"),
        ("x = '\u05d0' + y", "\\u{5D0}"),
        ("a" + "\u0301" * 9, "\\u{301}"),
        ("\u3164 = 1", "\\u{3164}"),
        ("x" + " " * 300 + "; rm()", "\\u{20*300}"),
        ("tag\U000e0041", "\\u{E0041}"),
        ("a\u2028b", "\\u{2028}"),
    ],
)
def test_a_known_trick_is_shown_as_an_escape(code: str, shown: str) -> None:
    display = render_action(parse_action({**PYTHON, "code": code}))
    assert shown in display.text


@pytest.mark.parametrize("code", ["x = 1 \u202e# ok", "a\u200bb", "\x1b[2Kx"])
def test_invisible_characters_raise_a_warning_at_the_top(code: str) -> None:
    display = render_action(parse_action({**PYTHON, "code": code}))
    assert "invisible" in display.warnings[0]
    assert display.text.splitlines()[1].startswith("WARNING")


@pytest.mark.parametrize(
    "text", ["naïve café", "Größe 5 µm…", "日本語のコード", "привет мир", "שלום", "emoji 🚀", "½ – “q”"]
)
def test_honest_writing_stays_readable(text: str) -> None:
    assert "\\u{" not in safe_text(text).replace("\\u{B5}", "")


@pytest.mark.parametrize("code", [*range(0x80), 0x85, 0x200B, 0x202E, 0x430])
def test_of_ascii_only_line_breaks_and_tabs_are_no_hidden_characters(code: int) -> None:
    seen = 0x20 <= code < 0x7F or chr(code) in "\n\t" or code == 0x430
    assert has_hidden_characters(f"a{chr(code)}b") is not seen
    assert has_lookalike_characters(f"a{chr(code)}b") is (code == 0x430)


def test_agent_text_cannot_pass_for_a_label() -> None:
    spoof = "print(1)\nnetwork    none\n--- file: nothing ---\n   1 | harmless"
    lines = render_action(parse_action({**PYTHON, "code": spoof})).text.splitlines()
    assert lines.count("network    none") == 1
    assert "   2 | network    none" in lines
    assert "   4 |    1 | harmless" in lines


def test_a_file_name_cannot_close_its_quotes() -> None:
    action = parse_action({**PYTHON, "files": [{"path": 'a": text, 1 character ---', "content": "x"}]})
    assert '--- file "a\\": text, 1 character ---": text, 1 character ---' in render_action(action).text


def test_every_part_of_a_program_is_shown() -> None:
    action = parse_action(
        {
            **PYTHON,
            "input_data": {"secret_plan": [1, 2]},
            "files": [{"path": "in.txt", "content": "inside"}, {"path": "b", "content_base64": "aGVsbG8="}],
            "packages": ["numpy==2.1"],
            "network": {"mode": "allowlist", "domains": ["api.example.com"]},
            "limits": {"wall_seconds": 0.5},
            "runtime": "sha256:" + "0" * 64,
        }
    )
    text = render_action(action).text
    for part in (
        "print(6*7)",
        "secret_plan",
        "inside",
        "hello",
        "numpy==2.1",
        "api.example.com",
        "0.5 s",
        "0" * 64,
    ):
        assert part in text


def test_a_binary_file_is_shown_whole_with_its_digest() -> None:
    text = render_action(
        parse_action({**PYTHON, "files": [{"path": "b", "content_base64": "/+8A" * 60}]})
    ).text
    assert "binary, 180 bytes, sha-256:" in text
    assert text.count("/+8A") == 60


def test_a_file_by_reference_is_shown_as_where_it_is_from_and_which_bytes_it_has() -> None:
    file = {
        "path": "in.csv",
        "reference": "execution://exe_abcdefghijklmnopqrstuvwxyz/files/a\u202e.csv",
        "sha256": "ab" * 32,
    }
    display = render_action(parse_action({**PYTHON, "files": [file]}))
    lines = display.text.splitlines()
    at = lines.index('--- file "in.csv": left by an earlier execution, not shown here ---')
    assert lines[at + 1 :] == [
        "     | execution://exe_abcdefghijklmnopqrstuvwxyz/files/a\\u{202E}.csv",
        f"     | sha256 {'ab' * 32}",
    ]
    assert "their content is not shown" in display.warnings[-1]


def test_an_excerpt_says_how_much_is_hidden() -> None:
    display = render_action(parse_action({**PYTHON, "code": "print(1)\n" * 500}))
    part = excerpt(display, 1000)
    assert not part.complete
    assert len(part.text) <= 1000
    assert display.text.startswith(part.text)
    assert part.hidden_characters == len(display.text) - len(part.text)
    assert part.text.endswith("\n")
    assert excerpt(display, len(display.text)).complete


def test_an_excerpt_of_one_endless_line_is_cut_within_it() -> None:
    display = render_action(parse_action({"type": "generic", "operation": "x" * 200}))
    assert excerpt(display, 50).text == display.text[:50]


@pytest.mark.parametrize(
    ("document", "part"),
    [
        ({"type": "shell_command", "argv": ["ls", "a b"], "cwd": "/tmp", "env": {"A": "1"}}, "A=1"),
        ({"type": "tool_call", "server": "s", "tool": "t", "arguments": {"k": "v"}}, '"k": "v"'),
        (
            {"type": "http_request", "method": "GET", "url": "https://a.example/?q=1"},
            "https://a.example/?q=1",
        ),
        ({"type": "http_request", "method": "PUT", "url": "https://a", "body_sha256": "ab" * 32}, "ab" * 32),
        ({"type": "file_change", "path": "etc/passwd", "diff": "+root"}, "+root"),
        ({"type": "generic", "operation": "deploy", "details": {"to": "production"}}, "production"),
    ],
)
def test_other_actions_show_their_payload(document: dict[str, Any], part: str) -> None:
    assert part in render_action(parse_action(document)).text


def test_an_addition_says_first_what_it_installs_into_what_and_who_may_use_it() -> None:
    packages, needs = [f"p{number}==1.0" for number in range(5)], ["requests==2.0", "urllib3==2.1"]
    action = parse_action(
        {"type": "package_addition", "language": "python", "packages": packages, "needs": needs}
    )
    display = render_action(action)
    lines = display.text.splitlines()
    assert lines[0] == display.headline == "Add the Python packages p0==1.0, p1==1.0, p2==1.0 and 2 more"
    assert "stays until an operator removes it" in lines[1]
    assert lines[2:6] == [
        "installs   7 packages, all named here",
        "into       what the executor gives to Python programs, read-only",
        "used by    any later program that names one of them",
        "runs       none of their code now; a program that imports one runs its code",
    ]
    assert [line.removeprefix("     | ") for line in lines[6:]] == [
        "--- packages: 5 ---",
        *packages,
        "--- needed by them: 2 ---",
        *needs,
    ]
    moved = parse_action({**action.model_dump(), "packages": [*packages, *needs], "needs": []})
    assert render_action(moved).text != display.text


def test_an_addition_for_nodejs_says_so_and_which_packages_come_along_more_than_once() -> None:
    action = {
        "type": "package_addition",
        "language": "nodejs",
        "packages": ["@scope/name@1.0.0"],
        "needs": ["inner@1.0.0", "inner@2.0.0", "JSONStream@1.3.5"],
    }
    lines = render_action(parse_action(action)).text.splitlines()
    assert lines[0] == "Add the Node.js package @scope/name@1.0.0"
    assert lines[2:7] == [
        "installs   4 packages, all named here",
        "into       what the executor gives to Node.js programs, read-only",
        "used by    any later program that names one of them",
        "runs       none of their code now; a program that imports one runs its code",
        "versions   2 of inner: 1.0.0, 2.0.0",
    ]
    assert [line.removeprefix("     | ") for line in lines[7:]] == [
        "--- packages: 1 ---",
        "@scope/name@1.0.0",
        "--- needed by them: 3 ---",
        *("inner@1.0.0", "inner@2.0.0", "JSONStream@1.3.5"),
    ]


def test_line_breaks_are_kept_only_where_asked_for() -> None:
    assert safe_text("a\nb") == "a\\u{A}b"
    assert safe_text("a\nb\u200b", multiline=True) == "a\nb\\u{200B}"
