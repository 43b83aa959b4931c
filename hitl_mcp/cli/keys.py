"""`hitl keys`: the keys that sign tokens."""

from typing import TYPE_CHECKING, Annotated

import typer

from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.options import JsonOption, YesOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.questions import confirm_or_fail
from hitl_mcp.cli.running import run_command

if TYPE_CHECKING:
    from pydantic import JsonValue
    from sqlalchemy.ext.asyncio import AsyncConnection

    from hitl_mcp.application import Application

key_commands = typer.Typer(no_args_is_help=True, help="The keys that sign tokens.", rich_markup_mode=None)


@key_commands.command("list")
def list_keys(json_output: JsonOption = False) -> None:
    """List the signing keys, newest first. Private halves are never shown."""

    async def operation(output: Output) -> None:
        from rich.table import Table

        from hitl_mcp.cli.local_application import quiet_settings
        from hitl_mcp.wiring import open_keys

        require_initialized(home_directory())
        ring = open_keys(quiet_settings())
        table = Table("key id", "state", "since", "published until", box=None, pad_edge=False)
        for entry in ring.entries():
            until = f"{entry.published_until:%Y-%m-%d %H:%M:%S} UTC" if entry.published_until else ""
            table.add_row(entry.key_id, entry.state.value, f"{entry.created_at:%Y-%m-%d}", until)
        output.result(
            {
                "keys": [entry.model_dump(mode="json") for entry in ring.entries()],
                "audit_key_id": ring.audit_key.key_id,
                "jwks": ring.public_keys().to_jwks(),  # pyright: ignore[reportArgumentType]
            },
            lambda console: console.print(table),
        )

    run_command(operation, json_output=json_output)


@key_commands.command("rotate")
def rotate(yes: YesOption = False, json_output: JsonOption = False) -> None:
    """Sign with a new key from now on. The old one verifies until its last token has expired."""

    async def operation(output: Output) -> None:
        from hitl_mcp.cli.local_application import open_application
        from hitl_mcp.wiring import open_keys

        require_initialized(home_directory())
        await confirm_or_fail(output, "Make a new signing key?", yes=yes)
        async with open_application() as application:
            ring = open_keys(application.settings)
            before, key = ring.signing_key().key_id, ring.rotate()
            await _record(application, "keys.rotated", key.key_id, {"retired": before})
        output.result(
            {"key_id": key.key_id},
            lambda console: console.print(f"New tokens are signed with {key.key_id}.", soft_wrap=True),
        )

    run_command(operation, json_output=json_output)


@key_commands.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="From `hitl keys list`.")],
    yes: YesOption = False,
    json_output: JsonOption = False,
) -> None:
    """Stop publishing a key: every token that it signed is refused. An active one is replaced."""

    async def operation(output: Output) -> None:
        from hitl_mcp.cli.local_application import open_application
        from hitl_mcp.wiring import open_keys

        require_initialized(home_directory())
        await confirm_or_fail(output, "Refuse every token that this key signed?", yes=yes)
        async with open_application() as application:
            ring = open_keys(application.settings)
            ring.revoke(key_id)
            await _record(application, "keys.revoked", key_id, {})
        output.result(
            {"key_id": key_id, "revoked": True, "active_key_id": ring.signing_key().key_id},
            lambda console: console.print(
                f"{key_id} is revoked. Executors refuse its tokens once they read the keys again.",
                soft_wrap=True,
            ),
        )

    run_command(operation, json_output=json_output)


async def _record(
    application: "Application", event: str, subject: str, details: "dict[str, JsonValue]"
) -> None:
    async def write(connection: "AsyncConnection") -> None:
        await application.audit.append(connection, event, actor="operator", subject=subject, details=details)

    await application.database.write(write)
