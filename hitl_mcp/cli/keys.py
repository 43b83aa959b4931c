"""`hitl keys`: the keys that sign tokens."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.key_command import KeyCommand
from hitl_mcp.cli.options import JsonOption, YesOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.questions import confirm_or_fail
from hitl_mcp.cli.running import run_command
from hitl_mcp.running_server import find_running_server

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
        from hitl_mcp.minting.passphrases import Passphrases
        from hitl_mcp.wiring import open_keys

        require_initialized(home_directory())
        await confirm_or_fail(output, "Make a new signing key?", yes=yes)
        passphrases = Passphrases()
        async with open_application(passphrases) as application:
            ring = open_keys(application.settings, passphrases=passphrases)
            before, key = ring.signing_key().key_id, ring.rotate()
            await _record(application, "keys.rotated", key.key_id, {"retired": before})
        output.result(
            {"key_id": key.key_id},
            lambda console: console.print(f"New tokens are signed with {key.key_id}.", soft_wrap=True),
        )

    run_command(operation, json_output=json_output)


@key_commands.command("revoke", cls=KeyCommand)
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="From `hitl keys list`.")],
    yes: YesOption = False,
    json_output: JsonOption = False,
) -> None:
    """Stop publishing a key: every token that it signed is refused. An active one is replaced."""

    async def operation(output: Output) -> None:
        from hitl_mcp.cli.local_application import open_application
        from hitl_mcp.minting.passphrases import Passphrases
        from hitl_mcp.wiring import open_keys

        require_initialized(home_directory())
        await confirm_or_fail(output, "Refuse every token that this key signed?", yes=yes)
        passphrases = Passphrases()
        async with open_application(passphrases) as application:
            ring = open_keys(application.settings, passphrases=passphrases)
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


@key_commands.command("seal")
def seal(json_output: JsonOption = False) -> None:
    """Encrypt the keys under a passphrase, which every start then needs. Nobody can recover it."""

    async def operation(output: Output) -> None:
        from hitl_mcp.minting.passphrases import Passphrases
        from hitl_mcp.minting.sealing import seal_keys

        directory = _keys_at_rest()
        prompt = f"New passphrase for the keys in {directory}: "
        await asyncio.to_thread(seal_keys, directory, Passphrases().get_new(prompt))
        output.result(
            {"sealed": True, "directory": str(directory)},
            lambda console: console.print(f"The keys in {directory} are sealed.", soft_wrap=True),
        )

    run_command(operation, json_output=json_output)


@key_commands.command("unseal")
def unseal(yes: YesOption = False, json_output: JsonOption = False) -> None:
    """Make the keys readable again for whoever is this user."""

    async def operation(output: Output) -> None:
        from hitl_mcp.minting.passphrases import Passphrases
        from hitl_mcp.minting.sealing import unseal_keys

        directory = _keys_at_rest()
        await confirm_or_fail(output, "Write the keys to the disk unencrypted?", yes=yes)
        passphrase = Passphrases().get(f"Passphrase of the keys in {directory}: ")
        await asyncio.to_thread(unseal_keys, directory, passphrase)
        output.result(
            {"sealed": False, "directory": str(directory)},
            lambda console: console.print(
                f"The keys in {directory} are not sealed any more.", soft_wrap=True
            ),
        )

    run_command(operation, json_output=json_output)


@key_commands.command("change-passphrase")
def change(json_output: JsonOption = False) -> None:
    """Let another passphrase open the keys. Where there is no terminal: HITL_NEW_PASSPHRASE_FD and so on."""

    async def operation(output: Output) -> None:
        from hitl_mcp.minting.passphrases import NEW_PASSPHRASE, Passphrases
        from hitl_mcp.minting.sealing import change_passphrase

        directory = _keys_at_rest()
        old = Passphrases().get(f"Passphrase of the keys in {directory}: ")
        new = Passphrases(name=NEW_PASSPHRASE).get_new("New passphrase: ")
        await asyncio.to_thread(change_passphrase, directory, old, new)
        output.result(
            {"changed": True, "directory": str(directory)},
            lambda console: console.print("The new passphrase opens the keys, the old one does not."),
        )

    run_command(operation, json_output=json_output)


def _keys_at_rest() -> Path:
    """The keys' directory, while no server holds them.

    Raises:
        CommandFailed: one is up, and would lose sight of its keys.
    """
    from hitl_mcp.cli.local_application import quiet_settings

    settings = quiet_settings()
    require_initialized(settings.home)
    running = find_running_server(settings.home)
    if running is not None:
        raise CommandFailed(
            f"A server is up on {settings.home} (process {running.pid}).",
            exit_code=ExitCode.ENVIRONMENT,
            hint="Stop it first.",
        )
    return settings.keys_directory


async def _record(
    application: "Application", event: str, subject: str, details: "dict[str, JsonValue]"
) -> None:
    async def write(connection: "AsyncConnection") -> None:
        await application.audit.append(connection, event, actor="operator", subject=subject, details=details)

    await application.database.write(write)
