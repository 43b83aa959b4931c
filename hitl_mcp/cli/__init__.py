"""The `hitl` command: one module per family of commands, `main` is the console script."""

from __future__ import annotations

import sys


def main() -> None:
    """Console script `hitl`."""
    if sys.argv[1:2] == ["hook"]:
        # Started for every call that an agent makes: it does without the command line's own libraries.
        from hitl_mcp.hook.command import main as answer_hook

        sys.exit(answer_hook(sys.argv[2:], sys.stdout))
    from hitl_mcp.cli.application import main as run

    run()


__all__ = ["main"]
