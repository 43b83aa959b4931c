"""`hitl init`: everything a server needs before its first start, and its first person."""

import asyncio
import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from hitl_mcp.cli.configuration import approval_configuration, executor_configuration, rules_files
from hitl_mcp.cli.credentials import NEW_PASSWORD_VARIABLE, ask_new_password, remember_default_person
from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.home import home_directory
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command

CONFIGURATION_FILE = "config.yaml"
EXECUTOR_CONFIGURATION_FILE = "executor.yaml"
RULES_SHOWN = {
    "default": "policies/ (harmless work is allowed, what is doubtful is asked about; `hitl policy check`)",
    "ask-everything": "policies/ (a person is asked about everything; `hitl policy use default` asks less)",
    "none": "none (a person is asked about everything)",
}


def init(
    person: Annotated[
        str | None,
        typer.Option("--person", metavar="NAME", help="The first approver and administrator. Default: you."),
    ] = None,
    rules: Annotated[
        Literal["default", "ask-everything", "none"],
        typer.Option(
            help="Which rules to write: one that asks about everything, the default ones that ask about "
            "what is doubtful and allow harmless work, or none, which asks about everything too."
        ),
    ] = "ask-everything",
    seal: Annotated[
        bool, typer.Option("--seal", help="Encrypt the keys under a passphrase, asked for at every start.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Set up HITL_HOME: keys, database, configuration, rules, and the first person with a password."""

    async def operation(output: Output) -> None:
        home = home_directory()
        _require_empty(home)
        name = person or getpass.getuser()
        password = ask_new_password(output, name)
        if password is None:
            raise CommandFailed(
                "The first person needs a password, and there is no terminal to ask at.",
                exit_code=ExitCode.USAGE,
                hint=f"Set {NEW_PASSWORD_VARIABLE}.",
            )
        passphrase = _new_passphrase() if seal else None
        person_id, database_url = await _set_up(home, name, password, rules)
        if passphrase is not None:
            await asyncio.to_thread(_seal, passphrase)
        output.result(
            {
                "home": str(home),
                "person": person_id,
                "configuration": str(home / CONFIGURATION_FILE),
                "executor_configuration": str(home / EXECUTOR_CONFIGURATION_FILE),
                "database": database_url,
                "rules": rules,
            },
            lambda console: console.print(
                f"Set up {home}\n"
                f"  {person_id} may approve and administer\n"
                f"  settings: {home / CONFIGURATION_FILE} and {home / EXECUTOR_CONFIGURATION_FILE}\n"
                f"  rules: {RULES_SHOWN[rules]}\n\n"
                "Next:\n"
                "  hitl up                     run both servers\n"
                "  hitl agents add NAME        make a key for an agent\n"
                "  hitl connect claude-code    or claude-desktop, cursor, vscode, codex",
                soft_wrap=True,
            ),
        )

    run_command(operation, json_output=json_output)


def _require_empty(home: Path) -> None:
    if any((home / "keys" / name).exists() for name in ("keyring.json", "sealed-keys.json")):
        raise CommandFailed(
            f"{home} is set up already; nothing was changed.",
            hint="Run `hitl up`, or set HITL_HOME to another directory.",
        )


def _new_passphrase() -> str:
    from hitl_mcp.minting.passphrases import Passphrases

    return Passphrases().get_new("New passphrase for the server's keys: ")


def _seal(passphrase: str) -> None:
    from hitl_mcp.cli.local_application import quiet_settings
    from hitl_mcp.wiring import seal

    seal(quiet_settings(), passphrase)


async def _set_up(home: Path, name: str, password: str, rules: str) -> tuple[str, str]:
    from hitl_mcp.cli.local_application import quiet_settings
    from hitl_mcp.identity.names import checked_person_id
    from hitl_mcp.identity.passwords import checked_password
    from hitl_mcp.identity.people import Role
    from hitl_mcp.minting.passphrases import Passphrases
    from hitl_mcp.wiring import build_application, create_keys

    # Refused before anything is made, so that the next try starts from nothing as well.
    person_id = checked_person_id(name)
    checked_password(password, person=person_id)
    settings = quiet_settings()
    files = {
        home / CONFIGURATION_FILE: approval_configuration(),
        home / EXECUTOR_CONFIGURATION_FILE: executor_configuration(
            home, issuer=settings.issuer, audience=settings.audience
        ),
    }
    create_keys(settings)
    settings.home.chmod(0o700)
    for path, text in files.items():
        _write_new(path, text)
    _write_rules(settings.policies_directory, rules_files(rules))
    # The new keys are readable until everything is set up.
    async with build_application(settings, passphrases=Passphrases({})) as application:
        record = await application.people.add(name, password, (Role.APPROVER, Role.ADMIN), actor="init")
    remember_default_person(home, record.person_id)
    place = "SQLite" if settings.database_url is None else settings.database_url.partition("+")[0]
    return record.person_id, place


def _write_rules(directory: Path, files: dict[str, str]) -> None:
    """Leaves a directory of rules alone that is there already."""
    if not files or directory.exists():
        return
    directory.mkdir(mode=0o700, parents=True)
    for name, text in files.items():
        _write_new(directory / name, text)


def _write_new(path: Path, text: str) -> None:
    """Leaves a file alone that somebody has put there before."""
    if path.exists():
        return
    path.write_text(f"# Written by hitl init on {datetime.now(UTC):%Y-%m-%d}.\n{text}", "utf-8")
    path.chmod(0o600)
