"""Puts the commands together."""

from __future__ import annotations

from typing import Annotated

import typer

from executor_mcp.cli.audit import audit
from executor_mcp.cli.executions import executions
from executor_mcp.cli.machine import doctor, image
from executor_mcp.cli.packages import packages
from executor_mcp.cli.records import agents, receipt, tokens
from executor_mcp.cli.serving import mcp, serve
from executor_mcp.package_version import package_version
from server_kit.garbage import collect_rarely
from server_kit.process_memory import keep_memory_private

application = typer.Typer(
    name="hitl-executor",
    help="Runs programs that a person has approved, each exactly once, in a sandbox.",
    no_args_is_help=True,
    add_completion=False,
    # Tracebacks show local variables, and those hold tokens and code.
    pretty_exceptions_enable=False,
)
application.command()(serve)
application.command()(mcp)
application.command()(doctor)
application.add_typer(executions, name="executions")
application.add_typer(agents, name="agents")
application.add_typer(tokens, name="tokens")
application.add_typer(audit, name="audit")
application.add_typer(receipt, name="receipt")
application.add_typer(image, name="image")
application.add_typer(packages, name="packages")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(package_version())
        raise typer.Exit


@application.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """The console script."""
    collect_rarely()
    # It holds the receipt key, and the programs and inputs of everybody.
    keep_memory_private()
    application()
