"""`hitl people away` and `hitl people back`: absences, with or without a substitute."""

from typing import Annotated

import typer

from hitl_mcp.cli.administration import (
    AgentsOption,
    GroupsOption,
    PersonOption,
    RiskOption,
    TypesOption,
    moment_of,
    scope_of,
    signed_in,
)
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.people import people_commands
from hitl_mcp.cli.running import run_command

NameArgument = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="Whose absence; yours when left out.")
]


@people_commands.command("away")
def away(
    until: Annotated[
        str, typer.Option("--until", metavar="TIME", help="When it ends: 2030-01-31T18:00Z, 36h, 5d.")
    ],
    name: NameArgument = None,
    starts_at: Annotated[
        str | None, typer.Option("--starts-at", metavar="TIME", help="When it starts; now when left out.")
    ] = None,
    substitute: Annotated[
        str | None, typer.Option("--substitute", metavar="NAME", help="Who decides in their place meanwhile.")
    ] = None,
    groups: GroupsOption = None,
    action_types: TypesOption = None,
    agents: AgentsOption = None,
    max_risk: RiskOption = None,
    acting: PersonOption = None,
    json_output: JsonOption = False,
) -> None:
    """Record that somebody is away. They may decide all the same; the options narrow the substitution."""

    async def operation(output: Output) -> None:
        async with signed_in(output, acting) as (application, person):
            now = application.clock.now()
            made = await application.absences.add(
                name or person.person_id,
                moment_of(until, now, option="--until"),
                starts_at=None if starts_at is None else moment_of(starts_at, now, option="--starts-at"),
                substitute=substitute,
                scope=scope_of(groups, action_types, agents, max_risk),
                actor=person,
            )
        place = f"; {made.substitute} decides in their place" if made.substitute else ""
        output.result(
            {
                "absence_id": made.absence_id,
                "person": made.person_id,
                "starts_at": made.starts_at.isoformat(),
                "until": made.until.isoformat(),
                "substitute": made.substitute,
            },
            lambda console: console.print(
                f"{made.person_id} is away until {made.until:%Y-%m-%d %H:%M} UTC{place}.", soft_wrap=True
            ),
        )

    run_command(operation, json_output=json_output)


@people_commands.command("back")
def back(name: NameArgument = None, acting: PersonOption = None, json_output: JsonOption = False) -> None:
    """End somebody's absences, planned ones included, and what their substitutes may do."""

    async def operation(output: Output) -> None:
        async with signed_in(output, acting) as (application, person):
            whose = name or person.person_id
            ended = await application.absences.end(whose, actor=person)
        output.result(
            {"person": whose, "absences_ended": ended},
            lambda console: console.print(f"{whose} is here." if ended else f"{whose} was not away."),
        )

    run_command(operation, json_output=json_output)
