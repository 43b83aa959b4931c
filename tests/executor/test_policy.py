"""The executor's own policy: read strictly, asked by gate and validation alike, changed while it runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from code_safety.imported_modules import ImportsUnknown, imported_modules
from executor_mcp.errors import RefusalReason, Refused
from executor_mcp.executor_policy import ExecutorPolicy
from executor_mcp.interface.views import execution_answer
from executor_mcp.settings import SettingsFilePolicy, load
from server_kit.database.base import Database
from server_kit.errors import AuditUnavailable, ConfigurationError
from tests.executor.support import IMAGE, PROGRAM, Bench, bench

POLICY = """
policy:
  languages: [python, nodejs, bash]
  limits: {wall_seconds: 60}
  blocked_severity: high
  tolerated_findings: [python.fork_bomb]
  patterns:
    - {pattern: "Subprocess*shell=True", reason: start programs without a shell, languages: [python]}
    - {pattern: "rm -rf", effect: warn, reason: "look twice"}
  imports:
    - {module: ctypes, reason: no native code here}
    - {module: fs, effect: warn, languages: [nodejs]}
  agents: {never: ["intern-*"]}
"""


def written(path: Path, text: str) -> SettingsFilePolicy:
    path.write_text(text)
    return SettingsFilePolicy({"EXECUTOR_CONFIG": str(path)}, path)


@pytest_asyncio.fixture
async def made(store: Database, tmp_path: Path) -> AsyncIterator[Bench]:
    reader = written(tmp_path / "executor.yaml", POLICY)
    made = bench(store, tmp_path, policy=reader.read(), read_policy=reader)
    yield made
    await made.executor.service.close()


def python(code: str, **fields: Any) -> dict[str, Any]:
    return {**PROGRAM, "code": code, **fields}


def nodejs(code: str) -> dict[str, Any]:
    return {**PROGRAM, "language": "nodejs", "code": code}


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({**PROGRAM, "language": "sql", "code": "SELECT 1"}, 6, "language: sql"),
    ({**PROGRAM, "limits": {"wall_seconds": 61}}, 6, "limits.wall_seconds"),
    ({**PROGRAM, "files": [{"path": "/".join(["é" * 100] * 10), "content": ""}]}, 6, "files: a path"),
    (
        python("print('ok')\nSUBPROCESS.run(x, Shell=True)"),
        7,
        "pattern 'Subprocess*shell=True' at code line 2",
    ),
    (python("import ctypes.util"), 7, "import ctypes at code: no native code here"),
    (python("from ctypes import *"), 7, "import ctypes"),
    (python("m = 'cty' + 'pes'\nload = __import__\nload(m)"), 7, "import ctypes"),
    (python("1", files=[{"path": "x.py", "content_base64": "aW1wb3J0IGN0eXBlcw=="}]), 7, "at files[0]"),
    (nodejs("const r = require; r('ctypes')"), 7, "import ctypes"),
    (nodejs("import('node:ctypes/x')"), 7, "import ctypes"),
    (nodejs("}{"), 7, "imports at code: not known"),
]


@pytest.mark.parametrize(("action", "step", "words"), REFUSED)
async def test_validation_says_what_the_gate_refuses_and_in_the_same_words(
    made: Bench, action: dict[str, Any], step: int, words: str
) -> None:
    with pytest.raises(Refused) as caught:
        await made.executor.service.execute(made.issuer.token(action), None)
    told = (await made.executor.service.validate(action)).verdict

    assert caught.value.step == step
    assert caught.value.detail == "; ".join(told.not_allowed or told.unsafe)
    assert words in caught.value.detail
    assert await made.counts() == (0, 0)
    assert made.sandbox.prepared == 0


async def test_what_is_minded_and_let_pass_is_in_the_record_and_was_foretold(made: Bench) -> None:
    action = {
        **nodejs("import fs from 'fs'\nconsole.log('rm  -rf', 'RM -RF')"),
        "limits": {"wall_seconds": 5},
    }
    told = await made.executor.service.validate(action)
    execution = await made.run(action)

    assert told.verdict.refused_because == ()
    assert execution.warnings == told.verdict.warnings
    assert [text.split(" at ")[0] for text in execution.warnings] == ["pattern 'rm -rf'", "import fs"]
    assert execution_answer(execution, None).warnings == execution.warnings
    entry = (await made.executor.ledger.audit.tail(2))[0]
    assert entry.details["warnings"] == list(execution.warnings)
    assert entry.details["policy"] == made.executor.policies.current().digest


async def test_severity_blocks_unless_a_finding_is_tolerated(made: Bench) -> None:
    bomb = python("import os\nwhile True:\n    os.fork()", limits={"wall_seconds": 5})
    judged = (await made.executor.service.validate(bomb)).verdict
    assert "python.fork_bomb" in [finding.rule for finding in judged.findings]
    assert not [text for text in judged.unsafe if "fork_bomb" in text]
    severe = python("import os, base64\nexec(base64.b64decode('cHJpbnQoMSk='))", limits={"wall_seconds": 5})
    assert (await made.executor.service.validate(severe)).verdict.unsafe


async def test_an_agent_that_is_kept_out_is_refused_and_told_so_by_validation(made: Bench) -> None:
    with pytest.raises(Refused, match="intern-7") as caught:
        await made.executor.service.execute(made.issuer.token(subject="intern-7"), None)
    assert caught.value.step == 6
    named = await made.executor.service.validate(PROGRAM, agent="intern-7")
    assert named.verdict.not_allowed == (caught.value.detail,)
    assert (await made.executor.service.validate(PROGRAM)).verdict.refused_because == ()


async def test_an_image_that_the_policy_does_not_name_runs_nothing(store: Database, tmp_path: Path) -> None:
    for images, allowed in (
        ({"never": ["sha256:aaa*"]}, False),
        ({"only": ["sha256:bbb*"]}, False),
        ({"only": [IMAGE]}, True),
    ):
        settings = load({"EXECUTOR_POLICY__IMAGES": str(images).replace("'", '"')})
        made = bench(store, tmp_path, policy=settings.policy.policy())
        assert ((await made.executor.service.validate(PROGRAM)).verdict.not_allowed == ()) is allowed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("policy: {languages: [perl]}", "policy.languages"),
        ("policy: {languages: []}", "policy.languages"),
        ("policy: {blocked_findings: [python.everything]}", "policy.blocked_findings"),
        ("policy: {blocked_findings: [python.syntax_error, python.syntax_error]}", "more than once"),
        ("policy: {blocked_severity: awful}", "policy.blocked_severity"),
        ("policy: {patterns: [{pattern: '*'}]}", "must have text besides"),
        ("policy: {patterns: [{pattern: x, effect: shout}]}", "policy.patterns.0.effect"),
        ("policy: {imports: [{module: 'a b'}]}", "policy.imports.0.module"),
        ("policy: {images: {only: [latest]}}", "policy.images.only"),
        ("policy: {agents: {only: []}}", "policy.agents.only"),
        ("policy: {agents: {alow: [x]}}", "alow"),
        ("policy: {limits: {memory_mb: 1}}", "policy.limits.memory_mb"),
        ("policy: [", "is not YAML at line 1"),
    ],
)
async def test_a_wrong_policy_is_named_and_the_one_before_stays_in_force(
    made: Bench, tmp_path: Path, text: str, expected: str
) -> None:
    before = made.executor.policies.current()
    reader = written(tmp_path / "executor.yaml", text)
    with pytest.raises(ConfigurationError, match=expected):
        reader.read()

    assert not await made.executor.policies.reload()
    assert made.executor.policies.current() is before
    assert b"hitl_executor_policy_stale 1.0" in made.executor.measurements.exposition()
    (tmp_path / "executor.yaml").unlink()
    assert not await made.executor.policies.reload()
    written(tmp_path / "executor.yaml", POLICY)
    assert await made.executor.policies.reload()
    assert b"hitl_executor_policy_stale 0.0" in made.executor.measurements.exposition()


async def test_a_changed_file_is_noticed_audited_and_in_force_for_the_next_call(
    made: Bench, tmp_path: Path
) -> None:
    before = made.executor.policies.current().digest
    assert (await made.run()).warnings == ()
    watching = asyncio.create_task(made.executor.policies.run())
    try:
        new = tmp_path / "executor.yaml.new"
        new.write_text("policy: {agents: {never: ['*']}}")
        os.replace(new, tmp_path / "executor.yaml")
        async with asyncio.timeout(20):
            while made.executor.policies.current().digest == before:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    with pytest.raises(Refused) as caught:
        await made.executor.service.execute(made.issuer.token(), None)
    assert caught.value.reason is RefusalReason.NOT_ALLOWED_HERE
    changed = [
        entry for entry in await made.executor.ledger.audit.tail(10) if entry.event == "policy.changed"
    ]
    assert [(one.subject, one.details["before"]) for one in changed] == [
        (made.executor.policies.current().digest, before)
    ]


async def test_a_change_that_cannot_be_audited_is_not_made(
    made: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise AuditUnavailable("no entry")

    before = made.executor.policies.current()
    written(tmp_path / "executor.yaml", "policy: {limits: {wall_seconds: 7}}")
    monkeypatch.setattr(made.executor.ledger.audit, "append", fail)
    assert not await made.executor.policies.reload()
    assert made.executor.policies.current() is before
    monkeypatch.undo()
    assert await made.executor.policies.reload()
    assert made.executor.policies.current().ceilings.wall_seconds == 7


def test_a_program_too_large_or_not_well_formed_has_unknown_imports() -> None:
    for language, code in (("python", "import ("), ("python", "x\n" * 200_000), ("nodejs", "import {")):
        with pytest.raises(ImportsUnknown):
            imported_modules(language, code)
    assert imported_modules("bash", "import os") == frozenset()


def test_the_digest_names_the_policy_and_nothing_else() -> None:
    same, other = load({}), load({"EXECUTOR_POLICY__LIMITS__CPUS": "3"})
    assert same.policy.policy().digest == load({"EXECUTOR_HTTP__PORT": "1"}).policy.policy().digest
    assert same.policy.policy().digest != other.policy.policy().digest
    assert same.policy.policy() == ExecutorPolicy()
