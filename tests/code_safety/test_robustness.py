"""Whatever it is given, the analysis answers: the same way each time, in bounded time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_safety.analysis import analyse, warm_up
from code_safety.descriptions import DESCRIPTIONS
from code_safety.findings import Rule, Severity
from hitl_contract.action import Action, parse_action
from tests.code_safety.analysing import analysed
from tests.code_safety.evasions import BASH, JAVASCRIPT, PYTHON, SQL

LANGUAGES = ("python", "nodejs", "bash", "sql")
FRAGMENTS = st.sampled_from(
    [
        *"()[]{}<>|&;$`'\"\\\n\t =+-*/%@#!?:,._0aeé\u202e",
        *(
            "eval",
            "exec",
            "import os",
            "$(",
            "<<EOF",
            "EOF",
            "${",
            "function",
            "=>",
            "SELECT",
            "DELETE FROM",
            "lambda",
        ),
        *(
            "while True:\n",
            "`",
            "/*",
            "*/",
            "--",
            "rm -rf /",
            "f'{",
            "class A",
            "getattr",
            "WHERE",
            "case",
            "esac",
        ),
    ]
)
TEXTS = st.one_of(st.text(max_size=300), st.lists(FRAGMENTS, max_size=60).map("".join))


def program(code: str, language: str) -> Action:
    return parse_action({"type": "code_execution", "language": language, "code": code})


@settings(max_examples=60, deadline=None)
@given(TEXTS.filter(lambda text: bool(text.strip())), st.sampled_from(LANGUAGES))
def test_any_text_has_an_answer_and_always_the_same(code: str, language: str) -> None:
    try:
        action = program(code, language)
    except ValueError:
        return
    first = analyse(action)
    assert analyse(action) == first
    assert "analysis.failed" not in {found.rule for found in first.findings}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_an_action_of_any_other_type_has_an_answer_and_always_the_same(data: st.DataObject) -> None:
    text = TEXTS.map(lambda each: each.replace("\x00", "") or "x")
    kind = data.draw(
        st.sampled_from(
            [
                {"type": "shell_command", "argv": data.draw(st.lists(text, min_size=1, max_size=6))},
                {"type": "file_change", "path": data.draw(text)[:200], "diff": data.draw(text)},
                {
                    "type": "tool_call",
                    "server": "s",
                    "tool": data.draw(text)[:100],
                    "arguments": {"a": data.draw(text)},
                },
                {
                    "type": "generic",
                    "operation": "o",
                    "details": {"command": data.draw(text), "sql": [data.draw(text)]},
                },
            ]
        )
    )
    try:
        action = parse_action(kind)
    except ValueError:
        return
    first = analyse(action)
    assert analyse(action) == first
    assert "analysis.failed" not in {found.rule for found in first.findings}


CONTEXTS = {
    "python": [
        "x = 1",
        "import json",
        "print('a')",
        "def f(a):\n    return a",
        "for i in [1]:\n    print(i)",
        "y = 'b' + 'c'",
        "import os",
    ],
    "nodejs": [
        "const x = 1;",
        "console.log('a');",
        "function f(a) { return a; }",
        "for (const i of [1]) { f(i); }",
    ],
    "bash": ["x=1", "echo a", "ls -l", "for i in 1 2; do echo $i; done", "if true; then ls; fi"],
    "sql": ["SELECT 1;", "SELECT a FROM t WHERE b = 2;", "INSERT INTO t VALUES (1);"],
}
DANGERS = {"python": PYTHON, "nodejs": JAVASCRIPT, "bash": BASH, "sql": SQL}


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(LANGUAGES))
def test_adding_a_dangerous_line_never_lowers_the_level(data: st.DataObject, language: str) -> None:
    lines = data.draw(st.lists(st.sampled_from(CONTEXTS[language]), min_size=1, max_size=6))
    danger = data.draw(st.sampled_from(DANGERS[language]))
    before = analysed("\n".join(lines), language)
    after = analysed("\n".join([*lines, danger]), language)
    assert after.level.rank >= before.level.rank
    assert after.level.rank >= Severity.HIGH.rank


HOSTILE: dict[str, Callable[[int], tuple[str, str]]] = {
    "python parentheses": lambda n: ("python", "(" * n + ")" * n),
    "python sums": lambda n: ("python", "x = " + "'a'+" * n + "'a'"),
    "python attributes": lambda n: ("python", "x" + ".a" * n),
    "python calls": lambda n: ("python", "f" + "()" * n),
    "python names": lambda n: (
        "python",
        "\n".join(f"a{i} = a{i + 1}" for i in range(n // 10)) + "\na0.system()",
    ),
    "python loops": lambda n: (
        "python",
        "\n".join(" " * i + "while x:" for i in range(min(n, 90))) + "\n" + " " * 95 + "pass",
    ),
    "python functions": lambda n: (
        "python",
        "\n".join(" " * i + f"def f{i}():" for i in range(90)) + "\n" + " " * 95 + "pass\n" * (n // 90),
    ),
    "python rebinding": lambda n: ("python", "a = [a, a]\n" * (n // 10) + "a[0][0][0]('x')"),
    "python doubling": lambda n: ("python", "a = 'x'\n" + "a = a + a\n" * (n // 20) + "eval(a)"),
    "python powers": lambda n: ("python", "x = 9" + "**9" * min(n, 500)),
    "python widths": lambda n: (
        "python",
        "x = '%999999999d' % 1\ny = '{:999999999}'.format(1)\nz = 'a' * 999999999",
    ),
    "python literals": lambda n: ("python", "x = [" + "'a'," * n + "]"),
    "bash quotes": lambda n: ("bash", "echo " + "'a'\"b\"" * n),
    "bash substitutions": lambda n: ("bash", "$(" * n + ")" * n),
    "bash pipes": lambda n: ("bash", "|".join(["a"] * n)),
    "bash variables": lambda n: ("bash", "a=x\n" + "a=$a$a\n" * (n // 10) + "$a"),
    "bash heredocs": lambda n: ("bash", "cat <<A\nA\n" * (n // 10)),
    "bash groups": lambda n: ("bash", "{ " * n + "a" + "; }" * n),
    "bash openings": lambda n: ("bash", "(" * n),
    "bash backticks": lambda n: ("bash", "`" * n),
    "bash interpreters": lambda n: ("bash", "bash -c a\n" * (n // 10)),
    "javascript parentheses": lambda n: ("nodejs", "(" * n + ")" * n),
    "javascript templates": lambda n: ("nodejs", "`${" * n + "}`" * n),
    "javascript members": lambda n: ("nodejs", "a" + "['b']" * n),
    "javascript arrows": lambda n: ("nodejs", "a=>" * n + "a"),
    "javascript sums": lambda n: ("nodejs", "eval('a'" + "+'a'" * n + ")"),
    "javascript braces": lambda n: ("nodejs", "{" * n),
    "javascript loops": lambda n: ("nodejs", "for(;;){" * n + "}" * n),
    "sql parentheses": lambda n: ("sql", "SELECT " + "(" * n + "1" + ")" * n),
    "sql openings": lambda n: ("sql", "SELECT " + "(" * n),
    "sql statements": lambda n: ("sql", "SELECT 1;" * n),
    "sql conditions": lambda n: ("sql", "DELETE FROM t WHERE " + "NOT " * n + "a OR 1=1" + " OR a=1" * n),
    "sql unions": lambda n: ("sql", "SELECT 1" + " UNION SELECT 1" * n),
    "sql cases": lambda n: ("sql", "SELECT " + "CASE WHEN " * n),
    "sql quotes": lambda n: ("sql", "'" * n),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_programs_are_answered_in_bounded_time(name: str) -> None:
    warm_up()
    for size in (50, 2_000):
        language, code = HOSTILE[name](size)
        started = time.perf_counter()
        found = analyse(program(code, language))
        assert time.perf_counter() - started < 15
        assert "analysis.failed" not in {each.rule for each in found.findings}


@pytest.mark.parametrize("text", ["a" * 300_000, "rm " * 100_000, "=" * 300_000, "a='b' " * 50_000])
@pytest.mark.parametrize("language", LANGUAGES)
def test_very_large_programs_are_unknown_and_answered_in_bounded_time(text: str, language: str) -> None:
    started = time.perf_counter()
    assert not analyse(program(text, language)).complete
    assert time.perf_counter() - started < 15


@pytest.mark.parametrize("line", ["+a = eval(x)\n", "+\n", "-----\n", "@@ -1 +1 @@\n+x\n", "+password = '\n"])
def test_very_large_changes_are_answered_in_bounded_time(line: str) -> None:
    diff = line * min(90_000, 400_000 // len(line))
    started = time.perf_counter()
    analyse(parse_action({"type": "file_change", "path": "a.py", "diff": diff}))
    assert time.perf_counter() - started < 15


def test_deeply_nested_arguments_are_answered() -> None:
    nested: object = "rm -rf /"
    for _ in range(28):
        nested = {"a": [nested]}
    found = analyse(
        parse_action({"type": "tool_call", "server": "s", "tool": "get", "arguments": {"a": nested}})
    )
    assert not found.complete


def test_programs_within_programs_are_followed_to_a_bound() -> None:
    code = "rm -rf /"
    for _ in range(7):
        code = "eval " + "'" + code.replace("'", "'\\''") + "'"
    assert not analysed(code, "bash").complete


def test_several_threads_may_analyse_at_once() -> None:
    actions = [program(code, language) for language in LANGUAGES for code in DANGERS[language][:15]]
    expected = [analyse(action) for action in actions]
    answers: dict[int, list[object]] = {}

    def work(number: int) -> None:
        answers[number] = [analyse(action) for action in actions]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert all(answers[number] == expected for number in range(4))


def test_nothing_of_a_program_is_written_or_logged(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for language, code in (
        ("sql", "CALL secret_name(1)"),
        ("python", "x = '\\secret_name' is 3"),
        ("sql", "EXPLAIN secret_name"),
    ):
        for found in analysed(code, language).findings:
            assert "secret_name" not in found.message
    assert "secret_name" not in "".join(capfd.readouterr())
    assert "secret_name" not in caplog.text


def test_every_rule_says_what_it_means_in_one_short_sentence() -> None:
    assert set(DESCRIPTIONS) == set(Rule)
    for _, sentence in DESCRIPTIONS.values():
        assert len(sentence) <= 90
        assert not sentence.endswith(".")


def test_heavy_libraries_are_not_imported_with_the_package() -> None:
    import subprocess

    names = "('bandit', 'sqlglot', 'tree_sitter')"
    code = f"import code_safety.analysis, sys; print([m for m in {names} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
