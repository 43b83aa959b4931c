"""The command line's table of contents."""

from __future__ import annotations

import io
import sys

import typer

from hitl_mcp.cli.agents import agent_commands
from hitl_mcp.cli.attention import people_commands
from hitl_mcp.cli.audit import audit_commands
from hitl_mcp.cli.changes import edit, revoke
from hitl_mcp.cli.connect import connect
from hitl_mcp.cli.delegations import delegation_commands
from hitl_mcp.cli.demo import demo
from hitl_mcp.cli.dialogue import answer, ask
from hitl_mcp.cli.doctor import doctor
from hitl_mcp.cli.grants import grant_commands
from hitl_mcp.cli.groups import group_commands
from hitl_mcp.cli.hook import hook
from hitl_mcp.cli.init import init
from hitl_mcp.cli.keys import key_commands
from hitl_mcp.cli.policy import policy_commands
from hitl_mcp.cli.proxy import proxy
from hitl_mcp.cli.requests import approve, cancel, deny, pending, show
from hitl_mcp.cli.serve import mcp, serve
from hitl_mcp.cli.token import token_commands
from hitl_mcp.cli.up import up
from server_kit.garbage import collect_rarely
from server_kit.process_memory import keep_memory_private


def build_application() -> typer.Typer:
    """The whole command line. Command modules import only what is quick; each loads the rest when it runs."""
    application = typer.Typer(
        name="hitl",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Exit codes: 0 done, 1 refused, 2 usage or settings, 3 environment, 4 identity not proven.",
    )

    @application.callback()
    def root() -> None:  # pyright: ignore[reportUnusedFunction]
        """Human approval for AI agents."""

    for command in (
        demo,
        init,
        up,
        serve,
        mcp,
        connect,
        hook,
        proxy,
        pending,
        show,
        approve,
        deny,
        cancel,
        edit,
        revoke,
        answer,
        ask,
        doctor,
    ):
        application.command(command.__name__)(command)
    for name, family in (
        ("agents", agent_commands),
        ("people", people_commands),
        ("groups", group_commands),
        ("delegations", delegation_commands),
        ("grants", grant_commands),
        ("audit", audit_commands),
        ("keys", key_commands),
        ("policy", policy_commands),
        ("token", token_commands),
    ):
        application.add_typer(family, name=name)
    return application


def main() -> None:
    """Console script `hitl`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a character gets its escape, not a traceback.
            stream.reconfigure(errors="backslashreplace")
    collect_rarely()
    # Every command may come to hold the server's keys or a passphrase.
    keep_memory_private()
    build_application()()
