"""What every installer promises: uv with a directory of wheels, npm with a registry on the loopback."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from executor_mcp.packages.errors import PackageNotInstallable
from executor_mcp.packages.installing import Installer, Target, target_here
from executor_mcp.packages.layers import LayerFacts, seal
from executor_mcp.packages.npm_installer import NpmInstaller
from executor_mcp.packages.requirements import exactly
from executor_mcp.packages.uv_installer import UvInstaller
from hitl_contract.action_code import Language
from tests.packages.npm_support import NODE, Registry, npm_with, package, provide, serving
from tests.packages.npm_support import TARGET as NPM_TARGET
from tests.packages.support import TARGET as PYTHON_TARGET
from tests.packages.support import make_wheel, uv_with

# Starting npm takes a machine that is busy long.
pytestmark = pytest.mark.timeout(180)


@dataclass
class Source:
    """Where one language's packages come from, with a tool that asks there."""

    target: Target
    installer: Callable[[Path, float], Installer]
    without_tool: Installer
    named: str
    """The file of `alpha` in its layer that says which version it is."""
    alone: list[str] = field(default_factory=list[str])

    def exactly(self, name: str, version: str = "1.0.0") -> str:
        return exactly(name, version, self.target.language)


def _python(home: Path) -> Source:
    index = home / "index"
    index.mkdir(parents=True)
    make_wheel(index, "alpha", "1.0.0", needs=["beta>=1"], command=True)
    make_wheel(index, "beta", "1.5.0")
    with tarfile.open(index / "scripted-1.0.0.tar.gz", "w:gz") as archive:
        (home / "setup.py").write_text("open('ran', 'w')\n")
        archive.add(home / "setup.py", "scripted-1.0.0/setup.py")

    def installer(_: Path, seconds: float) -> UvInstaller:
        made = uv_with(index)
        return UvInstaller(made._environment, seconds=seconds)  # pyright: ignore[reportPrivateUsage]

    return Source(PYTHON_TARGET, installer, UvInstaller({"PATH": ""}), "alpha/__init__.py")


def _nodejs(home: Path, registry: Registry) -> Source:
    registry.publish("alpha", "1.0.0", {"index.js": ""}, dependencies={"beta": "^1.0.0"}, bin="index.js")
    registry.publish("beta", "1.5.0", {"index.js": ""})
    registry.publish("scripted", "1.0.0", scripts={"install": "touch ran"}, claims={"hasInstallScript": True})
    return Source(
        NPM_TARGET,
        lambda place, seconds: npm_with(registry, place, seconds=seconds),
        NpmInstaller({"PATH": ""}),
        "package.json",
    )


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with serving() as registry:
        yield registry


