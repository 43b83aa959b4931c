"""The configuration files that `hitl init` writes, made from the commented templates of this distribution."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def approval_configuration() -> str:
    """`config.yaml` of the approval server."""
    return _template("hitl.yaml")


def executor_configuration(home: Path) -> str:
    """`executor.yaml` of the executor beside it: the template, and under it what ties it to this home."""
    own = f"home: {_quoted(str(home / 'executor'))}"
    return f"{_template('executor.yaml')}\n# Set by hitl init.\n{own}\n"


def _template(name: str) -> str:
    # An installed distribution carries them beside the package; a checkout has them at its root.
    for place in (files("hitl_mcp") / "configs" / name, Path(__file__).parents[2] / "configs" / name):
        if place.is_file():
            return place.read_text("utf-8")
    # The settings have defaults for everything; only their explanation is missing.
    return ""


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
