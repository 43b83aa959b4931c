"""The executor is a product of its own: it needs nothing of the approval server."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.architecture.repository import copy_packages

IMPORT_EVERYTHING = textwrap.dedent(
    """
    import importlib, importlib.util, pkgutil, sys
    assert importlib.util.find_spec("hitl_mcp") is None, "hitl_mcp is still importable"
    import executor_mcp
    assert executor_mcp.__file__.startswith(sys.argv[1]), executor_mcp.__file__
    for module in pkgutil.walk_packages(executor_mcp.__path__, "executor_mcp."):
        importlib.import_module(module.name)
    """
)

# Keeps the editable install of this checkout out of sight, and with it the deleted package.
ONLY_THIS_TREE = textwrap.dedent(
    """
    import sys
    tree, checkout = sys.argv[1], sys.argv[2]
    sys.path[:] = [tree, *(entry for entry in sys.path if entry not in ("", checkout))]
    """
)


@pytest.mark.timeout(120)
def test_every_executor_module_imports_with_the_approval_server_deleted(tmp_path: Path) -> None:
    tree = copy_packages(tmp_path, without=("hitl_mcp",))
    checkout = str(Path(__file__).resolve().parents[2])
    result = subprocess.run(
        [sys.executable, "-c", ONLY_THIS_TREE + IMPORT_EVERYTHING, str(tree), checkout],
        cwd=tree,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
