"""`audit`: the log of everything that was run or refused, and whether it is whole."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from executor_mcp.assembly import AUDIT_CHAIN
from executor_mcp.cli.public_keys import KeysOption, public_keys
from executor_mcp.cli.running import CommandFailed, ExitCode, JsonOption, Output, run_command
from executor_mcp.settings import Settings
from executor_mcp.wiring import open_ledger
from hitl_contract.audit_segments import segment_to_json
from hitl_contract.audit_verification import ChainReport, report_to_json
from hitl_contract.keys import PublicKeys
from server_kit.audit_checking import report_of
from server_kit.audit_verifier.command import verify_export
from server_kit.audit_verifier.encoding import Unreadable
from server_kit.audit_verifier.signatures import Keys
from server_kit.clock import SystemClock

audit = typer.Typer(no_args_is_help=True, help="The append-only log of everything that was run or refused.")


@audit.command("verify")
def verify(
    file: Annotated[
        Path | None, typer.Option("--file", "--export", help="An export to check, instead of the database.")
    ] = None,
    keys: KeysOption = None,
    segments: Annotated[
        Path | None, typer.Option(metavar="DIRECTORY", help="With --file: where archived segments are.")
    ] = None,
    witness: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="With --file: checkpoints kept elsewhere.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Check every entry, its place in the chain, every signed checkpoint and every archived segment.

    Exit 1 when something is wrong.
    """

    async def operation(settings: Settings, output: Output) -> None:
        known = public_keys(settings, keys)
        if file is None:
            async with open_ledger(settings) as ledger:
                report = await ledger.audit.verify(known)
        else:
            report = await asyncio.to_thread(_verify_file, file, known, segments, tuple(witness or ()))
        _show(report, output)
        if not report.intact:
            raise CommandFailed("the audit log is not intact; see the problems above")

    run_command(operation, json_output=json_output)


@audit.command("export")
def export(
    to: Annotated[Path | None, typer.Option("--output", help="The file to write; stdout by default.")] = None,
) -> None:
    """Write the log as JSON Lines, which `audit verify --file` checks anywhere."""

    async def operation(settings: Settings, output: Output) -> None:
        count = 0
        async with open_ledger(settings) as ledger:
            # What was not signed yet is signed first, so that the export vouches for its own end.
            await ledger.audit.checkpoint()
            with ExitStack() as stack:
                stream = sys.stdout.buffer if to is None else stack.enter_context(to.open("wb"))
                async for line in ledger.audit.lines():
                    stream.write(line)
                    count += 1
                stream.flush()
        if to is not None:
            output.note(f"{count} lines written to {to}")

    run_command(operation, json_output=False)


@audit.command("archive")
def archive(
    older_than_days: Annotated[int, typer.Option("--older-than-days", min=0, help="What to archive.")],
    json_output: JsonOption = False,
) -> None:
    """Move old entries out of the database into sealed files. Nothing is lost, and verification goes on.

    Keep the files: verification misses each that is gone.
    """

    async def operation(settings: Settings, output: Output) -> None:
        async with open_ledger(settings) as ledger:
            before = SystemClock().now() - timedelta(days=older_than_days)
            records = await ledger.archive.archive(before=before, actor="operator")
            directory = ledger.audit.segment_directory
        entries = sum(record.entries for record in records)
        output.result(
            {"segments": [segment_to_json(record) for record in records], "entries": entries},
            f"{entries} entries archived in {len(records)} segments in {directory}",
        )

    run_command(operation, json_output=json_output)


@audit.command("new-witness")
def new_witness(
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit log.")],
    json_output: JsonOption = False,
) -> None:
    """Begin a new witness file, after a restored backup or a lost file. The old one is kept beside it.

    From then on nothing compares with what the old one remembers. The audit log says that this was done.
    """

    async def operation(settings: Settings, output: Output) -> None:
        async with open_ledger(settings) as ledger:
            entry = await ledger.audit.start_new_witness(actor="operator", reason=reason)
        output.result(
            {"sequence": entry.sequence, "kept": entry.details["kept"]},
            f"A new witness begins at entry {entry.sequence}.",
        )

    run_command(operation, json_output=json_output)


def _verify_file(
    export: Path, keys: PublicKeys, segments: Path | None, witnesses: tuple[Path, ...]
) -> ChainReport:
    try:
        known = Keys(keys.to_jwks())
        report, _ = verify_export(
            export, chain=AUDIT_CHAIN, keys=known, segments=segments, witnesses=witnesses
        )
    except Unreadable as error:
        raise CommandFailed(str(error), exit_code=ExitCode.USAGE) from error
    return report_of(report)


def _show(report: ChainReport, output: Output) -> None:
    verdict = "[bold green]intact[/]" if report.intact else "[bold red]NOT intact[/]"
    output.result(
        report_to_json(report),
        f"Audit log {verdict}: {report.entries} entries, {report.checkpoints} signed checkpoints, "
        f"{report.segments} archived segments, {report.unsigned_tail} entries after the last signature.",
        *(f"{problem.kind.value}: {escape(problem.message)}" for problem in report.problems),
    )
