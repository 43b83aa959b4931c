"""The approval server opened inside a command: no port, no dispatcher, on the database of this HITL_HOME."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from hitl_mcp.application import Application
from hitl_mcp.approvals.ports import PersonRecord
from hitl_mcp.cli.credentials import ask_credentials
from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.output import Output
from hitl_mcp.identity.people import Role
from hitl_mcp.minting.passphrases import Passphrases
from hitl_mcp.settings import Settings, read_settings
from hitl_mcp.wiring import build_application
from server_kit.logging import configure_logging


@asynccontextmanager
async def open_application(passphrases: Passphrases | None = None) -> AsyncGenerator[Application]:
    """Sealed keys are opened with what `passphrases` gives; by default it is asked for.

    Raises:
        ServerError: with one line on what stops the start.
    """
    settings = quiet_settings()
    async with build_application(settings, passphrases=passphrases) as application:
        yield application


def quiet_settings() -> Settings:
    """The settings, with a log that says nothing but warnings: a command's output is its own.

    Raises:
        ConfigurationError: naming each wrong setting.
    """
    settings = read_settings()
    configure_logging(level="error", format=settings.log.format)
    return settings


async def require_admin(
    application: Application, output: Output, home: Path, person: str | None
) -> PersonRecord:
    """The person at the terminal, who proved to be an administrator.

    Who may decide is the one thing that an agent with a shell must not be able to change.

    Raises:
        SignInRefused, TooManyAttempts: the password does not fit.
        CommandFailed: this person is no administrator, or nobody can be asked.
    """
    credentials = ask_credentials(output, home, person)
    record = await application.people.authenticate(credentials.person, credentials.password)
    if Role.ADMIN not in record.roles:
        raise CommandFailed(
            f"{record.person_id} is not an administrator.",
            exit_code=ExitCode.IDENTITY,
            hint="Give --as NAME of somebody who is; `hitl people list` names them.",
        )
    return record
