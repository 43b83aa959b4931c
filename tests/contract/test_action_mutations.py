"""Whatever is changed in an approved action, the token no longer opens it (promise T1)."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from hitl_contract.action import action_digest, canonical_action, parse_action
from hitl_contract.capability import encode_capability
from hitl_contract.errors import InvalidAction, TokenRefused
from hitl_contract.verify import verify_capability
from tests.contract.tokens import KEY_ID, KEYS, NOW, POLICY, PRIVATE_KEY, claims

APPROVED: list[dict[str, Any]] = [
    {
        "type": "code_execution",
        "language": "python",
        "code": "import json\nprint(json.dumps(input_data))\n",
        "input_data": {"rows": [1, 2.5, "three", None, True], "name": "x"},
        "files": [
            {"path": "data/in.csv", "content": "a,b\n1,2\n"},
            {"path": "b.bin", "content_base64": "AAEC/w=="},
            {
                "path": "old.csv",
                "reference": "execution://exe_abcdefghijklmnopqrstuvwxyz/files/out/a.csv",
                "sha256": "ef" * 32,
            },
        ],
        "packages": ["numpy==2.1.0", "pandas"],
        "network": {"mode": "allowlist", "domains": ["api.example.com", "b.example.com"]},
        "limits": {
            "wall_seconds": 12.5,
            "memory_mb": 300,
            "cpus": 0.5,
            "pids": 20,
            "disk_mb": 10,
            "output_kb": 64,
        },
        "profile": "standard",
        "runtime": "sha256:" + "ab" * 32,
    },
    {
        "type": "package_addition",
        "language": "python",
        "packages": ["requests[socks]==2.32.3", "rich==13.7.1"],
        "needs": ["idna==3.7", "pysocks==1.7.1"],
    },
    {
        "type": "package_addition",
        "language": "nodejs",
        "packages": ["@scope/name@1.2.3", "lodash@4.17.21"],
        "needs": ["inner@1.0.0", "inner@2.0.0"],
    },
    {
        "type": "shell_command",
        "argv": ["rm", "-rf", "./build"],
        "cwd": "/srv/app",
        "env": {"PATH": "/usr/bin"},
    },
    {
        "type": "tool_call",
        "server": "github",
        "tool": "merge",
        "arguments": {"number": 7, "labels": ["a", "b"]},
    },
    {
        "type": "http_request",
        "method": "POST",
        "url": "https://api.example.com/v1/pay?x=1",
        "headers": {"Content-Type": "application/json"},
        "body_sha256": "cd" * 32,
    },
    {"type": "file_change", "path": "app/main.py", "diff": "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n"},
    {"type": "generic", "operation": "deploy", "details": {"environment": "production", "replicas": 3}},
]


def _changed_text(value: str) -> Iterator[str]:
    for position in range(len(value) + 1):
        yield value[:position] + "x" + value[position:]
        yield value[:position] + "\u200b" + value[position:]
    for position, character in enumerate(value):
        yield value[:position] + value[position + 1 :]
        yield value[:position] + character.swapcase() + value[position + 1 :]
        yield value[:position] + chr(ord(character) ^ 1) + value[position + 1 :]
    yield from (value + " ", value + "\n", value * 2, value[::-1], "")


def _changed(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield from (not value, int(value), None)
    elif isinstance(value, int | float):
        yield from (value + 1, value - 1, value * 2, value + 0.25, -value, 0, str(value), None)
    elif isinstance(value, str):
        yield from _changed_text(value)
        yield from (None, 0, [value])
    elif isinstance(value, list):
        for position in range(len(value)):
            yield value[:position] + value[position + 1 :]
            yield value[:position] + [value[position]] * 2 + value[position + 1 :]
        yield from (value[::-1], [*value, "x"], [], None)
    elif isinstance(value, dict):
        for key in value:
            yield {name: item for name, item in value.items() if name != key}
            yield {(f"{name}x" if name == key else name): item for name, item in value.items()}
        yield from ({**value, "x": 1}, {}, None)
    else:
        yield from (0, False, "", [], {})


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _places(item, (*path, position))


def _mutations(document: dict[str, Any]) -> Iterator[Any]:
    for path in _places(document):
        original: Any = document
        for key in path:
            original = original[key]
        for replacement in _changed(original):
            if not path:
                yield replacement
                continue
            mutated = copy.deepcopy(document)
            target: Any = mutated
            for key in path[:-1]:
                target = target[key]
            target[path[-1]] = replacement
            yield mutated


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("approved", APPROVED, ids=lambda document: document["type"])
def test_every_change_of_every_field_is_refused(approved: dict[str, Any]) -> None:
    complete = json.loads(canonical_action(parse_action(approved)))
    action = parse_action(complete)
    granted = claims(action_type=action.type, action_digest=action_digest(action))
    token = encode_capability(granted, private_key=PRIVATE_KEY, key_id=KEY_ID)
    assert verify_capability(token, action, keys=KEYS, policy=POLICY, now=NOW)
    refused = no_action = 0
    for mutated in _mutations(complete):
        if json.dumps(mutated, sort_keys=True) == json.dumps(complete, sort_keys=True):
            continue
        try:
            other = parse_action(mutated)
        except InvalidAction:
            no_action += 1
            continue
        if canonical_action(other) == canonical_action(action):
            assert _without_nulls(mutated) == _without_nulls(complete), "only an absent null changes nothing"
            continue
        with pytest.raises(TokenRefused, match="action_mismatch"):
            verify_capability(token, other, keys=KEYS, policy=POLICY, now=NOW)
        refused += 1
    assert refused >= 40
    assert refused + no_action >= 100
