"""Which sandbox is chosen, and what is said when none can run."""

from __future__ import annotations

import pytest

from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.errors import SandboxUnavailable
from executor_mcp.sandbox.selection import choose_sandbox
from executor_mcp.sandbox.settings import SandboxSettings


@pytest.mark.timeout(420)
async def test_auto_takes_docker_where_an_engine_has_the_image(docker_image: str) -> None:
    sandbox = await choose_sandbox("auto", SandboxSettings(image=docker_image))
    assert sandbox.name == "docker"
    await sandbox.close()


async def test_auto_takes_bubblewrap_where_no_engine_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    sandbox = await choose_sandbox("auto", SandboxSettings())
    assert sandbox.name == "bubblewrap"
    await sandbox.close()


async def test_a_missing_image_is_named_with_the_command_that_makes_it(docker_image: str) -> None:
    settings = SandboxSettings(image="hitl-no-such-image:latest")
    with pytest.raises(SandboxUnavailable, match=r"hitl-no-such-image:latest.*hitl-executor image build"):
        await choose_sandbox("docker", settings)


async def test_an_unreachable_engine_is_one_line_that_says_how_to_start_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with pytest.raises(SandboxUnavailable, match="no Docker engine answers") as caught:
        await choose_sandbox("docker", SandboxSettings())
    assert "\n" not in str(caught.value)
    engine = DockerEngine()
    with pytest.raises(SandboxUnavailable, match="start it"):
        await engine.facts()
    await engine.close()


async def test_auto_refuses_with_what_to_install_and_never_runs_unsandboxed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    monkeypatch.setattr("executor_mcp.sandbox.bubblewrap.TOOL_PATH", "/nonexistent")
    with pytest.raises(SandboxUnavailable, match=r"apt-get install .*bubblewrap") as caught:
        await choose_sandbox("auto", SandboxSettings())
    assert "docker: " in str(caught.value)
