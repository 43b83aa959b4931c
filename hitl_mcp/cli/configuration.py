"""The configuration files that `hitl init` writes, made from the commented templates of this distribution."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from hitl_mcp.cli.failures import CommandFailed, ExitCode


def approval_configuration(*, port: int | None = None) -> str:
    """`config.yaml` of the approval server."""
    text = _template("hitl.yaml")
    return text if port is None else re.sub(r"(?m)^  port: \d+$", f"  port: {port}", text, count=1)


def executor_configuration(home: Path) -> str:
    """`executor.yaml` of the executor beside it: the template, and under it what ties it to this home."""
    own = f"home: {_quoted(str(home / 'executor'))}"
    return f"{_template('executor.yaml').rstrip()}\n\n# Set by hitl init.\n{own}\n"


def _template(name: str) -> str:
    # An installed distribution carries them beside the package; a checkout has them at its root.
    for place in (files("hitl_mcp") / "configs" / name, Path(__file__).parents[2] / "configs" / name):
        if place.is_file():
            return place.read_text("utf-8")
    raise CommandFailed(
        f"The configuration template {name} is missing from this installation.",
        exit_code=ExitCode.ENVIRONMENT,
        hint="Install hitl-mcp again.",
    )


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
