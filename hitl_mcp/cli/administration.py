"""What the commands about people share: proving who acts, and reading times and scopes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_mcp.cli.credentials import ask_credentials
from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.output import Output

if TYPE_CHECKING:
    from hitl_mcp.application import Application
    from hitl_mcp.approvals.ports import PersonRecord
    from hitl_mcp.identity.delegation_terms import DelegationScope

AdminOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="ADMIN",
        help="The administrator you are; the password is asked for, or HITL_PASSWORD.",
    ),
]
PersonOption = Annotated[
    str | None,
    typer.Option(
        "--as", metavar="NAME", help="The person you are; the password is asked for, or HITL_PASSWORD."
    ),
]
GroupsOption = Annotated[
    list[str] | None, typer.Option("--group", metavar="NAME", help="Only this role or group; repeatable.")
]
TypesOption = Annotated[
    list[str] | None,
    typer.Option("--action-type", metavar="TYPE", help="Only actions of this type; repeatable."),
]
AgentsOption = Annotated[
    list[str] | None, typer.Option("--agent", metavar="NAME", help="Only requests of this agent; repeatable.")
]
RiskOption = Annotated[
    str | None, typer.Option("--max-risk", metavar="LEVEL", help="Only up to this risk: low to critical.")
]

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@asynccontextmanager
async def administered(output: Output, acting: str | None) -> AsyncGenerator[tuple[Application, str]]:
    """The application, and the id of the administrator who proved to be one.

    Raises:
        SignInRefused, TooManyAttempts, CommandFailed: they did not.
    """
    from hitl_mcp.cli.local_application import open_application, require_admin

    home = home_directory()
    require_initialized(home)
    async with open_application() as application:
        record = await require_admin(application, output, home, acting)
        yield application, record.person_id


@asynccontextmanager
async def signed_in(output: Output, acting: str | None) -> AsyncGenerator[tuple[Application, PersonRecord]]:
    """The application, and the person who proved who they are.

    Raises:
        SignInRefused, TooManyAttempts, CommandFailed: they did not.
    """
    from hitl_mcp.cli.local_application import open_application

    home = home_directory()
    require_initialized(home)
    async with open_application() as application:
        credentials = ask_credentials(output, home, acting)
        yield application, await application.people.authenticate(credentials.person, credentials.password)


def moment_of(text: str, now: datetime, *, option: str) -> datetime:
    """The moment that `text` names: `2030-01-31T18:00:00Z`, a date (its start, UTC), or `36h` from now.

    Raises:
        CommandFailed: it is none of these.
    """
    number, unit = text[:-1], _UNITS.get(text[-1:])
    if unit is not None and number.isascii() and number.isdigit() and len(number) <= 6:
        return now + timedelta(**{unit: int(number)})
    try:
        stated = datetime.fromisoformat(text)
    except ValueError:
        raise CommandFailed(
            f"{option}: {text[:80]!r} is no time.",
            exit_code=ExitCode.USAGE,
            hint="Give one such as 2030-01-31T18:00Z, 2030-01-31, 90m, 36h, 5d or 2w.",
        ) from None
    return stated if stated.tzinfo is not None else stated.replace(tzinfo=UTC)


def scope_of(
    groups: list[str] | None,
    action_types: list[str] | None,
    agents: list[str] | None,
    max_risk: str | None,
    request_id: str | None = None,
) -> DelegationScope:
    """The scope that the options name.

    Raises:
        CommandFailed: there is no such risk level.
    """
    from hitl_mcp.approvals.levels import RiskLevel
    from hitl_mcp.identity.delegation_terms import DelegationScope

    if max_risk is not None and max_risk not in {*RiskLevel}:
        raise CommandFailed(
            f"--max-risk: {max_risk[:80]!r} is no risk level.",
            exit_code=ExitCode.USAGE,
            hint=f"Give one of {', '.join(RiskLevel)}.",
        )
    return DelegationScope(
        tuple(groups or ()),
        tuple(action_types or ()),
        None if max_risk is None else RiskLevel(max_risk),
        tuple(agents or ()),
        request_id,
    )
