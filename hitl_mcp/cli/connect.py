"""`hitl connect`: enters both servers into an MCP client's configuration file."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from hitl_mcp.cli.clients.catalogue import ClientName, Places, find_client
from hitl_mcp.cli.clients.edits import FileEdit
from hitl_mcp.cli.clients.entries import Entry, HttpEntry, StdioEntry
from hitl_mcp.cli.clients.hooks_file import hook_command, hook_snippet, plan_hook_edit, settings_path
from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.home import home_directory
from hitl_mcp.cli.options import JsonOption, YesOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command
from hitl_mcp.processes import console_script

KEY_VARIABLE = "HITL_API_KEY"


def connect(
    client: Annotated[ClientName, typer.Argument(help="The MCP client to connect.")],
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="NAME", help="The agent's name. Default: the client's.")
    ] = None,
    http: Annotated[
        bool,
        typer.Option("--http", help="Use the servers that `hitl up` runs instead of stdio."),
    ] = False,
    project: Annotated[
        bool, typer.Option("--project", help="Write the file of the working directory, not the person's.")
    ] = False,
    hook: Annotated[
        bool,
        typer.Option(
            "--hook", help="Claude Code: have every call of a tool that changes something asked about."
        ),
    ] = False,
    approval_url: Annotated[
        str, typer.Option(help="With --http: the approval server.")
    ] = "http://127.0.0.1:3003/mcp",
    executor_url: Annotated[
        str, typer.Option(help="With --http: the executor.")
    ] = "http://127.0.0.1:3002/mcp",
    print_only: Annotated[
        bool, typer.Option("--print", help="Print what to paste and write nothing.")
    ] = False,
    yes: YesOption = False,
    json_output: JsonOption = False,
) -> None:
    """Write an MCP client's configuration, with a backup, after showing the difference."""

    async def operation(output: Output) -> None:
        places = Places(Path.home(), Path.cwd(), sys.platform, os.environ)
        try:
            chosen = find_client(client, places, project=project)
        except ValueError as error:
            raise CommandFailed(f"{error}.", exit_code=ExitCode.USAGE, hint="Leave out --project.") from error
        if http and not chosen.over_http:
            raise CommandFailed(
                f"{client} reads only servers that it starts itself from its file.",
                exit_code=ExitCode.USAGE,
                hint="Leave out --http.",
            )
        if hook:
            _connect_hook(output, client, places, agent, project=project, print_only=print_only, yes=yes)
            return
        entries: tuple[Entry, ...]
        if http:
            entries = (
                HttpEntry("hitl", approval_url, KEY_VARIABLE),
                HttpEntry("hitl-executor", executor_url, None),
            )
        else:
            entries = _stdio_entries(agent or client.value)
        if print_only:
            _print_snippet(output, chosen.path, chosen.snippet(entries))
        else:
            _write(output, chosen.plan_edit(entries), "both servers", chosen.after_connecting, yes=yes)

    run_command(operation, json_output=json_output)


def _stdio_entries(agent: str) -> tuple[Entry, ...]:
    home = home_directory()
    return (
        StdioEntry("hitl", console_script("hitl"), ("mcp", "--agent", agent), {"HITL_HOME": str(home)}),
        StdioEntry(
            "hitl-executor",
            console_script("hitl-executor"),
            ("mcp",),
            {"EXECUTOR_HOME": str(home / "executor"), "EXECUTOR_CONFIG": str(home / "executor.yaml")},
        ),
    )


def _connect_hook(
    output: Output,
    client: ClientName,
    places: Places,
    agent: str | None,
    *,
    project: bool,
    print_only: bool,
    yes: bool,
) -> None:
    if client is not ClientName.CLAUDE_CODE:
        raise CommandFailed(
            f"{client} has no hooks that could ask.", exit_code=ExitCode.USAGE, hint="Leave out --hook."
        )
    path = settings_path(places.working_directory if project else places.user_home)
    command = hook_command(
        console_script("hitl"), {"HITL_HOME": str(home_directory())}, agent or client.value
    )
    if print_only:
        _print_snippet(output, path, hook_snippet(command))
    else:
        _write(output, plan_hook_edit(path, command), "the hook", "In Claude Code, /hooks lists it.", yes=yes)


def _print_snippet(output: Output, path: Path, text: str) -> None:
    # Written as it is: wrapped lines could not be pasted.
    output.result(
        {"path": str(path), "snippet": text}, lambda console: print(text, end="", file=console.file)
    )


def _write(output: Output, edit: FileEdit, what: str, after_connecting: str, *, yes: bool) -> None:
    from rich.text import Text

    if edit.changes_nothing:
        output.result(
            {"path": str(edit.path), "changed": False, "backup": None},
            lambda console: console.print(f"{edit.path} already has {what}. {after_connecting}"),
        )
        return
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in edit.diff():
        output.show(Text(line, style=styles.get(line[:1], "")))
    if not yes:
        if not output.interactive:
            raise CommandFailed(
                "Not written: there is no terminal to ask at.",
                exit_code=ExitCode.USAGE,
                hint="Give --yes to write it, or --print to print what to paste.",
            )
        if not typer.confirm(f"Write {edit.path}?", default=True, err=True):
            raise CommandFailed("Not written.", hint="Run with --print and paste the lines yourself.")
    backup = edit.apply()
    output.result(
        {"path": str(edit.path), "changed": True, "backup": str(backup) if backup else None},
        lambda console: console.print(
            f"Wrote {edit.path}"
            + (f"\nThe file as it was: {backup}" if backup else "")
            + f"\n{after_connecting}",
            soft_wrap=True,
        ),
    )
