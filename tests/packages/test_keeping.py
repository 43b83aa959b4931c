"""Adding, scanning and accepting packages: real wheels, real uv, a real database, no network."""

from __future__ import annotations

import asyncio
import os
import shutil
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from executor_mcp.packages.errors import (
    LayerBroken,
    PackageError,
    PackageNotAllowed,
    PackageNotInstallable,
    RequirementInvalid,
    VulnerabilitiesUnknown,
)
from executor_mcp.packages.layers import measure, seal
from executor_mcp.packages.locked import Vulnerability
from executor_mcp.packages.shelf import Shelf
from hitl_contract.action_code import Language
from server_kit.database.base import Database
from tests.packages.support import SANDBOX as SANDBOX_HERE
from tests.packages.support import TARGET, Bench, keeping, make_wheel, program

KNOWN = Vulnerability(identifier="OSV-1", aliases=("CVE-2030-1",), summary="bad")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with what these tests ask for."""
    directory = tmp_path_factory.mktemp("packages") / "index"
    directory.mkdir()
    make_wheel(directory, "alpha", "1.0", needs=["beta>=1"], command=True)
    make_wheel(directory, "alpha", "2.0", needs=["beta>=1"])
    make_wheel(directory, "beta", "1.5")
    with tarfile.open(directory / "sourceonly-1.0.tar.gz", "w:gz") as archive:
        (directory.parent / "setup.py").write_text("open('/tmp/ran', 'w')\n")
        archive.add(directory.parent / "setup.py", "sourceonly-1.0/setup.py")
    return directory


@pytest_asyncio.fixture
async def made(store: Database, tmp_path: Path, index: Path) -> AsyncIterator[Bench]:
    async with keeping(store, tmp_path, index, "alpha>=1,<2", "sourceonly", "absent") as bench:
        yield bench


async def test_a_package_is_locked_with_all_it_needs_and_offered_by_the_digest_of_its_files(
    made: Bench, store: Database, tmp_path: Path, index: Path
) -> None:
    package = await made.keeper.add("Alpha==1.0", TARGET)

    assert [str(one) for one in package.distributions] == ["alpha==1.0", "beta==1.5"]
    assert all(len(one.hashes) == 1 and len(one.hashes[0]) == 64 for one in package.distributions)
    directory = made.shelf.layer(package)
    assert sorted(entry.name for entry in directory.iterdir() if "-" not in entry.name) == ["alpha", "beta"]
    assert {path.stat().st_mode & 0o222 for path in (directory, *directory.rglob("*"))} == {0}
    assert "bin/" not in (directory / "alpha-1.0.dist-info/RECORD").read_text()

    offer = made.offer()
    (layer,) = await offer.layers(program("alpha>=1"), SANDBOX_HERE)
    assert (layer.package, layer.digest, layer.directory) == ("alpha==1.0", package.layer, directory)
    assert len(await offer.layers(program("alpha", "alpha==1.*"), SANDBOX_HERE)) == 1
    assert await offer.offered(SANDBOX_HERE, Language.PYTHON) == ("alpha==1.0",)
    assert await offer.layers(program(), SANDBOX_HERE) == ()

    # Another home comes to the same digest, and adding it again changes nothing.
    async with keeping(store, tmp_path / "other", index, "alpha") as other:
        assert (await other.keeper.add("alpha==1.0", TARGET)).layer == package.layer
        both = await asyncio.gather(
            other.keeper.add("alpha==1.0", TARGET), other.keeper.add("alpha==1.0", TARGET)
        )
        assert {one.layer for one in both} == {package.layer}
        assert [str(one) for one in other.shelf.packages()] == ["alpha==1.0"]
    assert ("package.added", "alpha==1.0") in other.events

    # Files that were changed are found at the next scan, and by every process that first uses them.
    victim = directory / "beta/__init__.py"
    victim.chmod(0o644)
    victim.write_text("import os\n")
    with pytest.raises(PackageNotAllowed, match="not those that were locked"):
        await replace(made, shelf=Shelf(made.shelf.directory)).offer().layers(program("alpha"), SANDBOX_HERE)
    (scanned,) = await made.keeper.scan()
    assert scanned.problem is not None
    assert "not those that were locked" in scanned.problem
    await made.keeper.remove("alpha==1.0")
    assert made.shelf.packages() == ()


@pytest.mark.parametrize(
    ("requirement", "error", "says"),
    [
        ("alpha", RequirementInvalid, "exact version"),
        ("alpha>=1", RequirementInvalid, "exact version"),
        ("alpha==1.*", RequirementInvalid, "exact version"),
        ("alpha @ https://example.com/a.whl", RequirementInvalid, "address"),
        ("alpha==1.0; os_name=='nt'", RequirementInvalid, "marker"),
        ("-r /etc/passwd", RequirementInvalid, "no Python requirement"),
        ("alpha==1.0\n--index-url x", RequirementInvalid, "no Python requirement"),
        ("alpha==2.0", PackageNotAllowed, "not on this executor's list"),
        ("gamma==1.0", PackageNotAllowed, "not on this executor's list"),
        ("absent==1.0", PackageNotInstallable, "absent"),
        ("sourceonly==1.0", PackageNotInstallable, "sourceonly"),
    ],
)
async def test_what_is_not_one_allowed_version_in_wheels_is_not_kept(
    made: Bench, requirement: str, error: type[PackageError], says: str
) -> None:
    with pytest.raises(error, match=says):
        await made.keeper.add(requirement, TARGET)
    assert made.shelf.packages() == ()
    assert list(made.shelf.directory.glob(".staging-*")) == []


async def test_a_known_vulnerability_stops_a_package_until_it_is_accepted_by_name(made: Bench) -> None:
    made.source.found = {"beta==1.5": (KNOWN,)}
    with pytest.raises(PackageNotAllowed, match=r"beta==1\.5: OSV-1"):
        await made.keeper.add("alpha==1.0", TARGET)
    made.source.silent = True
    with pytest.raises(VulnerabilitiesUnknown):
        await made.keeper.add("alpha==1.0", TARGET)
    made.source.silent, made.source.found = False, {}
    await made.keeper.add("alpha==1.0", TARGET)
    offer = made.offer()

    # It becomes known later: refused from the scan on, until somebody accepts that one.
    made.source.found = {"beta==1.5": (KNOWN,)}
    assert len(await offer.layers(program("alpha"), SANDBOX_HERE)) == 1
    (scanned,) = await made.keeper.scan()
    assert scanned.problem == "known vulnerabilities: beta==1.5: OSV-1"
    with pytest.raises(PackageNotAllowed, match=r"known vulnerabilities: beta==1\.5: OSV-1"):
        await offer.layers(program("alpha"), SANDBOX_HERE)
    assert await offer.offered(SANDBOX_HERE, Language.PYTHON) == ()
    await made.keeper.accept("alpha==1.0", ["CVE-2030-1"])
    assert len(await offer.layers(program("alpha"), SANDBOX_HERE)) == 1
    assert (await made.keeper.scan())[0].problem is None
    with pytest.raises(PackageError, match="there is no package"):
        await made.keeper.accept("beta==1.5", ["CVE-2030-1"])

    # What was not asked for a day is unknown; a source that is away does not make it known.
    made.clock.advance(25 * 3600)
    made.source.silent = True
    assert (await made.keeper.scan())[0].problem == "the source is away"
    with pytest.raises(PackageNotAllowed, match="counts as unknown"):
        await offer.layers(program("alpha"), SANDBOX_HERE)
    made.source.silent = False
    await made.keeper.scan()
    assert len(await offer.layers(program("alpha"), SANDBOX_HERE)) == 1


async def test_what_is_asked_for_has_to_be_listed_locked_and_for_this_python(made: Bench) -> None:
    offer = made.offer()
    await made.keeper.add("alpha==1.0", TARGET)

    async def refusal(*packages: str, language: str = "python") -> str:
        with pytest.raises(PackageNotAllowed) as caught:
            await offer.layers(program(*packages, language=language), SANDBOX_HERE)
        return str(caught.value)

    assert "hitl-executor packages add numpy==VERSION" in await refusal("numpy")
    assert "offered here: alpha==1.0" in await refusal("alpha", "alpha>=2")
    assert "none are offered for bash" in await refusal("alpha", language="bash")
    assert "offered here: none" in await refusal("alpha", language="nodejs")
    assert "offered here: alpha==1.0" in await refusal("alpha[extra]")
    assert "no Python requirement" in await refusal("@scope/thing")

    newer = replace(SANDBOX_HERE, languages=(replace(SANDBOX_HERE.languages[0], version="3.12.1"),))
    with pytest.raises(PackageNotAllowed, match="offered here: none"):
        await offer.layers(program("alpha"), newer)
    shorter = made.allowed.__class__(["alpha<1"])
    with pytest.raises(PackageNotAllowed, match="no longer on this executor's list"):
        await made.offer(shorter).layers(program("alpha"), SANDBOX_HERE)


async def test_layers_with_two_versions_of_one_package_are_not_mixed(store: Database, tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.mkdir()
    make_wheel(index, "left", "1.0", needs=["shared<2"])
    make_wheel(index, "right", "1.0", needs=["shared>=2"])
    make_wheel(index, "shared", "1.0")
    make_wheel(index, "shared", "2.0")
    async with keeping(store, tmp_path, index, "left", "right", "shared") as made:
        for name in ("left==1.0", "right==1.0", "shared==2.0"):
            await made.keeper.add(name, TARGET)
        offer = made.offer()
        with pytest.raises(PackageNotAllowed, match=r"left==1\.0 brings shared==1\.0 and right==1\.0 brings"):
            await offer.layers(program("left", "right"), SANDBOX_HERE)
        layers = await offer.layers(program("shared", "right"), SANDBOX_HERE)
        assert [layer.package for layer in layers] == ["shared==2.0", "right==1.0"]

        # A shelf that cannot be read offers nothing, and says which file it is.
        (made.shelf.directory / "python-broken").mkdir()
        with pytest.raises(PackageNotAllowed, match="python-broken"):
            await offer.layers(program("right"), SANDBOX_HERE)


def test_a_layer_holds_regular_files_alone_and_its_digest_says_everything_of_them(tmp_path: Path) -> None:
    root = tmp_path / "layer"
    (root / "package").mkdir(parents=True)
    (root / "package/one.py").write_text("1")
    (root / "package/run").write_text("#!")
    (root / "package/run").chmod(0o6755)
    before = seal(root)
    assert (root / "package/run").stat().st_mode & 0o7777 == 0o555
    assert measure(root) == before
    (root / "package/run").chmod(0o444)
    assert measure(root).digest != before.digest
    (root / "package/run").chmod(0o555)
    (root / "package").chmod(0o755)
    (root / "package/two.py").write_text("")
    assert measure(root).digest != before.digest
    (root / "package/two.py").unlink()
    assert measure(root) == before
    for make in (
        lambda path: os.symlink("/etc/passwd", path),
        lambda path: os.symlink("/etc", path),
        os.mkfifo,
    ):
        make(root / "package/other")
        with pytest.raises(PackageNotInstallable, match="neither a file nor a directory"):
            seal(root)
        with pytest.raises(LayerBroken):
            measure(root)
        (root / "package/other").unlink()
    assert os.stat("/etc").st_mode & 0o777 == 0o755
    shutil.rmtree(root)
    with pytest.raises(LayerBroken, match="not there"):
        measure(root)
