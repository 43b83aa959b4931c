"""The command line's table of contents."""

from __future__ import annotations

import typer

from hitl_mcp.cli.connect import connect


def build_application() -> typer.Typer:
    """The whole command line. Command modules import only what is quick; each loads the rest when it runs."""
    application = typer.Typer(
        name="hitl",
        help="Human approval for AI agents.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Exit codes: 0 done, 1 refused, 2 usage or settings, 3 environment, 4 identity not proven.",
    )
    application.command("connect")(connect)

    @application.callback()
    def root() -> None:  # pyright: ignore[reportUnusedFunction]
        """Human approval for AI agents."""

    return application


def main() -> None:
    """Console script `hitl`."""
    build_application()()
