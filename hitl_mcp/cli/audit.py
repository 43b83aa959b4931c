"""`hitl audit`: the record of everything that was done, and whether it is whole."""

import asyncio
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hitl_mcp.cli.audit_care import (
    ActorOption,
    EventOption,
    SinceOption,
    SubjectOption,
    TextOption,
    UntilOption,
    archive,
    new_witness,
    query_of,
    search,
    show_entries,
    verifier,
)
from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command

if TYPE_CHECKING:
    from rich.console import Console

    from hitl_contract.audit_verification import ChainReport
    from hitl_contract.keys import PublicKeys
    from hitl_mcp.application import Application

audit_commands = typer.Typer(no_args_is_help=True, help="The audit log.", rich_markup_mode=None)
for _command in (search, archive, new_witness, verifier):
    audit_commands.command(_command.__name__.replace("_", "-"))(_command)
_TAIL_DEFAULT = 20


@audit_commands.command("verify")
def verify(
    export: Annotated[
        Path | None,
        typer.Option("--file", "--export", help="An export to check offline. Default: this server's log."),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            "--jwks",
            metavar="JWKS",
            help="With --file: public audit keys. Default: this HITL_HOME's.",
        ),
    ] = None,
    segments: Annotated[
        Path | None, typer.Option(metavar="DIRECTORY", help="With --file: where archived segments are.")
    ] = None,
    witness: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="With --file: checkpoints kept elsewhere.")
    ] = None,
    executor_export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --file: the executor's log, to join with it.")
    ] = None,
    executor_keys: Annotated[
        Path | None,
        typer.Option("--executor-keys", "--executor-jwks", metavar="JWKS", help="Its keys."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Check that no entry was changed, deleted, inserted, reordered or forgotten.

    With both logs also that every program that ran had a token, and every token an approval before it.
    """

    async def operation(output: Output) -> None:
        from hitl_contract.audit_verification import report_to_json

        if export is None:
            reports = [await _verify_own()]
        else:
            known = _own_audit_keys().to_jwks() if keys is None else None
            files = (export, keys, segments, tuple(witness or ()), executor_export, executor_keys)
            reports = await asyncio.to_thread(_verify_files, known, *files)
        document = report_to_json(reports[0])
        if len(reports) > 1:
            document["executor"] = report_to_json(reports[1])
        output.result(document, lambda console: _show_reports(console, reports))
        if not all(report.intact for report in reports):
            raise typer.Exit(ExitCode.REFUSED)

    run_command(operation, json_output=json_output)


@audit_commands.command("export")
def export_log(
    to: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Where to write. Default: standard output."),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", metavar="JWKS", help="Write the public audit keys here as well.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="For a spreadsheet; cannot be verified.")] = False,
    event: EventOption = None,
    actor: ActorOption = None,
    subject: SubjectOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    text: TextOption = None,
) -> None:
    """Write the log as JSON Lines, which `audit verify --file` checks anywhere, or as CSV.

    Whole it has every entry, signed checkpoint and segment record. A part of it proves nothing by itself.
    """
    query = query_of(event, actor, subject, since, until, text)

    async def operation(_output: Output) -> None:
        from hitl_mcp.cli.local_application import open_application
        from server_kit.audit_csv import csv_header

        require_initialized(home_directory())
        async with open_application() as application:
            # What was not signed yet is signed first, so that the export vouches for its own end.
            await application.audit.checkpoint()
            public_keys = application.audit.public_keys
            with ExitStack() as stack:
                stream = (
                    sys.stdout
                    if to is None
                    else stack.enter_context(to.open("w", encoding="utf-8", newline=""))
                )
                if as_csv:
                    stream.write(csv_header())
                async for line in application.audit.lines(query):
                    stream.write(_csv_of(line) if as_csv else line.decode("utf-8", "backslashreplace"))
                stream.flush()
        if keys is not None:
            keys.write_text(json.dumps(public_keys.to_jwks(), indent=2) + "\n", "utf-8")

    run_command(operation)


@audit_commands.command("tail")
def tail(
    count: Annotated[int, typer.Option("-n", "--lines", min=1, max=1000, help="How many.")] = _TAIL_DEFAULT,
    json_output: JsonOption = False,
) -> None:
    """Show the last entries."""

    async def operation(output: Output) -> None:
        from hitl_contract.audit_chain import entry_to_json
        from hitl_mcp.cli.local_application import open_application

        require_initialized(home_directory())
        async with open_application() as application:
            entries = await application.audit.tail(count)
        output.result(
            {"entries": [entry_to_json(entry) for entry in entries]},  # pyright: ignore[reportArgumentType]
            lambda console: show_entries(console, entries),
        )

    run_command(operation, json_output=json_output)


async def verify_own_log(application: "Application") -> "ChainReport":
    """The log of this server, against its checkpoints and its witness."""
    return await application.audit.verify(application.audit.public_keys)


async def _verify_own() -> "ChainReport":
    from hitl_mcp.cli.local_application import open_application

    require_initialized(home_directory())
    async with open_application() as application:
        return await verify_own_log(application)


def _verify_files(
    own: "dict[str, list[dict[str, str]]] | None",
    export: Path,
    keys: Path | None,
    segments: Path | None,
    witnesses: tuple[Path, ...],
    executor_export: Path | None,
    executor_keys: Path | None,
) -> "list[ChainReport]":
    from hitl_mcp.audit.trail import CHAIN
    from server_kit.audit_checking import report_of
    from server_kit.audit_verifier.command import chain_of, join, read_keys, verify_export
    from server_kit.audit_verifier.encoding import Unreadable
    from server_kit.audit_verifier.signatures import Keys

    try:
        known = Keys(own) if keys is None else read_keys(keys)
        report, minted = verify_export(
            export, chain=CHAIN, keys=known, segments=segments, witnesses=witnesses
        )
        reports = [report]
        if executor_export is not None:
            if executor_keys is None:
                raise CommandFailed("--executor-export needs --executor-jwks.", exit_code=ExitCode.USAGE)
            second, runs = verify_export(
                executor_export, chain=chain_of(executor_export), keys=read_keys(executor_keys)
            )
            join(minted, runs, second)
            reports.append(second)
    except Unreadable as error:
        raise CommandFailed(f"{error}.", exit_code=ExitCode.USAGE) from error
    return [report_of(each) for each in reports]


def _csv_of(line: bytes) -> str:
    """One line of an export for a spreadsheet, which has a place for entries alone."""
    from hitl_contract.audit_chain import entry_from_json
    from server_kit.audit_csv import csv_line

    document = cast("dict[str, object]", json.loads(line))
    return "" if "type" in document else csv_line(entry_from_json(document))


def _own_audit_keys() -> "PublicKeys":
    from hitl_contract.keys import PublicKeys
    from hitl_mcp.cli.local_application import quiet_settings
    from hitl_mcp.wiring import open_keys

    return PublicKeys([open_keys(quiet_settings()).audit_key.private.public_key()])


def _show_reports(console: "Console", reports: "list[ChainReport]") -> None:
    for report in reports:
        _show_report(console, report)


def _show_report(console: "Console", report: "ChainReport") -> None:
    from rich.text import Text

    verdict = Text("intact", "bold green") if report.intact else Text("NOT INTACT", "bold red")
    console.print(
        Text.assemble(verdict, f": {report.entries} entries, {report.checkpoints} signed checkpoints, "),
        Text(f"{report.segments} archived segments, "),
        Text(f"{report.unsigned_tail} entries not signed yet"),
    )
    console.print(f"head {report.head_sequence} {report.head_hash}", soft_wrap=True)
    for problem in report.problems:
        console.print(
            Text(f"{problem.kind.value} at {problem.sequence}: {problem.message}", "red"), soft_wrap=True
        )
