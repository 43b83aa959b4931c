"""The configuration files that `hitl init` writes, made from the commented templates of this distribution."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path


def approval_configuration() -> str:
    """`config.yaml` of the approval server."""
    return _template("hitl.yaml")


_ASK_EVERYTHING = """\
# One person is asked about every request. docs/policies.md explains rules; `hitl policy use default` puts
# those in this one's place that allow harmless work and ask about what is doubtful.
rules:
  # What is critical is looked at for a while, and not approved in a chat.
  - name: ask-critical
    match: {risk: critical}
    then: ask
    ask: {assurance: session, minimum_review: 10s}
  - name: ask-everything
    then: ask
"""


def rules_files(choice: str) -> dict[str, str]:
    """The files of a choice of `hitl init --rules`, by name."""
    if choice == "default":
        directory = files("hitl_mcp") / "configs" / "policies"
        templates = (file for file in directory.iterdir() if file.name.endswith(".yaml"))
        return {file.name: file.read_text("utf-8") for file in templates}
    return {"ask-everything.yaml": _ASK_EVERYTHING} if choice == "ask-everything" else {}


def executor_configuration(home: Path, *, issuer: str, audience: str) -> str:
    """`executor.yaml` of the executor beside it, which trusts this server and lives inside of its home."""
    text = _template("executor.yaml")
    for name, value in (("home", str(home / "executor")), ("issuer", issuer), ("audience", audience)):
        text = _with_setting(text, f"{name}: {_quoted(value)}", name)
    return text


def _with_setting(text: str, line: str, name: str) -> str:
    changed, found = re.subn(rf"(?m)^{name}: .*$", lambda _match: line, text, count=1)
    return changed if found else f"{text}{line}\n"


def _template(name: str) -> str:
    return (files("hitl_mcp") / "configs" / name).read_text("utf-8")


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
