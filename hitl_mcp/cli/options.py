"""Options that several commands share, so that they are spelled and explained in one way."""

# No `from __future__ import annotations` here or in the command modules: typer reads them at run time.
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
PersonOption = Annotated[
    str | None,
    typer.Option(
        "--person",
        metavar="NAME",
        help="Who you are. Left out: the only person known, or you are asked. The password is asked for, "
        "or taken from HITL_PASSWORD.",
    ),
]
RequestArgument = Annotated[str, typer.Argument(metavar="ID", help="The request's id, from `hitl pending`.")]
