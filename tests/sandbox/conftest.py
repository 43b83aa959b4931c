"""Every sandbox that there is, tried with the same tests. A missing engine or tool is a failure."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from executor_mcp.sandbox.base import Sandbox
from executor_mcp.sandbox.bubblewrap import BubblewrapSandbox
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.image_building import build_image
from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox
from executor_mcp.sandbox.settings import DEFAULT_IMAGE, PoolSettings

REPOSITORY = Path(__file__).resolve().parents[2]

# The first test that needs the image may have to build it.
_BUILDS = pytest.mark.timeout(420)
BACKENDS = [
    pytest.param("bubblewrap", id="bubblewrap"),
    pytest.param("bubblewrap-without-groups", id="bubblewrap_without_control_groups"),
    pytest.param("docker", marks=_BUILDS, id="docker"),
    pytest.param("docker-warm", marks=_BUILDS, id="docker_warm"),
    pytest.param("gvisor", marks=_BUILDS, id="gvisor"),
]


async def _image_or_build() -> None:
    engine = DockerEngine()
    try:
        if await engine.image_id(DEFAULT_IMAGE) is None:
            await build_image(None)
    finally:
        await engine.close()


@pytest.fixture(scope="session")
def docker_image() -> str:
    subprocess.run(["sh", str(REPOSITORY / "scripts/start_docker.sh")], check=True, timeout=60)
    asyncio.run(_image_or_build())
    return DEFAULT_IMAGE


def make_sandbox(backend: str, instance: str = "tests") -> Sandbox:
    if backend == "bubblewrap":
        return BubblewrapSandbox()
    if backend == "bubblewrap-without-groups":
        return BubblewrapSandbox(use_control_groups=False)
    engine = DockerEngine()
    if backend == "docker-warm":
        cold = DockerSandbox(engine, instance=instance)
        return PooledDockerSandbox(engine, cold, PoolSettings(minimum=1, maximum=8, worth_keeping=0))
    return DockerSandbox(engine, runtime="runsc" if backend == "gvisor" else None, instance=instance)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of each backend in turn, ready to be used."""
    name = str(request.param)
    if not name.startswith("bubblewrap"):
        request.getfixturevalue("docker_image")
    return name


@pytest.fixture
async def sandbox(backend: str) -> AsyncIterator[Sandbox]:
    sandbox = make_sandbox(backend)
    yield sandbox
    if isinstance(sandbox, PooledDockerSandbox):
        assert sandbox.report().served_cold == 0, "what is meant to test warm containers ran in cold ones"
    await sandbox.close()
