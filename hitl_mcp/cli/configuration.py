"""The configuration files that `hitl init` writes, made from the commented templates of this distribution."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path


def approval_configuration() -> str:
    """`config.yaml` of the approval server."""
    return _template("hitl.yaml")


def executor_configuration(home: Path) -> str:
    """`executor.yaml` of the executor beside it, whose home is inside of this one."""
    template, own = _template("executor.yaml"), f"home: {_quoted(str(home / 'executor'))}"
    text, found = re.subn(r"(?m)^home: .*$", lambda _match: own, template, count=1)
    return text if found else f"{text}{own}\n"


def _template(name: str) -> str:
    # An installed distribution carries them beside the package; a checkout has them at its root.
    for place in (files("hitl_mcp") / "configs" / name, Path(__file__).parents[2] / "configs" / name):
        if place.is_file():
            return place.read_text("utf-8")
    # The settings have defaults for everything; only their explanation is missing.
    return ""


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
