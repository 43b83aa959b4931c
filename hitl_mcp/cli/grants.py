"""`hitl grants`: what people allowed agents in advance. Ending one takes a person's own password."""

from typing import TYPE_CHECKING, Annotated

import typer

from hitl_mcp.cli.administration import PersonOption, signed_in
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command

if TYPE_CHECKING:
    from pydantic import JsonValue

    from hitl_mcp.approvals.grants import Grant

grant_commands = typer.Typer(
    no_args_is_help=True, help="What people allowed agents in advance, and until when.", rich_markup_mode=None
)


@grant_commands.command("list")
def list_grants(
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="NAME", help="Only those of this agent.")
    ] = None,
    over: Annotated[bool, typer.Option("--all", help="Those that are used up or over as well.")] = False,
    json_output: JsonOption = False,
) -> None:
    """List the grants that can still be used."""

    async def operation(output: Output) -> None:
        from rich.table import Column, Table

        from hitl_mcp.cli.local_application import open_application

        require_initialized(home_directory())
        async with open_application() as application:
            found = await application.grants.list(agent=agent, over=over)
        # What `show` and `revoke` take has to be readable in the narrowest terminal.
        name = Column("id", no_wrap=True, min_width=32)
        rest = [Column(each, overflow="fold") for each in ("agent", "by", "left", "until", "rule")]
        table = Table(name, *rest, box=None, pad_edge=False)
        for each in found:
            end = "ended" if each.revoked_at else f"{each.expires_at:%Y-%m-%d %H:%M}"
            left = f"{each.remaining} of {each.allowed}"
            table.add_row(each.grant_id, each.agent, each.person, left, end, each.rule)
        output.result(
            {"grants": [_document(each) for each in found]},
            lambda console: console.print(table if found else "Nothing is allowed in advance."),
        )

    run_command(operation, json_output=json_output)


@grant_commands.command("show")
def show(
    grant_id: Annotated[str, typer.Argument(metavar="ID", help="The grant.")],
    json_output: JsonOption = False,
) -> None:
    """Show what a grant allows, word by word, and each of its uses."""

    async def operation(output: Output) -> None:
        from rich.text import Text

        from hitl_mcp.cli.local_application import open_application

        require_initialized(home_directory())
        async with open_application() as application:
            grant, uses = await application.grants.get(grant_id)
        lines = [grant.wording, f"{grant.remaining} of {grant.allowed} uses are left."]
        if grant.revoked_at is not None:
            lines.append(f"Ended by {grant.revoked_by} at {grant.revoked_at:%Y-%m-%d %H:%M} UTC.")
        lines += [f"{each.number:>4}  {each.used_at:%Y-%m-%d %H:%M:%S}  {each.request_id}" for each in uses]
        used: list[JsonValue] = [
            {"request_id": each.request_id, "number": each.number, "used_at": each.used_at.isoformat()}
            for each in uses
        ]
        output.result(
            {**_document(grant), "uses": used},
            lambda console: console.print(Text("\n".join(lines)), soft_wrap=True),
        )

    run_command(operation, json_output=json_output)


@grant_commands.command("revoke")
def revoke(
    grant_id: Annotated[str, typer.Argument(metavar="ID", help="The grant to end.")],
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for the record.")] = None,
    acting: PersonOption = None,
    json_output: JsonOption = False,
) -> None:
    """End a grant at once; people are asked again."""

    async def operation(output: Output) -> None:
        async with signed_in(output, acting) as (application, person):
            ended = await application.grants.revoke(grant_id, actor=person, reason=reason)
        output.result(
            _document(ended),
            lambda console: console.print(
                f"Grant {ended.grant_id} has ended. A token collected before stays good for minutes; "
                "revoke its request to end that too.",
                soft_wrap=True,
            ),
        )

    run_command(operation, json_output=json_output)


def _document(grant: "Grant") -> "dict[str, JsonValue]":
    return {
        "grant_id": grant.grant_id,
        "agent": grant.agent,
        "person": grant.person,
        "request_id": grant.request_id,
        "wording": grant.wording,
        "wording_digest": grant.wording_digest,
        "rule": grant.rule,
        "max_risk": grant.max_risk.value,
        "allowed": grant.allowed,
        "used": grant.used,
        "remaining": grant.remaining,
        "created_at": grant.created_at.isoformat(),
        "expires_at": grant.expires_at.isoformat(),
        "revoked_at": grant.revoked_at.isoformat() if grant.revoked_at else None,
        "revoked_by": grant.revoked_by,
    }
