"""How the run beside peers is judged; the run itself installs them, which is not for every change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.peer_environments import LLM_SANDBOX, MCP_RUN_PYTHON, CannotRun, Environment, install
from benchmarks.peer_sessions import mcp_run_python
from benchmarks.peers import OF_LLM_SANDBOX, OF_MCP_RUN_PYTHON, OVER_MCP, WARM, Measured, main, tell, verdicts

NUMBERS = {WARM: 2.0, OVER_MCP: 10.0, OF_LLM_SANDBOX: 200.0, OF_MCP_RUN_PYTHON: 10.0}


def test_ratios_at_their_bounds_are_met_and_beyond_them_are_not() -> None:
    assert [(one.value, one.met) for one in verdicts(NUMBERS)] == [(100, True), (1, True)]
    worse = {**NUMBERS, OF_LLM_SANDBOX: 199.0, OF_MCP_RUN_PYTHON: 9.9}
    assert [one.met for one in verdicts(worse)] == [False, False]


def test_a_peer_that_could_not_be_run_is_named_with_its_reason_and_not_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without = {name: value for name, value in NUMBERS.items() if name != OF_MCP_RUN_PYTHON}
    output = tmp_path / "peers.json"
    assert tell(Measured(without, {MCP_RUN_PYTHON[0]: "[its] server ended"}), output) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{MCP_RUN_PYTHON[0]} could not be run here" in said
    assert "[its] server ended" in said
    assert list(json.loads(output.read_text())["targets"]) == ["llm-sandbox run / warm execute"]


def test_a_run_that_compared_with_nobody_has_met_nothing() -> None:
    assert tell(Measured({WARM: 2.0}, {"one": "no network", "other": "no network"}), None) == 1


def test_every_peer_is_pinned() -> None:
    for requirement in (*LLM_SANDBOX, *MCP_RUN_PYTHON):
        assert "==" in requirement


async def test_without_uv_no_peer_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotRun, match="uv is not installed"):
        await install(tmp_path / "peer", LLM_SANDBOX, 30)


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("echo 'install: error: no such host' >&2; exit 1", "its server ended.*error: no such host"),
        ("exec sleep 60", "no answer within 1 s"),
    ],
)
async def test_a_server_that_does_not_start_is_reported_in_its_own_words(
    tmp_path: Path, server: str, expected: str
) -> None:
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "mcp-run-python"
    command.write_text(f"#!/bin/sh\n{server}\n")
    command.chmod(0o755)
    with pytest.raises(CannotRun, match=expected):
        async with mcp_run_python(Environment(tmp_path, {}), 1 if "sleep" in server else 30):
            pytest.fail("it started")


def test_arguments_that_are_none_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--rounds", "many"])
    assert "--rounds" in capsys.readouterr().err
