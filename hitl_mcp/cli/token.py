"""`hitl token inspect`: what a capability token says, and whether it holds."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command

if TYPE_CHECKING:
    from pydantic import JsonValue
    from rich.console import Console

token_commands = typer.Typer(no_args_is_help=True, help="Look at capability tokens.", rich_markup_mode=None)


@token_commands.callback()
def token() -> None:
    """Look at capability tokens."""


@token_commands.command("inspect")
def inspect_token(
    source: Annotated[
        str, typer.Argument(metavar="TOKEN", help="The token, or - to read it from standard input.")
    ] = "-",
    jwks: Annotated[
        Path | None,
        typer.Option("--jwks", help="The issuer's public keys, to check the signature."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Show what a token says, and with --jwks whether it holds. It is not spent."""

    async def operation(output: Output) -> None:
        from hitl_contract.canonical import base64url_decode, parse_strict_json
        from hitl_contract.errors import CanonicalizationError

        text = (sys.stdin.read(100_000) if source == "-" else source).strip()
        parts = text.split(".")
        try:
            if len(parts) != 3:
                raise ValueError
            header, claims = (
                cast("JsonValue", parse_strict_json(base64url_decode(part))) for part in parts[:2]
            )
        except (ValueError, CanonicalizationError):
            raise CommandFailed(
                "This is not a token: three parts of base64url with dots between are expected.",
                exit_code=ExitCode.USAGE,
                hint="Copy the whole capability_token that check_status gave.",
            ) from None
        verdict, detail = _verify(text, claims, jwks)
        output.result(
            {"header": header, "claims": claims, "verified": verdict, "detail": detail},
            lambda console: _show(console, header, claims, verdict, detail),
        )
        if verdict is False:
            raise typer.Exit(ExitCode.REFUSED)

    run_command(operation, json_output=json_output)


def _verify(text: str, claims: object, jwks: Path | None) -> tuple[bool | None, str]:
    from hitl_contract.canonical import parse_strict_json
    from hitl_contract.capability import MalformedClaims, claims_from_json
    from hitl_contract.errors import CanonicalizationError, TokenRefused
    from hitl_contract.keys import PublicKeys
    from hitl_contract.verify import VerificationPolicy, verify_token

    if jwks is None:
        return None, "not checked: give --jwks FILE with the issuer's keys (its /.well-known/jwks.json)"
    try:
        keys = PublicKeys.from_jwks(parse_strict_json(jwks.read_bytes()))
    except (OSError, CanonicalizationError) as error:
        raise CommandFailed(f"Cannot read keys from {jwks}: {error}", exit_code=ExitCode.USAGE) from error
    try:
        said = claims_from_json(claims)
        # Issuer and audience are the token's own here: this asks whether it holds, not whether it is for us.
        policy = VerificationPolicy(said.issuer, said.audience)
        verify_token(text, keys=keys, policy=policy, now=datetime.now(UTC).timestamp())
    except (TokenRefused, MalformedClaims) as error:
        return False, str(error)
    return True, "the signature is by one of these keys, and the token is within its time"


def _show(
    console: "Console", header: "JsonValue", claims: "JsonValue", verdict: bool | None, detail: str
) -> None:

    from rich.table import Table
    from rich.text import Text

    from hitl_contract.display import safe_text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for document in (header, claims):
        for name, value in document.items() if isinstance(document, dict) else ():
            table.add_row(Text(safe_text(name)), Text(safe_text(_words(name, value, json.dumps(value)))))
    style = {True: "green", False: "bold red", None: "yellow"}[verdict]
    word = {True: "holds", False: "does not hold", None: "unverified"}[verdict]
    table.add_row("verdict", Text(f"{word}: {safe_text(detail)}", style=style))
    console.print(table)


def _words(name: str, value: "JsonValue", document: str) -> str:
    if name in {"iat", "nbf", "exp"} and isinstance(value, int) and 0 <= value < 253402300800:
        return f"{value} ({datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S UTC})"
    return value if isinstance(value, str) else document
