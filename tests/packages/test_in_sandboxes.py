"""Layers as programs see them: importable, read-only, and only those that were given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from executor_mcp.packages.layers import measure, seal
from executor_mcp.sandbox.base import PackageLayer
from executor_mcp.sandbox.errors import SandboxError, SandboxRefused
from executor_mcp.sandbox.pool.classes import WarmClass
from tests.sandbox.conftest import BACKENDS, docker_image, make_sandbox
from tests.sandbox.support import Recorder, make_job, result_of

__all__ = ["docker_image"]

PROGRAM = """
import errno, json, os, subprocess, sys
import first_package, second_package
def attempt(act):
    try:
        act()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
folder = os.path.dirname(first_package.__file__)
layer = os.path.dirname(folder)
[
    first_package.VALUE + second_package.VALUE,
    sys.path.index(layer) < min([i for i, p in enumerate(sys.path) if p.endswith("-packages")], default=99),
    subprocess.run([sys.executable, "-c", "import first_package; print(first_package.VALUE)"],
                   capture_output=True, text=True).stdout,
    sorted({
        attempt(lambda: open(first_package.__file__, "w")),
        attempt(lambda: open(layer + "/new.py", "w")),
        attempt(lambda: os.chmod(first_package.__file__, 0o777)),
        attempt(lambda: os.unlink(first_package.__file__)),
        attempt(lambda: os.rename(layer, layer + "-moved")),
        attempt(lambda: os.utime(layer)),
    } - {"EROFS", "EACCES", "EPERM", "EBUSY"}),
    sorted(os.listdir("/opt/packages")),
    attempt(lambda: os.listdir(layer + "/../../../" + %r)),
]
"""


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> tuple[PackageLayer, ...]:
    """Two layers in a directory that no other user may enter."""
    home = tmp_path_factory.mktemp("layers")
    home.chmod(0o700)
    made: list[PackageLayer] = []
    for name, value in (("first_package", 40), ("second_package", 2)):
        package = home / name / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"VALUE = {value}\n")
        made.append(PackageLayer(f"{name}==1", seal(home / name).digest, home / name))
    return tuple(made)


def _mounts() -> str:
    return Path("/proc/self/mounts").read_text()


# Programs with packages have a container of their own, cold, whatever runs those without.
@pytest.fixture(params=[one for one in BACKENDS if one.id not in ("docker_warm", "burst")])
def name(request: pytest.FixtureRequest) -> str:
    """A backend that is ready."""
    if not str(request.param).startswith("bubblewrap"):
        request.getfixturevalue("docker_image")
    return str(request.param)


async def test_programs_import_their_layers_and_can_change_nothing_of_them(
    name: str, layers: tuple[PackageLayer, ...]
) -> None:
    sandbox = make_sandbox(name, "packages")
    host = str(layers[0].directory)
    before = [measure(layer.directory) for layer in layers]
    job = make_job("python", PROGRAM % host, packages=("first", "second"), wall_seconds=20)
    try:
        with pytest.raises(SandboxRefused, match="packages cannot be installed"):
            await sandbox.prepare(job)
        gone = replace(layers[0], directory=layers[0].directory / "gone")
        with pytest.raises(SandboxError):
            await sandbox.prepare(replace(job, layers=(gone,)))
        assert not gone.directory.exists()
        run = await sandbox.start(await sandbox.prepare(replace(job, layers=layers)), Recorder())
        found = result_of(await run.wait())
    finally:
        await sandbox.close()
    assert found == [42, True, "40\n", [], ["0", "1"], "ENOENT"]
    assert [measure(layer.directory) for layer in layers] == before
    assert host not in _mounts()
    assert "/mnt/0" not in _mounts()


def test_a_container_that_waits_is_never_taken_for_a_program_with_layers(
    layers: tuple[PackageLayer, ...],
) -> None:
    job = make_job("python", "1")
    kind = WarmClass.of("sha256:0", job.limits)
    assert kind.fits(job, 0)
    assert not kind.fits(replace(job, layers=layers), 0)
