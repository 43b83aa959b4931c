"""Every sandbox that there is, tried with the same tests. A missing engine or tool is a failure."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from executor_mcp.sandbox.base import Sandbox
from executor_mcp.sandbox.bubblewrap import BubblewrapSandbox
from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.docker_container import Runtime
from executor_mcp.sandbox.docker_sandbox import DockerSandbox
from executor_mcp.sandbox.image_building import build_image
from executor_mcp.sandbox.languages.registry import BUILT_IN, Languages
from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox
from executor_mcp.sandbox.settings import DEFAULT_IMAGE, PoolSettings
from tests.sandbox.burst_support import OfOneAgent, make_burst

REPOSITORY = Path(__file__).resolve().parents[2]

# The first test that needs the image may have to build it.
_BUILDS = pytest.mark.timeout(420)
BACKENDS = [
    pytest.param("bubblewrap", id="bubblewrap"),
    pytest.param("bubblewrap-without-groups", id="bubblewrap_without_control_groups"),
    pytest.param("docker", marks=_BUILDS, id="docker"),
    pytest.param("docker-warm", marks=_BUILDS, id="docker_warm"),
    pytest.param("gvisor", marks=_BUILDS, id="gvisor"),
    pytest.param("burst", marks=_BUILDS, id="burst"),
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


def make_sandbox(backend: str, instance: str = "tests", languages: Languages = BUILT_IN) -> Sandbox:
    if backend == "bubblewrap":
        return BubblewrapSandbox(languages=languages)
    if backend == "bubblewrap-without-groups":
        return BubblewrapSandbox(use_control_groups=False, languages=languages)
    if backend == "burst":
        return OfOneAgent(make_burst(instance, languages=languages))
    engine = DockerEngine()
    if backend == "docker-warm":
        cold = DockerSandbox(engine, instance=instance, languages=languages)
        return PooledDockerSandbox(
            engine, cold, PoolSettings(minimum=1, maximum=8, worth_keeping=0, patience_seconds=60)
        )
    runtime = Runtime("runsc", gvisor=True) if backend == "gvisor" else Runtime()
    return DockerSandbox(engine, runtime=runtime, instance=instance, languages=languages)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A cold container has the warm one's hardening and languages, and bubblewrap's and gVisor's supervisor:
    it is tried where it differs, in its life and in its bounds.
    """
    module = metafunc.module.__name__
    if "backend" in metafunc.fixturenames and ".conformance." in module:
        both = module.endswith(("test_life", "test_bounds", "test_checkpoint"))
        tried = [backend for backend in BACKENDS if both or backend.id != "docker"]
        metafunc.parametrize("backend", tried, indirect=True, scope="module")


@pytest.fixture(scope="module")
def backend(request: pytest.FixtureRequest) -> str:
    """The name of each backend in turn, ready to be used."""
    name = str(request.param)
    if not name.startswith("bubblewrap"):
        request.getfixturevalue("docker_image")
    return name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(backend: str) -> AsyncIterator[Sandbox]:
    """One for the tests of a module: a sandbox is for many runs, and starting a pool takes longer."""
    sandbox = make_sandbox(backend)
    try:
        yield sandbox
    finally:
        await sandbox.close()
    if isinstance(sandbox, PooledDockerSandbox):
        report = sandbox.report()
        assert report.served_cold == 0, f"warm containers were meant, but: {report}"
    if isinstance(sandbox, OfOneAgent):
        tier = sandbox.sandbox.report()
        assert tier is not None
        assert (tier.launched, tier.condemned) == (1, 0), f"one outer container was meant, but: {tier}"
