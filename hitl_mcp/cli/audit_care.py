"""`hitl audit search|archive|new-witness|verifier`: finding entries, and keeping the log over years."""

# No `from __future__ import annotations`: typer reads these annotations at run time.
import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command

if TYPE_CHECKING:
    from rich.console import Console

    from hitl_contract.audit_chain import AuditEntry
    from server_kit.audit_records import AuditQuery

EventOption = Annotated[
    str | None, typer.Option("--event", help="Name of the event; request.* finds all that begin so.")
]
ActorOption = Annotated[str | None, typer.Option("--actor", help="Who did it, such as person:ada.")]
SubjectOption = Annotated[str | None, typer.Option("--subject", help="What it is about: a request's id.")]
SinceOption = Annotated[str | None, typer.Option("--since", metavar="TIME", help="Not before (ISO 8601).")]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before (ISO 8601).")]
TextOption = Annotated[str | None, typer.Option("--text", help="Somewhere in the details, in any case.")]


def query_of(
    event: str | None,
    actor: str | None,
    subject: str | None,
    since: str | None,
    until: str | None,
    text: str | None,
) -> "AuditQuery":
    """
    Raises:
        CommandFailed: a time is none.
    """
    from server_kit.audit_records import AuditQuery

    return AuditQuery(event, actor, subject, _moment("--since", since), _moment("--until", until), text)


def search(
    event: EventOption = None,
    actor: ActorOption = None,
    subject: SubjectOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    text: TextOption = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=10_000, help="Most entries.")] = 100,
    after: Annotated[int, typer.Option(min=0, help="Only entries behind this sequence number.")] = 0,
    archived: Annotated[bool, typer.Option("--archived", help="Look in archived segments as well.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Find entries, oldest first. What is given must hold together."""
    query = query_of(event, actor, subject, since, until, text)

    async def operation(output: Output) -> None:
        from hitl_contract.audit_chain import entry_to_json
        from hitl_mcp.cli.local_application import open_application

        require_initialized(home_directory())
        async with open_application() as application:
            found: list[AuditEntry] = []
            if archived:
                directory = application.settings.segments_directory
                found = await asyncio.to_thread(_archived_entries, directory, query, after, limit)
            if len(found) < limit:
                found += await application.audit.search(query, after=after, limit=limit - len(found))
        output.result(
            {"entries": [entry_to_json(entry) for entry in found]},  # pyright: ignore[reportArgumentType]
            lambda console: show_entries(console, found),
        )

    run_command(operation, json_output=json_output)


def archive(
    older_than_days: Annotated[int, typer.Option("--older-than-days", min=0, help="What to archive.")],
    json_output: JsonOption = False,
) -> None:
    """Move old entries out of the database into sealed files. Nothing is lost, and verification goes on.

    What still proves an approval stays. Keep the files: verification misses each that is gone.
    """

    async def operation(output: Output) -> None:
        from hitl_contract.audit_segments import segment_to_json
        from hitl_mcp.cli.local_application import open_application

        require_initialized(home_directory())
        async with open_application() as application:
            before = application.clock.now() - timedelta(days=older_than_days)
            records = await application.archive.archive(before=before, actor="operator")
            directory = application.settings.segments_directory
        entries = sum(record.entries for record in records)
        output.result(
            {"segments": [segment_to_json(record) for record in records], "entries": entries},
            lambda console: console.print(
                f"{entries} entries archived in {len(records)} segments in {directory}", soft_wrap=True
            ),
        )

    run_command(operation, json_output=json_output)


def new_witness(
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit log.")],
    json_output: JsonOption = False,
) -> None:
    """Begin a new witness file, after a restored backup or a lost file. The old one is kept beside it.

    From then on nothing compares with what the old one remembers. The audit log says that this was done.
    """

    async def operation(output: Output) -> None:
        from hitl_mcp.cli.local_application import open_application

        require_initialized(home_directory())
        async with open_application() as application:
            entry = await application.audit.start_new_witness(actor="operator", reason=reason)
        output.result(
            {"sequence": entry.sequence, "kept": entry.details["kept"]},
            lambda console: console.print(f"A new witness begins at entry {entry.sequence}."),
        )

    run_command(operation, json_output=json_output)


def verifier(
    to: Annotated[Path, typer.Option("--output", metavar="FILE", help="Such as verify-audit.pyz.")],
) -> None:
    """Write the verifier as one file, for somebody who has Python and nothing of this program."""

    async def operation(output: Output) -> None:
        from server_kit.audit_verifier.single_file import write

        write(to)
        output.show(f"Run: python {to} --export FILE --jwks FILE [--segments DIRECTORY]")

    run_command(operation)


def show_entries(console: "Console", entries: "list[AuditEntry]") -> None:
    """One line for each entry."""
    import json

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


def _archived_entries(directory: Path, query: "AuditQuery", after: int, limit: int) -> "list[AuditEntry]":
    from hitl_contract.audit_chain import entry_from_json
    from server_kit.audit_verifier.encoding import json_object, lines_of

    found: list[AuditEntry] = []
    for path in sorted(directory.glob("*.jsonl.gz")):
        for line in lines_of(path):
            document = json_object(line)
            if document is None or "type" in document:
                continue
            entry = entry_from_json(document)
            if entry.sequence > after and query.holds(entry):
                found.append(entry)
                if len(found) == limit:
                    return found
    return found


def _moment(option: str, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise CommandFailed(
            f"{option} {value!r} is not a time.",
            exit_code=ExitCode.USAGE,
            hint="Write it as 2026-11-21 or 2026-11-21T09:30:00+01:00.",
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
