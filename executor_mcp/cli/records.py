"""`agents`, `tokens` and `receipt`: the executor's records."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, cast

import typer
from pydantic import JsonValue

from executor_mcp.cli.public_keys import KeysOption, public_keys
from executor_mcp.cli.running import JsonOption, Output, run_command
from executor_mcp.receipts import verify_receipt
from executor_mcp.settings import Settings
from executor_mcp.wiring import open_ledger

agents = typer.Typer(no_args_is_help=True, help="Agents that hold an executor API key.")
tokens = typer.Typer(no_args_is_help=True, help="Capability tokens that were not used yet.")
receipt = typer.Typer(no_args_is_help=True, help="Signed receipts of executions.")


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


@receipt.command("verify")
def check_receipt(
    file: Annotated[Path, typer.Argument(help="A file that holds the receipt; - for stdin.")],
    keys: KeysOption = None,
    json_output: JsonOption = False,
) -> None:
    """Check a receipt with public keys alone and show what it vouches for."""

    async def operation(settings: Settings, output: Output) -> None:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        found = verify_receipt(text.strip(), public_keys(settings, keys))
        document = cast("dict[str, JsonValue]", vars(found))
        output.table(document, ("Field", "Value"), [(name, str(value)) for name, value in document.items()])

    run_command(operation, json_output=json_output)


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()
