"""Node.js packages from a registry to programs: locked, checked, offered, and found in every sandbox."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from executor_mcp.packages.errors import PackageError, PackageNotAllowed, RequirementInvalid
from executor_mcp.packages.installing import InstallerByLanguage, Target
from executor_mcp.packages.layers import measure, seal
from executor_mcp.packages.locked import Distribution, Vulnerability
from executor_mcp.packages.npm_installer import NpmInstaller, npm_command
from executor_mcp.sandbox.base import LanguageDescription, PackageLayer
from hitl_contract.action_code import Language
from server_kit.database.base import Database
from tests.packages.npm_support import SANDBOX as SANDBOX_HERE
from tests.packages.npm_support import TARGET, Registry, npm_with, provide, serving
from tests.packages.support import SANDBOX as PYTHON_SANDBOX
from tests.packages.support import TARGET as PYTHON_TARGET
from tests.packages.support import keeping, program
from tests.sandbox.conftest import BACKENDS, docker_image, make_sandbox
from tests.sandbox.support import Recorder, make_job, result_of

__all__ = ["docker_image"]

# Starting npm takes a machine that is busy long.
pytestmark = pytest.mark.timeout(180)

MODULE_ONLY = "@scope/module-only@1.0.0"
EXPORTS = {"import": "./index.mjs", "require": "./index.cjs"}
DUAL = {
    "index.mjs": "import inner from 'inner'; export default `imported ${inner}`; export const named = 7;",
    "index.cjs": "module.exports = `required ${require('inner')}`;",
}
MODULE = {
    "main.js": """
