"""Actions: defaults, strictness, normal form, digests."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given

from hitl_contract.action import (
    MAX_ACTION_BYTES,
    action_digest,
    action_json_schema,
    canonical_action,
    parse_action,
    parse_action_json,
)
from hitl_contract.action_code import CodeExecution
from hitl_contract.action_packages import PackageAddition, name_of, version_of
from hitl_contract.errors import InvalidAction
from tests.contract.strategies import actions

OLD = "execution://exe_abcdefghijklmnopqrstuvwxyz/files/out"
ZERO = {"sha256": "0" * 64}
ADDITION = {"type": "package_addition", "language": "python"}
NODEJS_ADDITION = {"type": "package_addition", "language": "nodejs"}
PYTHON: dict[str, Any] = {"type": "code_execution", "language": "python", "code": "print(6*7)"}


def test_defaults_are_part_of_the_digest() -> None:
    spelled_out = {
        **PYTHON,
        "input_data": None,
        "files": [],
        "packages": [],
        "network": {"mode": "none", "domains": []},
        "limits": {
            "wall_seconds": 30,
            "memory_mb": 256,
            "cpus": 1,
            "pids": 64,
            "disk_mb": 64,
            "output_kb": 1024,
        },
        "profile": "restricted",
        "runtime": None,
    }
    assert parse_action(PYTHON) == parse_action(spelled_out)
    assert json.loads(canonical_action(parse_action(PYTHON))) == spelled_out


@given(actions)
def test_an_action_read_back_from_its_bytes_is_the_same_action(document: dict[str, Any]) -> None:
    action = parse_action(document)
    again = parse_action_json(canonical_action(action))
    assert again == action
    assert action_digest(again) == action_digest(action)


@given(actions)
def test_parsing_an_action_again_changes_nothing(document: dict[str, Any]) -> None:
    action = parse_action(document)
    assert parse_action(action) == action


def test_what_runs_is_what_the_bytes_say() -> None:
    action = parse_action({**PYTHON, "input_data": {"b": 1.0, "a": -0.0}})
    assert isinstance(action, CodeExecution)
    assert json.dumps(action.input_data) == '{"a": 0, "b": 1}'


@pytest.mark.parametrize(
    ("change", "field", "allowed"),
    [
        ({"language": "ruby"}, "language", "'python', 'nodejs', 'bash' or 'sql'"),
        ({"code": ""}, "code", "at least 1 character"),
        ({"code": " \n\t"}, "code", "blank"),
        ({"code": 7}, "code", "string"),
        ({"code": "x" * 1_000_001}, "code", "1000000"),
        ({"code": "\ud800"}, "code", "unicode"),
        ({"unknown": 1}, "unknown", "not a field"),
        ({"limits": {"memory_mb": "256"}}, "limits.memory_mb", "integer"),
        ({"limits": {"memory_mb": 1}}, "limits.memory_mb", "16"),
        ({"limits": {"memory_mb": True}}, "limits.memory_mb", "integer"),
        ({"limits": {"wall_seconds": float("nan")}}, "limits.wall_seconds", "finite"),
        ({"limits": {"wall_seconds": 1e9}}, "limits.wall_seconds", "3600"),
        ({"limits": {"walls": 1}}, "limits.walls", "not a field"),
        ({"network": {"mode": "none", "domains": ["a.example"]}}, "network", "allowlist"),
        ({"network": {"mode": "allowlist"}}, "network", "at least one"),
        ({"network": {"mode": "allowlist", "domains": ["HTTPS://A"]}}, "network.domains.0", "lower-case"),
        (
            {"network": {"mode": "allowlist", "domains": ["169.254.169.254"]}},
            "network.domains.0",
            "domain name",
        ),
        ({"files": [{"path": "../x", "content": ""}]}, "files.0.path", "relative"),
        ({"files": [{"path": "/x", "content": ""}]}, "files.0.path", "relative"),
        ({"files": [{"path": "a//b", "content": ""}]}, "files.0.path", "shortest"),
        ({"files": [{"path": "a\x00b", "content": ""}]}, "files.0.path", "NUL"),
        ({"files": [{"path": "a"}]}, "files.0", "exactly one"),
        ({"files": [{"path": "a", "content": "", "content_base64": ""}]}, "files.0", "exactly one"),
        ({"files": [{"path": "a", "content_base64": "!"}]}, "files.0.content_base64", "base64"),
        ({"files": [{"path": "a", "content_base64": "YR=="}]}, "files.0.content_base64", "canonical"),
        ({"files": [{"path": "a", "content": ""}, {"path": "a", "content": ""}]}, "action", "repeat"),
        ({"files": [{"path": "a", "content": ""}, {"path": "a/b", "content": ""}]}, "action", "folder"),
        ({"files": [{"path": "a", "reference": OLD}]}, "files.0.sha256", "required"),
        ({"files": [{"path": "a", "sha256": "0" * 64}]}, "files.0.sha256", "not a field"),
        ({"files": [{"path": "a", "reference": OLD, "sha256": "0" * 63}]}, "files.0.sha256", "pattern"),
        ({"files": [{"path": "a", "reference": OLD, "sha256": "F" * 64}]}, "files.0.sha256", "pattern"),
        ({"files": [{"path": "a", "reference": "/etc/x", **ZERO}]}, "files.0.reference", "files_created"),
        ({"files": [{"path": "a", "reference": OLD + "/../x", **ZERO}]}, "files.0.reference", "relative"),
        (
            {"files": [{"path": "a", "reference": OLD + "\n", **ZERO, "content": ""}]},
            "files.0.content",
            "not a",
        ),
        ({"files": [{"path": "../a", "reference": OLD, **ZERO}]}, "files.0.path", "relative"),
        ({"files": [{"path": "a", "reference": "file:///etc/x", **ZERO}]}, "files.0.reference", "execution:"),
        ({"files": ["a"]}, "files.0", "dictionary"),
        ({"packages": ["a", "a"]}, "action", "repeat"),
        ({"packages": ["a; rm -rf /"]}, "packages.0", "pattern"),
        ({"runtime": "latest"}, "runtime", "sha256:"),
        ({"profile": "root"}, "profile", "restricted"),
        ({"input_data": 2**53}, "action", "safe integer"),
        ({"input_data": 1e20}, "action", "send it as a string"),
        ({"input_data": [float("inf")]}, "action", "not representable"),
    ],
)
def test_a_bad_field_is_named_with_what_is_allowed(change: dict[str, Any], field: str, allowed: str) -> None:
    with pytest.raises(InvalidAction) as caught:
        parse_action({**PYTHON, **change})
    (problem,) = caught.value.problems
    assert problem.field == field
    assert allowed in problem.message


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"type": "shell_command", "argv": []}, "argv"),
        ({"type": "shell_command", "argv": [""]}, "argv"),
        ({"type": "shell_command", "argv": ["a\x00"]}, "argv.0"),
        ({"type": "shell_command", "argv": "ls -l"}, "argv"),
        ({"type": "shell_command", "argv": ["ls"], "env": {"A B": ""}}, "env"),
        ({"type": "http_request", "method": "get", "url": "https://a.example"}, "method"),
        ({"type": "http_request", "method": "GET", "url": "file:///etc/passwd"}, "url"),
        ({"type": "http_request", "method": "GET", "url": "https://a.example/ b"}, "url"),
        ({"type": "http_request", "method": "GET", "url": "https://[a"}, "url"),
        (
            {"type": "http_request", "method": "GET", "url": "https://a", "headers": {"A": "x\r\nB: y"}},
            "headers",
        ),
        (
            {"type": "http_request", "method": "GET", "url": "https://a", "headers": {"A": "", "a": ""}},
            "headers",
        ),
        ({"type": "http_request", "method": "GET", "url": "https://a", "headers": {"A B": ""}}, "headers"),
        ({"type": "http_request", "method": "GET", "url": "https://a", "body_sha256": "00"}, "body_sha256"),
        ({"type": "generic", "operation": ""}, "operation"),
        ({"type": "tool_call", "server": "s"}, "tool"),
        ({"type": "file_change", "path": "x"}, "diff"),
        ({"type": "package_addition", "packages": ["a==1"]}, "language"),
        ({**ADDITION, "packages": []}, "packages"),
        ({**ADDITION, "packages": ["requests"]}, "packages.0"),
        ({**ADDITION, "packages": ["requests>=2"]}, "packages.0"),
        ({**ADDITION, "packages": ["requests==2.*"]}, "packages.0"),
        ({**ADDITION, "packages": ["requests==2.0-RC.1"]}, "packages.0"),
        ({**ADDITION, "packages": ["requests === 2.0"]}, "packages.0"),
        ({**ADDITION, "packages": ["Requests==2.0"]}, "packages.0"),
        ({**ADDITION, "packages": ["typing_extensions==4.9.0"]}, "packages.0"),
        ({**ADDITION, "packages": ["requests[socks,Brotli]==2.0"]}, "packages.0"),
        ({**ADDITION, "packages": ["r\u0435quests==2.0"]}, "packages.0"),
        ({**ADDITION, "packages": ["requests==2.0\n--index-url=x"]}, "packages.0"),
        ({**ADDITION, "packages": ["a==1"], "needs": ["b[c]==1"]}, "action"),
        ({**ADDITION, "packages": ["a==1", "a==2"]}, "action"),
        ({**ADDITION, "packages": ["a==1"], "needs": ["a==1"]}, "action"),
        ({**ADDITION, "packages": ["a==1"], "language": "ruby"}, "language"),
        ({**NODEJS_ADDITION, "packages": ["a==1.0.0"]}, "packages.0"),
        ({**ADDITION, "packages": ["a@1.0.0"]}, "packages.0"),
        *(
            ({**NODEJS_ADDITION, "packages": ["fine@1.0.0", text]}, "packages.1")
            for text in (
                *("lodash", "lodash@4", "lodash@4.17", "lodash@^4.17.21", "lodash@latest", "lodash@=1.0.0"),
                *("lodash@v1.0.0", "lodash@01.0.0", "lodash@1.0.0-01", "lodash@1.0.0+b", "lodash@1.0.0 <2"),
                *("Lodash@1.0.0", "JSONStream@1.3.5", "@Scope/x@1.0.0", "@scope@1.0.0", "a/b@1.0.0"),
                *("l\u043edash@1.0.0", "a@npm:b@1.0.0", "a@file:../b", "a@1.0.0\n", "-g@1.0.0"),
                *("node_modules@1.0.0", "a@1.0.0||2.0.0", f"{'a' * 200}@1.0.0", "a@9999999999999999.0.0"),
            )
        ),
        ({**NODEJS_ADDITION, "packages": ["a@1.0.0"], "needs": ["_b@1.0.0"]}, "needs.0"),
        ({**NODEJS_ADDITION, "packages": ["a@1.0.0"], "needs": ["b@^1.0.0"]}, "needs.0"),
        ({**NODEJS_ADDITION, "packages": ["a@1.0.0", "a@2.0.0"]}, "action"),
        ({**NODEJS_ADDITION, "packages": ["a@1.0.0"], "needs": ["a@1.0.0"]}, "action"),
        ({**NODEJS_ADDITION, "packages": ["a@1.0.0"], "needs": ["b@1.0.0", "b@1.0.0"]}, "action"),
        ({**ADDITION, "packages": ["a==1"], "index": "x"}, "index"),
        ({**ADDITION, "packages": [f"a{n}==1" for n in range(17)]}, "packages"),
        ({**ADDITION, "packages": ["a==1"], "needs": [f"b{n}==1" for n in range(129)]}, "needs"),
        ({"type": "sing"}, "type"),
        ({}, "type"),
        ([], "action"),
        (None, "action"),
    ],
)
def test_other_actions_are_as_strict(document: object, field: str) -> None:
    with pytest.raises(InvalidAction) as caught:
        parse_action(document)
    assert field in {problem.field for problem in caught.value.problems}


def test_a_problem_never_quotes_the_payload() -> None:
    with pytest.raises(InvalidAction) as caught:
        parse_action({**PYTHON, "code": ["SECRET"], "input_data": {"k": object()}, "packages": [7]})
    assert "SECRET" not in str(caught.value)


def test_an_action_larger_than_the_bound_is_refused() -> None:
    files = [{"path": f"f{index}", "content": "x" * 4_000_000} for index in range(3)]
    with pytest.raises(InvalidAction, match=str(MAX_ACTION_BYTES)):
        parse_action({**PYTHON, "files": files})


def test_json_text_with_a_repeated_key_is_refused() -> None:
    with pytest.raises(InvalidAction, match="twice"):
        parse_action_json('{"type":"generic","operation":"a","operation":"b"}')


def test_deep_input_is_refused_and_not_a_crash() -> None:
    deep: object = 0
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(InvalidAction):
        parse_action({**PYTHON, "input_data": deep})


def test_the_schema_names_every_kind_of_action() -> None:
    text = json.dumps(action_json_schema())
    for kind in ("code_execution", "shell_command", "tool_call", "http_request", "file_change", "generic"):
        assert kind in text


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("action", {"input_data": [0] * 100_001}),
        ("action", {"input_data": {str(number): None for number in range(100_001)}}),
        ("action", {"code": "\n" * 100_001 + "x"}),
        ("action", {"files": [{"path": name, "content": "\n" * 60_000} for name in "ab"]}),
        ("files", {"files": [{"path": "a", "content_base64": base64.b64encode(b"\n" * 100_001).decode()}]}),
    ],
    ids=["values", "keys", "lines of code", "lines of files", "lines in base64"],
)
def test_what_would_take_long_to_draw_is_refused(field: str, more: dict[str, object]) -> None:
    action = {"type": "code_execution", "language": "python", "code": "1", **more}
    with pytest.raises(InvalidAction, match="nobody could review") as refused:
        parse_action(action)
    assert [problem.field for problem in refused.value.problems] == [field]


def test_of_nodejs_an_addition_names_every_version_that_comes_along() -> None:
    packages = ["@scope/name@2.0.0-rc.1", "a@1.0.0"]
    needs = ["a@2.0.0", "b@1.0.0", "b@1.5.0", "JSONStream@1.3.5", "@Old/Name@0.0.1"]
    action = parse_action({**NODEJS_ADDITION, "packages": packages, "needs": needs})
    assert isinstance(action, PackageAddition)
    assert [*action.packages, *action.needs] == [*packages, *needs]
    assert action.in_several_versions == {"a": ("1.0.0", "2.0.0"), "b": ("1.0.0", "1.5.0")}
    names = [name_of(each, action.language) for each in (*packages, *needs)]
    assert names == ["@scope/name", "a", "a", "b", "b", "JSONStream", "@Old/Name"]
    assert version_of(packages[0], action.language) == "2.0.0-rc.1"
