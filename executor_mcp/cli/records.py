"""`agents`, `tokens`, `audit` and `receipt`: the executor's records."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, cast

import typer
from pydantic import JsonValue

from executor_mcp.assembly import AUDIT_CHAIN
from executor_mcp.cli.running import CommandFailed, ExitCode, JsonOption, Output, run_command
from executor_mcp.receipt_key import load_or_create_receipt_key
from executor_mcp.receipts import verify_receipt
from executor_mcp.settings import Settings
from executor_mcp.wiring import open_ledger, prepare_home
from hitl_contract.audit_verification import ChainReport
from hitl_contract.errors import InvalidKeySet
from hitl_contract.keys import PublicKeys
from server_kit.audit_export import verify_export

agents = typer.Typer(no_args_is_help=True, help="Agents that hold an executor API key.")
tokens = typer.Typer(no_args_is_help=True, help="Capability tokens that were not used yet.")
audit = typer.Typer(no_args_is_help=True, help="The append-only log of everything that was run or refused.")
receipt = typer.Typer(no_args_is_help=True, help="Signed receipts of executions.")

KeysOption = Annotated[
    Path | None,
    typer.Option("--keys", help="The executor's public keys (a JWKS file); this home's by default."),
]


@agents.command("add")
def add_agent(name: str, json_output: JsonOption = False) -> None:
    """Make an API key for an agent. It is shown once."""

    async def operation(settings: Settings, output: Output) -> None:
        async with open_ledger(settings) as ledger:
            key = await ledger.agents.add(name)
        output.result(
            {"agent": name, "api_key": key},
            f"API key of [bold]{name}[/], shown this once:",
            key,
            "The agent sends it as Authorization: Bearer <api key>.",
        )

    run_command(operation, json_output=json_output)


@agents.command("list")
def list_agents(json_output: JsonOption = False) -> None:
    """List agents."""

    async def operation(settings: Settings, output: Output) -> None:
        async with open_ledger(settings) as ledger:
            found = await ledger.agents.list()
        document: list[JsonValue] = [
            {
                "agent": one.name,
                "created_at": one.created_at.isoformat(),
                "revoked_at": _time(one.revoked_at) or None,
            }
            for one in found
        ]
        rows = [(one.name, one.created_at.isoformat(), _time(one.revoked_at)) for one in found]
        output.table(document, ("Agent", "Created", "Revoked"), rows)

    run_command(operation, json_output=json_output)


@agents.command("revoke")
def revoke_agent(name: str, json_output: JsonOption = False) -> None:
    """Make an agent's API key worthless."""

    async def operation(settings: Settings, output: Output) -> None:
        async with open_ledger(settings) as ledger:
            await ledger.agents.revoke(name)
        output.result({"agent": name, "revoked": True}, f"The API key of [bold]{name}[/] is revoked.")

    run_command(operation, json_output=json_output)


@tokens.command("revoke")
def revoke_token(
    token_id: Annotated[str, typer.Argument(help="The token's jti, as hitl token inspect shows it.")],
    reason: Annotated[str, typer.Option(help="Why, for the audit log.")],
    json_output: JsonOption = False,
) -> None:
    """Refuse a token from now on, whoever presents it."""

    async def operation(settings: Settings, output: Output) -> None:
        async with open_ledger(settings) as ledger:
            await ledger.revocations.revoke(token_id, reason=reason)
        output.result({"token_id": token_id, "revoked": True}, "The token is refused from now on.")

    run_command(operation, json_output=json_output)


@audit.command("verify")
def verify_audit(
    file: Annotated[Path | None, typer.Option(help="An export to check, instead of the database.")] = None,
    keys: KeysOption = None,
    json_output: JsonOption = False,
) -> None:
    """Check every entry, its place in the chain, and every signed checkpoint.

    Exit 1 when something is wrong.
    """

    async def operation(settings: Settings, output: Output) -> None:
        if file is None:
            async with open_ledger(settings) as ledger:
                report = await ledger.audit.verify(_keys(settings, keys))
        else:
            report = verify_export(_documents(file), chain=AUDIT_CHAIN, keys=_keys(settings, keys))
        _show(report, output)
        if not report.intact:
            raise CommandFailed("the audit log is not intact; see the problems above")

    run_command(operation, json_output=json_output)


@audit.command("export")
def export_audit(
    to: Annotated[Path | None, typer.Option("--output", help="The file to write; stdout by default.")] = None,
) -> None:
    """Write entries and checkpoints as JSON Lines, which `audit verify --file` checks anywhere."""

    async def operation(settings: Settings, output: Output) -> None:
        async with open_ledger(settings) as ledger:
            await ledger.audit.checkpoint()
            stream = sys.stdout if to is None else to.open("w", encoding="utf-8")
            count = 0
            try:
                async for document in ledger.audit.export():
                    stream.write(json.dumps(document, ensure_ascii=True) + "\n")
                    count += 1
            finally:
                stream.flush()
                if to is not None:
                    stream.close()
        if to is not None:
            output.note(f"{count} lines written to {to}")

    run_command(operation, json_output=False)


@receipt.command("verify")
def check_receipt(
    file: Annotated[Path, typer.Argument(help="A file that holds the receipt; - for stdin.")],
    keys: KeysOption = None,
    json_output: JsonOption = False,
) -> None:
    """Check a receipt with public keys alone and show what it vouches for."""

    async def operation(settings: Settings, output: Output) -> None:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        found = verify_receipt(text.strip(), _keys(settings, keys))
        document = cast("dict[str, JsonValue]", vars(found))
        output.table(document, ("Field", "Value"), [(name, str(value)) for name, value in document.items()])

    run_command(operation, json_output=json_output)


def _keys(settings: Settings, file: Path | None) -> PublicKeys:
    if file is None:
        prepare_home(settings)
        return load_or_create_receipt_key(settings.keys_directory).public_keys()
    try:
        return PublicKeys.from_jwks(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, InvalidKeySet) as error:
        raise CommandFailed(f"{file} is not a key set: {error}", exit_code=ExitCode.USAGE) from None


def _documents(file: Path) -> list[dict[str, object]]:
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise CommandFailed(f"{file} is not an export: it is not JSON Lines") from error


def _show(report: ChainReport, output: Output) -> None:
    document: JsonValue = {
        "intact": report.intact,
        "entries": report.entries,
        "checkpoints": report.checkpoints,
        "unsigned_tail": report.unsigned_tail,
        "problems": [
            {"kind": problem.kind, "sequence": problem.sequence, "message": problem.message}
            for problem in report.problems
        ],
    }
    verdict = "[bold green]intact[/]" if report.intact else "[bold red]NOT intact[/]"
    output.result(
        document,
        f"Audit log {verdict}: {report.entries} entries, {report.checkpoints} signed checkpoints, "
        f"{report.unsigned_tail} entries after the last one.",
        *(f"entry {problem.sequence}: {problem.kind}: {problem.message}" for problem in report.problems),
    )


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()
