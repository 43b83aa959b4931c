"""`hitl groups`: groups of people, which rules ask for by name. Changing one takes an administrator."""

from typing import Annotated

import typer

from hitl_mcp.cli.administration import AdminOption, administered
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command

group_commands = typer.Typer(
    no_args_is_help=True, help="Groups of people, which rules ask for.", rich_markup_mode=None
)
GroupArgument = Annotated[str, typer.Argument(metavar="GROUP", help="The group's name.")]
PersonArgument = Annotated[str, typer.Argument(metavar="NAME", help="The person's name.")]


@group_commands.command("add")
def add(
    group: GroupArgument,
    members: Annotated[
        list[str] | None, typer.Option("--member", metavar="NAME", help="Who is in it; repeatable.")
    ] = None,
    acting: AdminOption = None,
    json_output: JsonOption = False,
) -> None:
    """Make a group."""

    async def operation(output: Output) -> None:
        async with administered(output, acting) as (application, actor):
            made = await application.groups.add(group, tuple(members or ()), actor=actor)
        output.result(
            {"group": made.name, "members": list(made.members)},
            lambda console: console.print(f"{made.name}: {', '.join(made.members) or 'nobody yet'}"),
        )

    run_command(operation, json_output=json_output)


@group_commands.command("list")
def list_groups(json_output: JsonOption = False) -> None:
    """List the groups and who is in them."""

    async def operation(output: Output) -> None:
        from rich.table import Table

        from hitl_mcp.cli.local_application import open_application

        require_initialized(home_directory())
        async with open_application() as application:
            groups = await application.groups.list()
        table = Table("group", "members", box=None, pad_edge=False)
        for group in groups:
            table.add_row(group.name, ", ".join(group.members))
        output.result(
            {"groups": [{"group": group.name, "members": list(group.members)} for group in groups]},
            lambda console: console.print(
                table if groups else "There is no group yet. Next: hitl groups add NAME"
            ),
        )

    run_command(operation, json_output=json_output)


@group_commands.command("join")
def join(
    group: GroupArgument, name: PersonArgument, acting: AdminOption = None, json_output: JsonOption = False
) -> None:
    """Put a person into a group."""

    async def operation(output: Output) -> None:
        async with administered(output, acting) as (application, actor):
            person = await application.groups.join(group, name, actor=actor)
        output.result(
            {"group": group, "person": person, "member": True},
            lambda console: console.print(f"{person} is in {group} now."),
        )

    run_command(operation, json_output=json_output)


@group_commands.command("leave")
def leave(
    group: GroupArgument, name: PersonArgument, acting: AdminOption = None, json_output: JsonOption = False
) -> None:
    """Take a person out of a group. Delegations of it end."""

    async def operation(output: Output) -> None:
        async with administered(output, acting) as (application, actor):
            person = await application.groups.leave(group, name, actor=actor)
        output.result(
            {"group": group, "person": person, "member": False},
            lambda console: console.print(f"{person} is not in {group} any more."),
        )

    run_command(operation, json_output=json_output)


@group_commands.command("remove")
def remove(group: GroupArgument, acting: AdminOption = None, json_output: JsonOption = False) -> None:
    """Delete a group."""

    async def operation(output: Output) -> None:
        async with administered(output, acting) as (application, actor):
            await application.groups.remove(group, actor=actor)
        output.result(
            {"group": group, "removed": True}, lambda console: console.print(f"{group} is no group any more.")
        )

    run_command(operation, json_output=json_output)
