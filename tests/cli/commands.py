"""Runs `hitl` in this process, and as the process that people start."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from typer.testing import CliRunner, Result

from hitl_contract.action import parse_action
from hitl_mcp.approvals.models import RequestRecord, RiskLevel, Submission
from hitl_mcp.cli.application import build_application as build_command_line
from hitl_mcp.settings import read_settings
from hitl_mcp.wiring import build_application

PASSWORD = "correct horse battery"
HITL = str(Path(sys.executable).with_name("hitl"))
EXECUTOR = str(Path(sys.executable).with_name("hitl-executor"))


def clean_environment(**additions: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HITL_", "EXECUTOR_"))}
    return {**kept, "COLUMNS": "80", **additions}


@dataclass(frozen=True)
class CommandLine:
    """`hitl` on one home, as ada unless told otherwise."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def run(self, *arguments: str, input: str | None = None, **environment: str) -> Result:  # noqa: A002
        variables: dict[str, str | None] = {
            name: None for name in os.environ if name.startswith(("HITL_", "EXECUTOR_"))
        }
        variables |= {"HITL_HOME": str(self.home), "COLUMNS": "80", **self.environment, **environment}
        return CliRunner().invoke(build_command_line(), list(arguments), input=input, env=variables)

    def json(self, *arguments: str, **environment: str) -> dict[str, Any]:
        result = self.run(*arguments, "--json", **environment)
        assert result.exit_code == 0, result.output
        return cast("dict[str, Any]", json.loads(result.stdout))

    def with_password(self, password: str = PASSWORD) -> CommandLine:
        return CommandLine(self.home, {**self.environment, "HITL_PASSWORD": password})

    def process(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The real command, without a terminal."""
        variables = clean_environment(HITL_HOME=str(self.home), **self.environment, **environment)
        return subprocess.run(
            [HITL, *arguments],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    def ask(self, code: str = "print(6 * 7)", agent: str = "builder", **more: Any) -> RequestRecord:
        """A pending request, straight into the database."""

        async def submit() -> RequestRecord:
            settings = read_settings({"HITL_HOME": str(self.home)})
            action = parse_action({"type": "code_execution", "language": "python", "code": code})
            submission = Submission(action, more.pop("justification", "to know the answer"), **more)
            async with build_application(settings) as application:
                return await application.service.submit(agent, submission)

        return asyncio.run(submit())


__all__ = [
    "EXECUTOR",
    "HITL",
    "PASSWORD",
    "CommandLine",
    "RiskLevel",
    "clean_environment",
]
