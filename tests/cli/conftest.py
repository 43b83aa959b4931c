from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cheap_passwords import cheap_password_hashes
from tests.cli.commands import PASSWORD, CommandLine


@pytest.fixture(scope="session")
def initialized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that `hitl init` made, with the agent `builder`; to be copied."""
    cli = CommandLine(tmp_path_factory.mktemp("initialized") / "home")
    with cheap_password_hashes():
        made = cli.run("init", "--person", "ada", "--rules", "none", HITL_INIT_PASSWORD=PASSWORD)
    assert made.exit_code == 0, made.output
    assert cli.run("agents", "add", "builder").exit_code == 0
    return cli.home


@pytest.fixture
def cli(tmp_path: Path, initialized: Path) -> CommandLine:
    # The home that was copied is the one that the copy's servers use: one that was killed leaves its socket.
    shutil.copytree(initialized, tmp_path / "home", ignore=shutil.ignore_patterns("*.socket"))
    return CommandLine(tmp_path / "home")
