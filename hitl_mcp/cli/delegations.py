"""`hitl delegations`: people lend others the capacity to decide. Each takes the person's own password."""

from typing import TYPE_CHECKING, Annotated

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
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command

if TYPE_CHECKING:
    from pydantic import JsonValue

    from hitl_mcp.identity.delegation_terms import Delegation, DelegationScope

delegation_commands = typer.Typer(
    no_args_is_help=True, help="Who decides in whose place, and until when.", rich_markup_mode=None
)


@delegation_commands.command("add")
def add(
    to: Annotated[str, typer.Argument(metavar="NAME", help="Who shall decide in your place.")],
    until: Annotated[
        str, typer.Option("--until", metavar="TIME", help="When it ends: 2030-01-31T18:00Z, 36h, 5d.")
    ],
    delegator: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME", help="Whose place it is; yours when left out."),
    ] = None,
    starts_at: Annotated[
        str | None, typer.Option("--starts-at", metavar="TIME", help="When it starts; now when left out.")
    ] = None,
    groups: GroupsOption = None,
    action_types: TypesOption = None,
    agents: AgentsOption = None,
    max_risk: RiskOption = None,
    request_id: Annotated[
        str | None, typer.Option("--request", metavar="ID", help="Only this one request.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for the record.")] = None,
    acting: PersonOption = None,
    json_output: JsonOption = False,
) -> None:
    """Let somebody decide in your place for a time, or as an administrator in somebody else's."""

    async def operation(output: Output) -> None:
        from hitl_mcp.identity.delegations import NewDelegation

        async with signed_in(output, acting) as (application, person):
            now = application.clock.now()
            wanted = NewDelegation(
                delegator or person.person_id,
                to,
                moment_of(until, now, option="--until"),
                None if starts_at is None else moment_of(starts_at, now, option="--starts-at"),
                scope_of(groups, action_types, agents, max_risk, request_id),
                reason,
            )
            made = await application.delegations.add(wanted, actor=person)
        output.result(
            _document(made),
            lambda console: console.print(
                f"{made.delegate} may decide for {made.delegator} until {made.until:%Y-%m-%d %H:%M} UTC.\n"
                f"To end it: hitl delegations revoke {made.delegation_id}",
                soft_wrap=True,
            ),
        )

    run_command(operation, json_output=json_output)


@delegation_commands.command("list")
def list_delegations(
    person: Annotated[
        str | None, typer.Option("--person", metavar="NAME", help="Only those from or to this person.")
    ] = None,
    over: Annotated[bool, typer.Option("--all", help="Those that are over as well.")] = False,
    json_output: JsonOption = False,
) -> None:
    """List the delegations that are in force or to come."""

    async def operation(output: Output) -> None:
        from rich.table import Table

        from hitl_mcp.cli.local_application import open_application

        require_initialized(home_directory())
        async with open_application() as application:
            found = await application.delegations.list(person=person, over=over)
        table = Table("id", "from", "to", "until", "for", box=None, pad_edge=False)
        for each in found:
            end = "ended" if each.revoked_at else f"{each.until:%Y-%m-%d %H:%M}"
            table.add_row(each.delegation_id, each.delegator, each.delegate, end, _words(each.scope))
        output.result(
            {"delegations": [_document(each) for each in found]},
            lambda console: console.print(table if found else "Nobody decides in anybody else's place."),
        )

    run_command(operation, json_output=json_output)


@delegation_commands.command("revoke")
def revoke(
    delegation_id: Annotated[str, typer.Argument(metavar="ID", help="The delegation's id.")],
    acting: PersonOption = None,
    json_output: JsonOption = False,
) -> None:
    """End a delegation from or to you at once; as an administrator, anybody's."""

    async def operation(output: Output) -> None:
        async with signed_in(output, acting) as (application, person):
            ended = await application.delegations.revoke(delegation_id, actor=person)
        output.result(
            {"delegation_id": ended.delegation_id, "revoked": True},
            lambda console: console.print(f"{ended.delegate} decides for {ended.delegator} no more."),
        )

    run_command(operation, json_output=json_output)


def _document(delegation: "Delegation") -> "dict[str, JsonValue]":
    return {
        "delegation_id": delegation.delegation_id,
        "from": delegation.delegator,
        "to": delegation.delegate,
        "starts_at": delegation.starts_at.isoformat(),
        "until": delegation.until.isoformat(),
        **delegation.scope.to_json(),
        "reason": delegation.reason,
        "created_by": delegation.created_by,
        "revoked_at": delegation.revoked_at.isoformat() if delegation.revoked_at else None,
    }


def _words(scope: "DelegationScope") -> str:
    parts = [*scope.groups, *scope.action_types, *(f"agent {agent}" for agent in scope.agents)]
    if scope.max_risk is not None:
        parts.append(f"risk up to {scope.max_risk.value}")
    if scope.request_id is not None:
        parts.append(scope.request_id)
    return ", ".join(parts) or "everything"
