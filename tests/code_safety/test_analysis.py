"""What static analysis finds, and that it says so when it does not know."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_safety.analysis import MAX_ANALYSED_CHARACTERS, BuiltInStaticAnalysis
from code_safety.findings import Finding, Severity
from code_safety.hidden_characters import find_hidden_characters
from code_safety.inspection import MAX_FINDINGS_PER_RULE
from hitl_contract.action import parse_action


def analyse(code: str, language: str = "python", **fields: object) -> tuple[Finding, ...]:
    action = parse_action({"type": "code_execution", "language": language, "code": code, **fields})
    return BuiltInStaticAnalysis().findings(action)


def test_an_ordinary_program_has_no_findings() -> None:
    assert analyse("import json\nprint(json.dumps({'a': 1}))  # grüße, 数字") == ()


@pytest.mark.parametrize("code", ["print(", "def f(:\n pass", "x = 1\n  y = 2", "a\x00b", "'unclosed"])
def test_what_python_cannot_parse_is_a_syntax_error(code: str) -> None:
    (finding,) = [one for one in analyse(code) if one.rule == "python.syntax_error"]
    assert finding.severity is Severity.HIGH
    assert finding.unknown


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("import subprocess", "python.starts_processes"),
        ("from os import path\nimport os\nos.system('ls')", "python.starts_processes"),
        ("import urllib.request", "python.opens_network"),
        ("from socket import socket", "python.opens_network"),
        ("import pickle", "python.unpickles"),
        ("import ctypes", "python.calls_native_code"),
        ("eval(input())", "python.runs_text_as_code"),
        ("import shutil\nshutil.rmtree('x')", "python.deletes_files"),
    ],
)
def test_a_named_pattern_is_found_at_its_line(code: str, rule: str) -> None:
    found = {(finding.rule, finding.line) for finding in analyse(code)}
    assert found == {(rule, code.count("\n") + 1)}


@pytest.mark.parametrize(
    ("character", "rule"),
    [
        ("\u202e", "text.bidirectional_control"),
        ("\u2066", "text.bidirectional_control"),
        ("\u200b", "text.invisible_character"),
        ("\ufeff", "text.invisible_character"),
        ("\u3164", "text.invisible_character"),
        ("\U000e0041", "text.invisible_character"),
        ("\ufe0f", "text.invisible_character"),
        ("\x1b", "text.control_character"),
        ("\x85", "text.control_character"),
    ],
)
@pytest.mark.parametrize("language", ["python", "nodejs", "bash", "sql"])
def test_a_hidden_character_is_found_in_every_language(character: str, rule: str, language: str) -> None:
    (finding,) = [one for one in analyse(f"x\n# {character}", language) if one.rule.startswith("text.")]
    assert (finding.rule, finding.line, finding.column) == (rule, 2, 3)


def test_a_hidden_character_in_a_file_name_is_found() -> None:
    findings = analyse("x = 1", files=[{"path": "a\u202eb", "content": ""}])
    assert [(one.rule, one.where) for one in findings] == [("text.bidirectional_control", "files.path")]


def test_a_thousand_hidden_characters_are_reported_briefly() -> None:
    assert len(find_hidden_characters("\u200b" * 1000)) == MAX_FINDINGS_PER_RULE


@pytest.mark.parametrize("language", ["python", "nodejs", "bash", "sql"])
def test_what_is_too_large_is_said_to_be_unknown(language: str) -> None:
    found = analyse("x " * MAX_ANALYSED_CHARACTERS, language)
    assert [finding.rule for finding in found if finding.unknown] == ["analysis.too_large"]


def test_what_is_too_deep_is_said_to_be_unknown() -> None:
    (deep,) = analyse("x = " + "-" * 100_000 + "1")
    assert deep.unknown
    assert deep.severity is Severity.HIGH


def test_a_generic_action_is_said_to_be_unknown() -> None:
    action = parse_action({"type": "generic", "operation": "launch", "details": {}})
    found = BuiltInStaticAnalysis().findings(action)
    assert "analysis.not_analysed" in {finding.rule for finding in found if finding.unknown}


@given(st.text(min_size=1, max_size=200).filter(lambda text: bool(text.strip())))
def test_no_text_makes_the_analysis_fail_or_quote_the_program(code: str) -> None:
    secret = "QZXJVKWPSECRET"
    for finding in (*analyse(f"{code.replace(chr(0), '')}\n{secret} ="), *find_hidden_characters(code)):
        assert secret not in finding.message


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("# coding: utf-7\n# +AAo-print(1)", 1),
        ("#!/usr/bin/python3\n# -*- coding: unicode_escape -*-\nx = 1", 2),
        ("# a\r# vim: set fileencoding=utf_7 :\n", 2),
        ("# coding=latin-1\nx = 'é'", 1),
        ("# coding: utf-7\n" + "x = 1\n" * 50_000, 1),
        ("# coding: utf-8\nx = 'é'", None),
        ("# coding: latin-1\nx = 1", None),
        ("x = 1\n# coding: utf-7", None),
        ("# one\n# two\n# coding: utf-7", None),
    ],
)
def test_a_declared_encoding_that_changes_the_program_is_a_danger(code: str, line: int | None) -> None:
    findings = BuiltInStaticAnalysis().findings(
        parse_action({"type": "code_execution", "language": "python", "code": code})
    )
    found = [finding for finding in findings if finding.rule == "python.source_encoding"]
    assert [(finding.line, finding.severity) for finding in found] == (
        [] if line is None else [(line, "critical")]
    )


def test_declared_encodings_of_python_files_are_found_in_any_language() -> None:
    declared = "# coding: utf-7\n# +AAo-print(1)"
    files = [
        {"path": "notes.txt", "content": declared},
        {"path": "helper.py", "content_base64": base64.b64encode(declared.encode()).decode()},
    ]
    findings = BuiltInStaticAnalysis().findings(
        parse_action(
            {"type": "code_execution", "language": "bash", "code": "python3 -m helper", "files": files}
        )
    )
    assert [finding.where for finding in findings if finding.rule == "python.source_encoding"] == ["files[1]"]