@pytest.fixture(scope="module", params=["python", "nodejs"])
def source(
    request: pytest.FixtureRequest, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Source:
    home = tmp_path_factory.mktemp("source")
    return _python(home) if request.param == "python" else _nodejs(home, registry)


async def _install(source: Source, home: Path, requirement: str) -> tuple[list[str], LayerFacts, list[str]]:
    staged = home / "staged"
    staged.mkdir(parents=True)
    found = await provide(source.installer(home, 60), requirement, source.target, staged)
    assert all(one.hashes for one in found)
    return [str(one) for one in found], seal(staged / "layer"), sorted(path.name for path in staged.iterdir())


async def test_a_package_comes_with_all_it_needs_hashed_and_the_same_wherever_it_is_unpacked(
    source: Source, tmp_path: Path
) -> None:
    first = await _install(source, tmp_path / "first", source.exactly("alpha"))
    contents, facts, staged = first
    assert contents == [source.exactly("alpha"), source.exactly("beta", "1.5.0")]
    assert facts.size_bytes > 0
    assert "1.0.0" in (tmp_path / "first/staged/layer" / source.named).read_text()
    # The lock stays beside the layer, and nothing else; no address is in it, and no command in the layer.
    assert len(staged) == 2
    (lock,) = (tmp_path / "first/staged" / name for name in staged if name != "layer")
    assert "http" not in lock.read_text()
    names = {name for _, *both in os.walk(tmp_path / "first/staged/layer") for one in both for name in one}
    assert not names & {"bin", ".bin", ".package-lock.json"}
    assert await _install(source, tmp_path / "second", source.exactly("alpha")) == first


async def test_what_is_not_there_or_runs_code_to_be_installed_is_refused_with_the_reason(
    source: Source, tmp_path: Path
) -> None:
    for number, (requirement, says) in enumerate(
        [
            (source.exactly("alpha", "9.0.0"), "alpha"),
            (source.exactly("scripted"), "scripted"),
        ]
    ):
        with pytest.raises(PackageNotInstallable, match=says):
            await _install(source, tmp_path / str(number), requirement)
        assert not (tmp_path / f"{number}/staged/layer").exists()
    assert "ran" not in {name for _, _, names in os.walk(tmp_path) for name in names}


async def test_a_tool_that_is_missing_or_takes_too_long_is_named(source: Source, tmp_path: Path) -> None:
    with pytest.raises(PackageNotInstallable, match=r"not done within 0\.0001 s"):
        await provide(source.installer(tmp_path, 0.0001), source.exactly("alpha"), source.target, tmp_path)
    assert not (tmp_path / "layer").exists()


async def test_an_archive_that_is_no_longer_the_one_that_was_locked_is_refused(
    registry: Registry, tmp_path: Path
) -> None:
    registry.publish("swapped", "1.0.0", {"index.js": "1"})
    registry.then["/swapped"] = lambda: registry.publish("swapped", "1.0.0", {"index.js": "2"})
    with pytest.raises(PackageNotInstallable, match="another archive"):
        await provide(npm_with(registry, tmp_path), "swapped@1.0.0", NPM_TARGET, tmp_path)


@pytest.mark.parametrize(
    ("dependencies", "says"),
    [
        ({"other": "git+ssh://git@127.0.0.1/x/y.git"}, "git"),
        ({"other": "URL/elsewhere/other.tgz"}, "remote|address"),
    ],
)
async def test_nothing_is_taken_from_outside_the_registry(
    registry: Registry, tmp_path: Path, dependencies: Mapping[str, str], says: str
) -> None:
    named = {name: text.replace("URL", registry.url) for name, text in dependencies.items()}
    registry.publish("outsider", "1.0.0", dependencies=named)
    registry.archives["/elsewhere/other.tgz"] = package({"name": "other", "version": "1.0.0"})
    with pytest.raises(PackageNotInstallable, match=says):
        await provide(npm_with(registry, tmp_path), "outsider@1.0.0", NPM_TARGET, tmp_path)
    assert not (tmp_path / "layer").exists()


async def test_a_script_that_the_registry_does_not_admit_is_found_in_the_archive_and_not_run(
    registry: Registry, tmp_path: Path
) -> None:
    registry.publish(
        "hidden", "1.0.0", scripts={"postinstall": f"touch {tmp_path}/ran"}, claims={"scripts": {}}
    )
    with pytest.raises(PackageNotInstallable, match="has the script postinstall"):
        await provide(npm_with(registry, tmp_path), "hidden@1.0.0", NPM_TARGET, tmp_path)
    assert not (tmp_path / "ran").exists()


async def test_what_needs_another_node_is_refused_or_left_out_and_what_is_needed_is_written_down(
    registry: Registry, tmp_path: Path
) -> None:
    registry.publish("modern", "1.0.0", engines={"node": ">=20"})
    registry.publish("wanting", "1.0.0", dependencies={"modern": "1"})
    registry.publish(
        "fitting", "1.0.0", engines={"node": ">=18"}, optionalDependencies={"modern": "1"}, dependencies={}
    )
    npm, here = npm_with(registry, tmp_path), target_here(NODE, Language.NODEJS)
    with pytest.raises(PackageNotInstallable, match=r"modern@1\.0\.0 needs Node\.js >=20, and the sandbox"):
        await npm.lock(["wanting@1.0.0"], here, tmp_path)
    found = await provide(npm, "fitting@1.0.0", here, tmp_path)
    assert [(str(one), one.node) for one in found] == [("fitting@1.0.0", ">=18")]
    assert not (tmp_path / "layer/node_modules").exists()


async def test_constraints_choose_among_versions_that_packages_can_do_with_and_force_no_other(
    registry: Registry, tmp_path: Path
) -> None:
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        registry.publish("bound", version)
    registry.publish("binding", "1.0.0", dependencies={"bound": "^1"})
    npm = npm_with(registry, tmp_path)

    async def locked(*constraints: str) -> list[str]:
        found = await npm.lock(["binding@1.0.0"], NPM_TARGET, tmp_path, constraints=constraints)
        return [str(one) for one in found]

    assert await locked("bound@1.0.0") == ["binding@1.0.0", "bound@1.0.0"]
    assert await locked("bound@2.0.0") == ["binding@1.0.0", "bound@1.1.0"]


def test_the_home_of_the_operator_is_not_read_and_its_secrets_are_not_asked_for(tmp_path: Path) -> None:
    with serving() as registry:
        made = npm_with(registry, tmp_path)
        handed = json.dumps(made._environment)  # pyright: ignore[reportPrivateUsage]
    assert "NODE_OPTIONS" not in handed
    assert "ignore_scripts" not in handed
    assert "npm_config_registry" in handed
