"""The image installs what the languages' modules name: tried without an engine, by commands that only say
what they were asked for.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from executor_mcp.sandbox.image_building import needed, script_arguments
from executor_mcp.sandbox.languages.registry import BUILT_IN, Languages
from tests.sandbox.test_adding_a_language import TOY

IMAGES = resources.files("executor_mcp.sandbox") / "images"
ADDED = replace(TOY, interpreter="guile", debian_packages=("guile-3.0", "guile-json"))
LANGUAGES = Languages((*BUILT_IN, ADDED))
SAYS = '#!/bin/sh\necho "$(basename "$0") $*" >>"$SAID"\n'
DPKG = """
case "$*" in
  "-S "*) case "$2" in *guile|*bash|*node) exit 0;; *) exit 1;; esac;;
  *guile-json|*nodejs) exit 1;;
  *) printf installed;;
esac
"""


def run(tmp_path: Path, script: str, *arguments: str, commands: dict[str, str]) -> str:
    """What the script asked of `commands`, the only ones it has beside the usual tools."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for name, text in commands.items():
        (folder / name).write_text(SAYS + text)
        (folder / name).chmod(0o755)
    for tool in (
        "sh",
        "basename",
        "tr",
        "grep",
        "mktemp",
        "chmod",
        "rm",
        "tail",
        "echo",
        "printf",
        "head",
        "ls",
    ):
        (folder / tool).symlink_to(f"/usr/bin/{tool}")
    said = tmp_path / "said"
    environment = {"PATH": str(folder), "SAID": str(said), "NEEDED": needed(LANGUAGES)}
    subprocess.run(
        ["/bin/sh", "-c", script, "script", *arguments], env=environment, check=False, capture_output=True
    )
    return said.read_text() if said.exists() else ""


def installing() -> str:
    """The part of the Dockerfile that installs, as the engine hands it to the shell."""
    lines = (IMAGES / "Dockerfile").read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("RUN "))
    text = "\n".join(line for line in lines[begin:] if not line.lstrip().startswith("#"))
    return text.removeprefix("RUN ").split("&& rm -rf")[0].rstrip().removesuffix("\\")


def bootstrapping(tmp_path: Path, *, debootstrap: str, apt_get: str, chroot: str = "") -> str:
    """What the script of the base asked for, on a host of the release `any`."""
    script = (IMAGES / "debootstrap.sh").read_text()
    script = script.replace(". /etc/os-release", "export VERSION_CODENAME=any")
    commands = {"debootstrap": debootstrap, "apt-get": apt_get, "chroot": chroot, "id": "echo 0"}
    return run(tmp_path, script, *script_arguments(LANGUAGES, tmp_path / "root.tar"), commands=commands)


def test_a_base_made_here_has_the_packages_of_every_module(tmp_path: Path) -> None:
    index = 'echo "any|any|http://mirror|main|Debian"'
    said = bootstrapping(tmp_path, debootstrap="exit 1", apt_get=index)
    assert "--include=python3,nodejs,bash,guile-3.0,guile-json any" in said, said


INDEXES = """any|any|http://mirror/|main|Debian
any-updates|any-updates|http://mirror/|main|Debian
any-security|any-security|http://safe/|main|Debian
any-backports|any-backports|http://mirror/|main|Debian
next|next|http://mirror/|main|Debian
any|any|http://else/|main|Else"""
MAKES_A_ROOT = """
/bin/mkdir -p "$4/etc/apt" "$4/var/cache/apt/archives"
echo >"$4/var/cache/apt/archives/old.deb"
"""
UPGRADES = f"""
[ "$1" != indextargets ] || {{ echo '{INDEXES}'; exit; }}
for word; do case $word in Dir::Cache=*) cache=${{word#Dir::Cache=}};; esac; done
while read -r line; do echo "source $line" >>"$SAID"; done <"$cache/../../../etc/apt/sources.list"
echo "left: $(ls "$cache/archives")" >>"$SAID"
echo >"$cache/archives/new.deb"
"""


def test_a_base_made_here_has_the_updates_of_its_release_and_of_no_other_source(tmp_path: Path) -> None:
    said = bootstrapping(tmp_path, debootstrap=MAKES_A_ROOT, apt_get=UPGRADES).splitlines()
    sources = [line for line in said if line.startswith("source ")]
    assert sources == [
        "source deb http://mirror/ any main",
        "source deb http://mirror/ any-updates main",
        "source deb http://safe/ any-security main",
    ]
    assert "left: " in said, "what debootstrap had downloaded would be installed again"
    assert said[-1].endswith("sh -c dpkg --install /var/cache/apt/archives/*.deb")


@pytest.mark.parametrize(
    ("present", "installed"),
    [
        ((), {"python3", "nodejs", "bash", "guile-3.0", "guile-json"}),
        (("python3", "node", "bash"), {"nodejs", "guile-3.0", "guile-json"}),
        (("python3", "node", "bash", "guile"), {"nodejs", "guile-json"}),
    ],
)
def test_on_a_base_with_interpreters_what_they_lack_is_installed_and_nothing_else(
    tmp_path: Path, present: tuple[str, ...], installed: set[str]
) -> None:
    commands = {"apt-get": "", "dpkg-query": DPKG, **dict.fromkeys(present, "")}
    said = run(tmp_path, installing(), commands=commands)
    wanted = next(line for line in said.splitlines() if line.startswith("apt-get install"))
    assert set(wanted.split("--no-install-recommends")[1].split()) == installed
    assert "apt-get upgrade -y" in said, "the base may be older than the last security updates"


def test_a_base_that_lacks_nothing_is_installed_nothing_and_a_build_by_hand_says_how(tmp_path: Path) -> None:
    everything = dict.fromkeys(("python3", "node", "bash", "guile"), "")
    own = {**everything, "dpkg-query": "exit 1", "apt-get": ""}
    assert "apt-get" not in run(tmp_path, installing(), commands=own)
    by_hand = subprocess.run(
        ["/bin/sh", "-c", installing()], env={"PATH": os.defpath}, check=False, capture_output=True, text=True
    )
    assert by_hand.returncode != 0
    assert "hitl-executor image build" in by_hand.stderr


def test_what_is_no_name_of_a_debian_package_is_a_mistake() -> None:
    for name in ("a b", "$(id)", "-y", "A", "a;b", "a,b"):
        with pytest.raises(ValueError, match="no names of Debian packages"):
            Languages((replace(TOY, debian_packages=(name,)),))
