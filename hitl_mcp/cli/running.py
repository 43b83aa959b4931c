"""Runs one command's coroutine and turns whatever ends it into output and an exit code, never a traceback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import typer

from hitl_mcp.cli.failures import CommandFailed, ExitCode, describe_unexpected
from hitl_mcp.cli.output import Output


def run_command(operation: Callable[[Output], Awaitable[None]], *, json_output: bool = False) -> None:
    """Runs `operation` on an event loop of its own.

    Raises:
        typer.Exit: with the exit code of the failure, which has been printed by then.
    """
    output = Output(json_output=json_output)
    try:
        asyncio.run(_awaited(operation, output))
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        failure = _as_failure(error)
        output.failure(failure)
        raise typer.Exit(failure.exit_code) from None


async def _awaited(operation: Callable[[Output], Awaitable[None]], output: Output) -> None:
    await operation(output)


def _as_failure(error: Exception) -> CommandFailed:
    if isinstance(error, CommandFailed):
        return error
    # Imported here because a command that goes well needs none of these.
    from hitl_contract.errors import ContractError
    from server_kit.errors import ServerError

    if isinstance(error, ServerError):
        return CommandFailed(str(error), exit_code=error.exit_code)
    if isinstance(error, ContractError):
        return CommandFailed(str(error), exit_code=ExitCode.REFUSED)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return CommandFailed(
            f"The Python package {error.name.partition('.')[0]!r} is not installed.",
            exit_code=ExitCode.ENVIRONMENT,
            hint="Install the approval server's libraries: pip install 'hitl-mcp[server]'",
        )
    if isinstance(error, PermissionError) and error.filename:
        return CommandFailed(
            f"Not allowed to use {error.filename}: {error.strerror}.",
            exit_code=ExitCode.ENVIRONMENT,
            hint="Check who owns it, or set HITL_HOME to a directory of your own.",
        )
    return describe_unexpected(error)
