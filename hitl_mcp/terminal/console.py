"""The console that everything for people is printed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def open_console(*, stderr: bool = False) -> Console:
    """A console on which text is only ever text: no markup, no emoji codes, no automatic highlighting."""
    # rich costs 0.1 s to import, which `hitl mcp` and `--json` need not pay.
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