import { createRequire } from "node:module";
import inner from "inner";
import dual from "dual";
export default `module ${inner}, ${dual}, ${createRequire(import.meta.url)("inner")}`;
"""
}

PROGRAM = """
import fs from "node:fs";
import { createRequire } from "node:module";
import { execFileSync } from "node:child_process";
import dual, { named } from "dual";
const require = createRequire(import.meta.url);
const module_only = (await import("@scope/module-only")).default;
function attempt(act) {
  try { act(); return "done"; } catch (error) { return error.code ?? String(error); }
}
const place = "/node_modules/dual";
const refused = ["EROFS", "EACCES", "EPERM", "EBUSY"];
[
  dual, named, require("dual"), module_only,
  execFileSync(process.execPath, ["-p", "require('dual')"], { encoding: "utf8", cwd: "/" }).trim(),
  [
    () => fs.writeFileSync(place + "/index.cjs", ""),
    () => fs.writeFileSync(place + "/new.js", ""),
    () => fs.mkdirSync("/node_modules/other"),
    () => fs.unlinkSync(place + "/node_modules/inner/index.js"),
    () => fs.renameSync(place, "/node_modules/moved"),
    () => fs.chmodSync(place + "/index.cjs", 0o777),
  ].map(attempt).filter((code) => !refused.includes(code)),
  fs.readdirSync("/node_modules").sort(),
  attempt(() => require("inner")),
  attempt(() => fs.readdirSync(%r)),
]
"""
EXPECTED = [
    *("imported inner 1", 7, "required inner 1", "module inner 2, imported inner 1, inner 2"),
    *("required inner 1", [], ["@scope", "dual"], "MODULE_NOT_FOUND", "ENOENT"),
]


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with serving() as registry:
        for version in ("1.0.0", "2.0.0"):
            registry.publish("inner", version, {"index.js": f"module.exports = 'inner {version[0]}';"})
        registry.publish("dual", "1.2.0", DUAL, exports=EXPORTS, dependencies={"inner": "^1.0.0"})
        registry.publish("dual", "1.3.0", DUAL, exports=EXPORTS, dependencies={"inner": "^2.0.0"})
        registry.publish(
            "@scope/module-only",
            "1.0.0",
            MODULE,
            type="module",
            exports={"import": "./main.js"},
            dependencies={"inner": "2"},
            optionalDependencies={"mac-only": "1.0.0"},
            peerDependencies={"dual": "1.2.0"},
        )
        registry.publish("mac-only", "1.0.0", os=["darwin"])
        yield registry


@dataclass
class Provided:
    """What npm provided once, for every test that needs it. Implements `Installer`."""

    home: Path
    contents: dict[str, tuple[Distribution, ...]] = field(default_factory=dict[str, tuple[Distribution, ...]])

    async def lock(
        self, requirements: Sequence[str], target: Target, staged: Path, *, constraints: Sequence[str] = ()
    ) -> tuple[Distribution, ...]:
        assert (target, constraints) == (TARGET, ())
        (staged / "package-lock.json").write_text(requirements[0])
        return self.contents[requirements[0]]

    async def unpack(self, target: Target, staged: Path, *, own_cache: bool = False) -> None:
        shutil.copytree(self.layer((staged / "package-lock.json").read_text()), staged / "layer")

    def layer(self, requirement: str) -> Path:
        return self.home / requirement.replace("/", "+") / "layer"


@pytest.fixture(scope="module")
def provided(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Provided:
    home = tmp_path_factory.mktemp("provided")
    made = Provided(home)
    npm = npm_with(registry, home / "home")
    for requirement in (MODULE_ONLY, "dual@1.2.0", "dual@1.3.0"):
        staged = made.layer(requirement).parent
        staged.mkdir()
        made.contents[requirement] = asyncio.run(provide(npm, requirement, TARGET, staged))
    return made


async def test_a_package_is_locked_checked_and_offered_to_programs_of_its_language_alone(
    provided: Provided, store: Database, tmp_path: Path
) -> None:
    allowed = ["@scope/module-only@^1", "dual@>=1.2 <2"]
    installer = InstallerByLanguage({Language.NODEJS: provided})
    async with keeping(store, tmp_path, installer, "dual", nodejs=allowed) as made:
        with pytest.raises(PackageError, match="no packages are locked for python"):
            await made.keeper.add("dual==1.2.0", PYTHON_TARGET)
        for requirement, error, says in (
            ("dual@^1.2.0", RequirementInvalid, r"exact version, as in dual@1\.2\.3"),
            ("dual==1.2.0", RequirementInvalid, "no Node.js package"),
            ("dual@2.0.0", PackageNotAllowed, r"dual@2\.0\.0 is not .* packages\.nodejs"),
            ("inner@1.0.0", PackageNotAllowed, "not on this executor's list"),
        ):
            with pytest.raises(error, match=says):
                await made.keeper.add(requirement, TARGET)
        made.source.found = {"inner@1.0.0": (Vulnerability(identifier="OSV-9"),)}
        with pytest.raises(PackageNotAllowed, match=r"dual@1\.2\.0 has known .* inner@1\.0\.0: OSV-9"):
            await made.keeper.add("dual@1.2.0", TARGET)
        assert made.shelf.packages() == ()

        old = await made.keeper.add("dual@1.2.0", TARGET, accepted=frozenset({"OSV-9"}))
        made.source.found = {}
        scoped = await made.keeper.add(MODULE_ONLY, TARGET)
        assert [str(one) for one in scoped.distributions] == [
            "@scope/module-only@1.0.0",
            *("dual@1.2.0", "inner@1.0.0", "inner@2.0.0"),
        ]
        offer = made.offer()
        assert await offer.offered(SANDBOX_HERE, Language.NODEJS) == (
            "@scope/module-only@1.0.0",
            "dual@1.2.0",
        )
        assert await offer.offered(SANDBOX_HERE, Language.PYTHON) == ()
        both = await offer.layers(program("dual", "@scope/module-only@1", language="nodejs"), SANDBOX_HERE)
        assert [(one.package, one.module, one.digest) for one in both] == [
            ("dual@1.2.0", "dual", old.layer),
            ("@scope/module-only@1.0.0", "@scope/module-only", scoped.layer),
        ]

        await made.keeper.add("dual@1.3.0", TARGET)
        (newest,) = await offer.layers(program("dual@^1.2", language="nodejs"), SANDBOX_HERE)
        assert newest.package == "dual@1.3.0"
        newer = replace(SANDBOX_HERE, languages=(replace(SANDBOX_HERE.languages[0], version="20.1.0"),))
        same_number = replace(SANDBOX_HERE, languages=(LanguageDescription(Language.PYTHON, "18"),))
        for packages, language, sandbox, says in (
            (("dual@1.3.0", "dual@1.2.0"), "nodejs", SANDBOX_HERE, "cannot be used together"),
            (("inner",), "nodejs", SANDBOX_HERE, "packages add --language nodejs inner@VERSION"),
            (("dual",), "nodejs", newer, "offered here: none"),
            (("dual",), "nodejs", PYTHON_SANDBOX, "offered here: none"),
            (("dual==1.2.0",), "python", PYTHON_SANDBOX, "offered here: none"),
            (("dual==1.2.0",), "python", same_number, "offered here: none"),
        ):
            with pytest.raises(PackageNotAllowed, match=says):
                await offer.layers(program(*packages, language=language), sandbox)
        # Locked for one release of Node.js 18, and too new for another.
        needing = [one.model_copy(update={"node": ">=18.20"}) for one in scoped.distributions]
        made.shelf.replace(scoped.model_copy(update={"distributions": tuple(needing)}))
        older = replace(SANDBOX_HERE, languages=(replace(SANDBOX_HERE.languages[0], version="18.19.1"),))
        with pytest.raises(
            PackageNotAllowed, match=r"needs Node\.js >=18\.20, and the sandbox has 18\.19\.1"
        ):
            await offer.layers(program("@scope/module-only", language="nodejs"), older)
        assert "@scope/module-only@1.0.0" not in await offer.offered(older, Language.NODEJS)
        assert "@scope/module-only@1.0.0" in await offer.offered(SANDBOX_HERE, Language.NODEJS)

        victim = made.shelf.layer(scoped) / "node_modules/inner/index.js"
        victim.chmod(0o644)
        victim.write_text("evil")
        problems = {str(one.package): one.problem for one in await made.keeper.scan()}
        assert "not those that were locked" in (problems["@scope/module-only@1.0.0"] or "")
        assert problems["dual@1.2.0"] is None
        await made.keeper.remove("@scope/module-only@1.0.0")
    assert ("package.added", "@scope/module-only@1.0.0") in made.events


@pytest.fixture(scope="module")
def layers(provided: Provided, tmp_path_factory: pytest.TempPathFactory) -> tuple[PackageLayer, ...]:
    """Two layers in a directory that no other user may enter."""
    home = tmp_path_factory.mktemp("layers")
    home.chmod(0o700)
    made: list[PackageLayer] = []
    for requirement in ("dual@1.2.0", MODULE_ONLY):
        layer = home / str(len(made))
        shutil.copytree(provided.layer(requirement), layer)
        name = requirement.rpartition("@")[0]
        made.append(PackageLayer(requirement, seal(layer).digest, layer, module=name))
    return tuple(made)


@pytest.fixture(params=[one for one in BACKENDS if one.id not in ("docker_warm", "burst")])
def name(request: pytest.FixtureRequest) -> str:
    """A backend that is ready."""
    if not str(request.param).startswith("bubblewrap"):
        request.getfixturevalue("docker_image")
    return str(request.param)


async def test_programs_import_and_require_their_packages_and_can_change_nothing_of_them(
    name: str, layers: tuple[PackageLayer, ...]
) -> None:
    sandbox = make_sandbox(name, "packages")
    before = [measure(layer.directory) for layer in layers]
    job = make_job("nodejs", PROGRAM % str(layers[0].directory), packages=("dual",), wall_seconds=20)
    programs = {"native": "import a from 'dual'; export default a;", "script": "require('dual')"}
    found: dict[str, object] = {}
    try:
        run = await sandbox.start(await sandbox.prepare(replace(job, layers=layers)), Recorder())
        assert result_of(await run.wait()) == EXPECTED
        for kind, code in programs.items() if name == "bubblewrap" else ():
            other = replace(job, execution_id=f"{job.execution_id}{kind}", code=code, layers=layers)
            run = await sandbox.start(await sandbox.prepare(other), Recorder())
            found[kind] = result_of(await run.wait())
    finally:
        await sandbox.close()
    if found:
        assert found == {"native": "imported inner 1", "script": "required inner 1"}
    assert [measure(layer.directory) for layer in layers] == before


def test_the_npm_of_this_machine_comes_before_the_one_that_was_installed_beside_the_executor(
    tmp_path: Path,
) -> None:
    beside = npm_command({"PATH": str(tmp_path)})
    assert [Path(part).name for part in beside] == ["node", "npm-cli.js"]
    (tmp_path / "npm").write_text("#!/bin/sh\n")
    (tmp_path / "npm").chmod(0o755)
    assert npm_command({"PATH": str(tmp_path)}) == (str(tmp_path / "npm"),)


async def test_the_npm_that_comes_with_the_executor_locks_to_the_same_files(
    registry: Registry, layers: tuple[PackageLayer, ...], tmp_path: Path
) -> None:
    made = npm_with(registry, tmp_path / "home")
    surroundings = {**made._environment, "PATH": ""}  # pyright: ignore[reportPrivateUsage]
    await provide(NpmInstaller(surroundings), MODULE_ONLY, TARGET, tmp_path)
    assert seal(tmp_path / "layer").digest == layers[1].digest
