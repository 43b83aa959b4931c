"""`hitl audit`: the record of everything that was done, and whether it is whole."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command

if TYPE_CHECKING:
    from pydantic import JsonValue
    from rich.console import Console

    from hitl_contract.audit_chain import AuditEntry
    from hitl_contract.audit_verification import ChainReport
    from hitl_contract.keys import PublicKeys
    from hitl_mcp.application import Application

audit_commands = typer.Typer(no_args_is_help=True, help="The audit log.", rich_markup_mode=None)
_TAIL_DEFAULT = 20


@audit_commands.command("verify")
def verify(
    export: Annotated[
        Path | None,
        typer.Option("--file", help="An export to check offline. Left out: this server's own log."),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys", metavar="JWKS", help="With --file: public audit keys. Default: this HITL_HOME's."
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Check that no entry was changed, deleted, inserted, reordered or forgotten."""

    async def operation(output: Output) -> None:
        report = await (_verify_own() if export is None else _verify_file(export, keys))
        output.result(_report_document(report), lambda console: _show_report(console, report))
        if not report.intact:
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
    json_output: JsonOption = False,
) -> None:
    """Write every entry and signed checkpoint as JSON Lines, which `audit verify --file` checks anywhere."""

    async def operation(_output: Output) -> None:
        from hitl_mcp.cli.local_application import open_application

        require_initialized(home_directory())
        async with open_application() as application:
            # What was not signed yet is signed first, so that the export vouches for its own end.
            await application.audit.checkpoint()
            with ExitStack() as stack:
                stream = sys.stdout if to is None else stack.enter_context(to.open("w", encoding="utf-8"))
                async for document in application.audit.export():
                    stream.write(json.dumps(document, separators=(",", ":"), ensure_ascii=True) + "\n")
                stream.flush()
        if keys is not None:
            keys.write_text(json.dumps(_own_audit_keys().to_jwks(), indent=2) + "\n", "utf-8")

    run_command(operation, json_output=json_output)


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
            lambda console: _show_entries(console, entries),
        )

    run_command(operation, json_output=json_output)


async def verify_own_log(application: "Application") -> "ChainReport":
    """The log of this server, against its checkpoints and its witness."""
    return await application.audit.verify(_own_audit_keys())


async def _verify_own() -> "ChainReport":
    from hitl_mcp.cli.local_application import open_application

    require_initialized(home_directory())
    async with open_application() as application:
        return await verify_own_log(application)


async def _verify_file(export: Path, keys: Path | None) -> "ChainReport":
    known = _own_audit_keys() if keys is None else _read_keys(keys)
    return await asyncio.to_thread(_verify_lines, export, known)


def _read_keys(path: Path) -> "PublicKeys":
    from hitl_contract.canonical import parse_strict_json
    from hitl_contract.errors import CanonicalizationError, InvalidKeySet
    from hitl_contract.keys import PublicKeys

    try:
        return PublicKeys.from_jwks(parse_strict_json(path.read_bytes()))
    except (CanonicalizationError, InvalidKeySet) as error:
        raise CommandFailed(f"{path} is no key set: {error}", exit_code=ExitCode.USAGE) from error


def _verify_lines(export: Path, keys: "PublicKeys") -> "ChainReport":
    from hitl_mcp.audit.trail import CHAIN
    from server_kit.audit_export import verify_export

    def documents() -> Iterator[dict[str, object]]:
        with export.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield dict(json.loads(line))
                except (ValueError, TypeError):
                    raise CommandFailed(
                        f"Line {number} of {export} is not a JSON object.", exit_code=ExitCode.REFUSED
                    ) from None

    return verify_export(documents(), chain=CHAIN, keys=keys)


def _own_audit_keys() -> "PublicKeys":
    from hitl_contract.keys import PublicKeys
    from hitl_mcp.cli.local_application import quiet_settings
    from hitl_mcp.wiring import open_keys

    return PublicKeys([open_keys(quiet_settings()).audit_key.private.public_key()])


def _report_document(report: "ChainReport") -> "dict[str, JsonValue]":
    return {
        "intact": report.intact,
        "entries": report.entries,
        "checkpoints": report.checkpoints,
        "head_sequence": report.head_sequence,
        "head_hash": report.head_hash,
        "unsigned_tail": report.unsigned_tail,
        "problems": [
            {"kind": problem.kind.value, "sequence": problem.sequence, "message": problem.message}
            for problem in report.problems
        ],
    }


def _show_report(console: "Console", report: "ChainReport") -> None:
    from rich.text import Text

    verdict = Text("intact", "bold green") if report.intact else Text("NOT INTACT", "bold red")
    console.print(
        Text.assemble(verdict, f": {report.entries} entries, {report.checkpoints} signed checkpoints, "),
        Text(f"{report.unsigned_tail} entries not signed yet"),
    )
    console.print(f"head {report.head_sequence} {report.head_hash}", soft_wrap=True)
    for problem in report.problems:
        console.print(
            Text(f"{problem.kind.value} at {problem.sequence}: {problem.message}", "red"), soft_wrap=True
        )


def _show_entries(console: "Console", entries: "list[AuditEntry]") -> None:
    from rich.text import Text

    from hitl_contract.display import safe_text

    for entry in entries:
        details = json.dumps(entry.details, ensure_ascii=True) if entry.details else ""
        at = datetime.fromisoformat(entry.at).strftime("%Y-%m-%d %H:%M:%S")
        console.print(
            Text.assemble(
                (f"{entry.sequence:>6} {at} ", "dim"),
                (entry.event, "bold"),
                f" {safe_text(entry.actor)} → {safe_text(entry.subject)} ",
                (safe_text(details), "dim"),
            ),
            soft_wrap=True,
        )
