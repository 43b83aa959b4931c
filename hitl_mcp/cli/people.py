"""`hitl people`: who may decide. Changing that takes an administrator's password."""

import secrets
from typing import Annotated

import typer

from hitl_mcp.cli.administration import AdminOption, administered
from hitl_mcp.cli.credentials import ask_new_password
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command

people_commands = typer.Typer(no_args_is_help=True, help="People who may decide.", rich_markup_mode=None)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The person's name.")]


@people_commands.command("add")
def add(
    name: NameArgument,
    admin: Annotated[bool, typer.Option("--admin", help="This person may administer as well.")] = False,
    roles: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE", help="A role instead of approver; repeatable."),
    ] = None,
    acting: AdminOption = None,
    json_output: JsonOption = False,
) -> None:
    """Add an approver. Without a terminal and HITL_INIT_PASSWORD, a password is made and printed once."""

    async def operation(output: Output) -> None:
        from hitl_mcp.identity.people import Role

        async with administered(output, acting) as (application, actor):
            chosen = ask_new_password(output, name)
            made = secrets.token_urlsafe(12) if chosen is None else None
            given = (*(roles or (Role.APPROVER,)), *((Role.ADMIN,) if admin else ()))
            record = await application.people.add(name, chosen or made, given, actor=actor)
        more = f"\nPassword, shown only now: {made}" if made else ""
        output.result(
            {
                "person": record.person_id,
                "roles": list(record.roles),
                **({"password": made} if made else {}),
            },
            lambda console: console.print(
                f"{record.person_id} may approve now.{more}"
                if Role.APPROVER in record.roles
                else f"{record.person_id} is known now, and may not approve.{more}"
            ),
        )

    run_command(operation, json_output=json_output)


@people_commands.command("list")
def list_people(json_output: JsonOption = False) -> None:
    """List the people, their roles and the accounts linked to them."""

    async def operation(output: Output) -> None:
        from rich.table import Table

        from hitl_mcp.cli.local_application import open_application

        require_initialized(home_directory())
        async with open_application() as application:
            people = await application.people.list()
        table = Table("person", "roles", "accounts", "state", box=None, pad_edge=False)
        for entry in people:
            accounts = ", ".join(f"{channel}:{account}" for channel, account in entry.channels)
            state = "suspended" if entry.suspended_at else "active"
            table.add_row(entry.person_id, ", ".join(entry.roles), accounts, state)
        output.result(
            {
                "people": [
                    {
                        "person": entry.person_id,
                        "display_name": entry.display_name,
                        "roles": list(entry.roles),
                        "accounts": [
                            {"channel": channel, "account": account} for channel, account in entry.channels
                        ],
                        "created_at": entry.created_at.isoformat(),
                        "suspended_at": entry.suspended_at.isoformat() if entry.suspended_at else None,
                    }
                    for entry in people
                ]
            },
            lambda console: console.print(table),
        )

    run_command(operation, json_output=json_output)


@people_commands.command("roles")
def set_roles(
    name: NameArgument,
    roles: Annotated[
        list[str], typer.Argument(metavar="ROLE...", help="All roles from now on, such as approver.")
    ],
    acting: AdminOption = None,
    json_output: JsonOption = False,
) -> None:
    """State a person's roles anew. Delegations of what they lose end."""

    async def operation(output: Output) -> None:
        async with administered(output, acting) as (application, actor):
            await application.people.set_roles(name, roles, actor=actor)
        output.result(
            {"person": name, "roles": [*sorted(set(roles))]},
            lambda console: console.print(f"{name}: {', '.join(sorted(set(roles)))}"),
        )

    run_command(operation, json_output=json_output)


@people_commands.command("suspend")
def suspend(name: NameArgument, acting: AdminOption = None, json_output: JsonOption = False) -> None:
    """End a person's powers at once, approvals not yet used included."""

    async def operation(output: Output) -> None:
        async with administered(output, acting) as (application, actor):
            await application.people.suspend(name, actor=actor)
        output.result(
            {"person": name, "suspended": True}, lambda console: console.print(f"{name} is suspended.")
        )

    run_command(operation, json_output=json_output)


@people_commands.command("reinstate")
def reinstate(name: NameArgument, acting: AdminOption = None, json_output: JsonOption = False) -> None:
    """Undo a suspension."""

    async def operation(output: Output) -> None:
        async with administered(output, acting) as (application, actor):
            await application.people.reinstate(name, actor=actor)
        output.result(
            {"person": name, "suspended": False}, lambda console: console.print(f"{name} may act again.")
        )

    run_command(operation, json_output=json_output)


@people_commands.command("link")
def link(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="slack or telegram.")],
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The user id on that channel.")],
    name: NameArgument,
    acting: AdminOption = None,
    json_output: JsonOption = False,
) -> None:
    """State that an account on a channel is this person's: taps from it then count as theirs."""

    async def operation(output: Output) -> None:
        async with administered(output, acting) as (application, actor):
            await application.people.link(channel, account, name, actor=actor)
        output.result(
            {"person": name, "channel": channel, "account": account},
            lambda console: console.print(f"{channel} account {account} is {name} now.", soft_wrap=True),
        )

    run_command(operation, json_output=json_output)


@people_commands.command("unlink")
def unlink(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="slack or telegram.")],
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The user id on that channel.")],
    acting: AdminOption = None,
    json_output: JsonOption = False,
) -> None:
    """Forget whose an account is."""

    async def operation(output: Output) -> None:
        async with administered(output, acting) as (application, actor):
            await application.people.unlink(channel, account, actor=actor)
        output.result(
            {"channel": channel, "account": account, "person": None},
            lambda console: console.print(f"{channel} account {account} is nobody's now.", soft_wrap=True),
        )

    run_command(operation, json_output=json_output)
