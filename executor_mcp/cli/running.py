"""Runs one command and turns whatever ends it into output and an exit code, never a traceback."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import JsonValue
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from executor_mcp.errors import ExecutorError
from executor_mcp.sandbox.errors import SandboxError
from executor_mcp.settings import Settings, load
from hitl_contract.errors import ContractError
from server_kit.errors import ServerError
from server_kit.http_serving import run
from server_kit.logging import configure_logging


class ExitCode(IntEnum):
    """What the shell is told. Scripts may rely on these values."""

    OK = 0
    REFUSED = 1
    """The question was answered with no: not found, not valid, a chain that is broken."""
    USAGE = 2
    """The command line or a setting is wrong."""
    ENVIRONMENT = 3
    """Something this machine should provide is missing: a database, a port, a sandbox."""
    INTERNAL = 70
    """A defect of this program."""
    INTERRUPTED = 130


class CommandFailed(ExecutorError):
    """Ends a command with one line and an exit code."""

    def __init__(self, message: str, *, exit_code: ExitCode = ExitCode.REFUSED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Output:
    """Prints one command's result: through rich for people, as JSON for scripts."""

    def __init__(self, *, json_output: bool) -> None:
        self.json_output = json_output
        self._console = Console(stderr=json_output, soft_wrap=True)

    def result(self, document: JsonValue, *lines: str) -> None:
        """`document` for scripts, `lines` (rich markup) for people."""
        if self.json_output:
            sys.stdout.write(json.dumps(document, ensure_ascii=True) + "\n")
            sys.stdout.flush()
        else:
            for line in lines:
                self._console.print(line)

    def table(self, document: JsonValue, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        if self.json_output:
            self.result(document)
            return
        table = Table(box=None, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self._console.print(table)

    def note(self, line: str) -> None:
        """For people; on stderr when scripts read stdout."""
        self._console.print(line, markup=False)

    def failure(self, message: str, exit_code: int) -> None:
        if self.json_output:
            document = {"error": message, "exit_code": exit_code}
            sys.stderr.write(json.dumps(document, ensure_ascii=True) + "\n")
        else:
            Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(message)}")


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def run_command(
    operation: Callable[[Settings, Output], Coroutine[Any, Any, None]], *, json_output: bool
) -> None:
    """Load the settings and run `operation` on an event loop of its own. Raises typer.Exit."""
    output = Output(json_output=json_output)
    # Until the settings say otherwise: without this, a log line would go to stdout.
    configure_logging(level="warning", format="text")
    try:
        run(operation(load(os.environ), output))
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except Exception as error:
        message, exit_code = explain(error)
        output.failure(message, exit_code)
        raise typer.Exit(exit_code) from None


def explain(error: BaseException) -> tuple[str, int]:
    """One line and an exit code for any error: only those of our own trees speak for themselves."""
    match error:
        case typer.Exit():
            return "", error.exit_code
        case CommandFailed():
            return str(error), error.exit_code
        case ServerError():
            return str(error), error.exit_code
        case ExecutorError() | SandboxError() | ContractError():
            return str(error), ExitCode.REFUSED
        case BaseExceptionGroup():
            return explain(error.exceptions[0])
        case OSError(filename=str(filename)):
            return f"cannot use {filename}: {error.strerror}", ExitCode.ENVIRONMENT
        case _:
            frames = traceback.extract_tb(error.__traceback__)
            where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
            return f"unexpected error: {type(error).__name__}{where}; this is a defect", ExitCode.INTERNAL
