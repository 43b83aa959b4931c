"""Format, lint and types, run by the test runner so that one summary covers everything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT

BIN = Path(sys.executable).parent


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "command",
    [["ruff", "format", "--check", "."], ["ruff", "check", "."], ["pyright"]],
    ids=["format", "lint", "types"],
)
def test_the_sources_pass(command: list[str]) -> None:
    program, *arguments = command
    result = subprocess.run(
        [BIN / program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
