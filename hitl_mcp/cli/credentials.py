"""Who sits at the terminal: a name and a password, from the terminal or the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import typer

from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.output import Output

PASSWORD_VARIABLE = "HITL_PASSWORD"  # noqa: S105 - a variable's name
NEW_PASSWORD_VARIABLE = "HITL_INIT_PASSWORD"  # noqa: S105 - a variable's name
_DEFAULT_PERSON_FILE = "default-person"


@dataclass(frozen=True)
class Credentials:
    """A claim to be somebody, not checked yet."""

    person: str
    password: str = field(repr=False)


def ask_credentials(output: Output, home: Path, person: str | None) -> Credentials:
    """The person named, or the one that `hitl init` made; the password from HITL_PASSWORD or the terminal.

    Raises:
        CommandFailed: there is no terminal to ask at.
    """
    name = person or _default_person(home)
    if name is None:
        if not output.interactive:
            raise CommandFailed("Who are you?", exit_code=ExitCode.IDENTITY, hint="Give --person NAME.")
        name = str(typer.prompt("Name", err=True))
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is None:
        if not output.interactive:
            raise CommandFailed(
                f"The password of {name} is needed, and there is no terminal to ask at.",
                exit_code=ExitCode.IDENTITY,
                hint=f"Set {PASSWORD_VARIABLE} to the password of a person; an agent's key is not accepted.",
            )
        password = str(typer.prompt(f"Password of {name}", hide_input=True, err=True))
    return Credentials(name, password)


def ask_new_password(output: Output, name: str) -> str | None:
    """A password chosen at the terminal, typed twice, or HITL_INIT_PASSWORD. None where neither is there."""
    password = os.environ.get(NEW_PASSWORD_VARIABLE)
    if password is not None:
        return password
    if not output.interactive:
        return None
    return str(typer.prompt(f"New password for {name}", hide_input=True, confirmation_prompt=True, err=True))


def remember_default_person(home: Path, person: str) -> None:
    """Spares the first person from giving their name each time."""
    (home / _DEFAULT_PERSON_FILE).write_text(f"{person}\n", "utf-8")


def _default_person(home: Path) -> str | None:
    try:
        return (home / _DEFAULT_PERSON_FILE).read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
