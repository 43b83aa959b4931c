"""The public keys that the executor's receipts and audit log are checked with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from executor_mcp.cli.running import CommandFailed, ExitCode
from executor_mcp.receipt_key import load_or_create_receipt_key
from executor_mcp.settings import Settings
from executor_mcp.wiring import prepare_home
from hitl_contract.errors import InvalidKeySet
from hitl_contract.keys import PublicKeys

KeysOption = Annotated[
    Path | None,
    typer.Option("--keys", help="The executor's public keys (a JWKS file); this home's by default."),
]


def public_keys(settings: Settings, file: Path | None) -> PublicKeys:
    """Those in the file, or this home's. Raises CommandFailed."""
    if file is None:
        prepare_home(settings)
        return load_or_create_receipt_key(settings.keys_directory).public_keys()
    try:
        return PublicKeys.from_jwks(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, InvalidKeySet) as error:
        raise CommandFailed(f"{file} is not a key set: {error}", exit_code=ExitCode.USAGE) from None
