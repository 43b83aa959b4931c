"""`hitl policy use`: puts a set of rules of this distribution in the place of those in force."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from hitl_mcp.cli.administration import AdminOption, administered
from hitl_mcp.cli.configuration import rules_files
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command


def use(
    rules: Annotated[
        Literal["default", "ask-everything"],
        typer.Argument(
            metavar="default|ask-everything",
            help="Rules that allow harmless work and ask about the rest, or one that asks about everything.",
        ),
    ],
    acting: AdminOption = None,
    json_output: JsonOption = False,
) -> None:
    """Use rules of this distribution from now on; those from before are kept beside them."""

    async def operation(output: Output) -> None:
        async with administered(output, acting) as (application, _):
            directory = application.settings.policies_directory
            kept = replace_rules(directory, rules_files(rules))
            await application.rules.load()
        output.result(
            {"rules": rules, "directory": str(directory), "kept": None if kept is None else str(kept)},
            lambda console: console.print(
                f"{directory} has the rules {rules} now; a running server uses them from its next request on."
                + ("" if kept is None else f"\nThe rules from before are in {kept}."),
                markup=False,
                soft_wrap=True,
            ),
        )

    run_command(operation, json_output=json_output)


def replace_rules(directory: Path, files: dict[str, str]) -> Path | None:
    """Write `files` as the whole of `directory`; return where what was there is now, None for nothing."""
    made = directory.with_name(f".{directory.name}.new")
    made.mkdir(mode=0o700, parents=True)
    for name, text in files.items():
        (made / name).write_text(text, "utf-8")
        (made / name).chmod(0o600)
    kept = None
    if directory.exists():
        kept = directory.with_name(f"{directory.name}.{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        directory.rename(kept)
    made.rename(directory)
    return kept
