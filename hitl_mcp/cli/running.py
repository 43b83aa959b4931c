"""Runs one command's coroutine and turns whatever ends it into output and an exit code, never a traceback."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import typer
import uvloop

from hitl_mcp.cli.failures import CommandFailed, ExitCode, describe_unexpected
from hitl_mcp.cli.output import Output
from hitl_mcp.errors import (
    CredentialRefused,
    HitlError,
    IdentityRefused,
    NameRefused,
    PasswordRefused,
    SignInRefused,
    TooManyAttempts,
)

_IDENTITY_ERRORS = (SignInRefused, TooManyAttempts, CredentialRefused)
_USAGE_ERRORS = (IdentityRefused, NameRefused, PasswordRefused)


def run_command(
    operation: Callable[[Output], Coroutine[Any, Any, None]], *, json_output: bool = False
) -> None:
    """Runs `operation` on an event loop of its own.

    Raises:
        typer.Exit: with the exit code of the failure, which has been printed by then.
    """
    output = Output(json_output=json_output)
    try:
        uvloop.run(_until_signalled(operation(output)))
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except asyncio.CancelledError:
        raise typer.Exit(ExitCode.TERMINATED) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        failure = as_failure(error)
        output.failure(failure)
        raise typer.Exit(failure.exit_code) from None


async def _until_signalled(operation: Coroutine[Any, Any, None]) -> None:
    """Runs it so that SIGTERM and a closed terminal end it as Ctrl-C does: with everything cleaned up."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Under nohup a closed terminal is to be ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, task.cancel)
    await operation


def as_failure(error: Exception) -> CommandFailed:
    """What the person is told about any error: only those of our own trees may speak for themselves."""
    # Imported here because a command that goes well needs none of these.
    from hitl_contract.errors import ContractError
    from hitl_mcp.approvals.errors import InvalidSubmission, NotEligible
    from hitl_mcp.processes import ProcessFailed
    from server_kit.errors import ServerError

    match error:
        case CommandFailed():
            return error
        case ServerError():
            return CommandFailed(str(error), exit_code=error.exit_code)
        case NotEligible():
            return CommandFailed(str(error), exit_code=ExitCode.IDENTITY)
        case InvalidSubmission():
            return CommandFailed(str(error), exit_code=ExitCode.USAGE)
        case ProcessFailed():
            return CommandFailed(str(error), exit_code=ExitCode.ENVIRONMENT)
        case HitlError():
            return CommandFailed(str(error), exit_code=_exit_code_of(error))
        case ContractError():
            return CommandFailed(str(error), exit_code=ExitCode.REFUSED)
        case ModuleNotFoundError(name=str(name)):
            return CommandFailed(
                f"The Python package {name.partition('.')[0]!r} is not installed.",
                exit_code=ExitCode.ENVIRONMENT,
                hint="Install the approval server's libraries: pip install 'hitl-mcp[server]'",
            )
        case OSError(filename=str(filename)):
            return CommandFailed(
                f"Cannot use {filename}: {error.strerror}.",
                exit_code=ExitCode.ENVIRONMENT,
                hint="Check that it exists and who owns it, or set HITL_HOME to a directory of your own.",
            )
        case _:
            return describe_unexpected(error)


def _exit_code_of(error: HitlError) -> ExitCode:
    if isinstance(error, _IDENTITY_ERRORS):
        return ExitCode.IDENTITY
    return ExitCode.USAGE if isinstance(error, _USAGE_ERRORS) else ExitCode.REFUSED
