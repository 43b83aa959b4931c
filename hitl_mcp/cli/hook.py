"""`hitl hook`, as the command line lists it. It never gets here: see `hitl_mcp.cli.main`."""

import sys

from hitl_mcp.hook.command import main


def hook() -> None:
    """Answer Claude Code's PreToolUse and PermissionRequest hooks (see `hitl hook --help`)."""
    sys.exit(main(sys.argv[2:], sys.stdout))
