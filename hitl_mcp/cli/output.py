"""What commands print: for people through rich, for scripts as one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from hitl_mcp.terminal.console import open_console

if TYPE_CHECKING:
    from pydantic import JsonValue
    from rich.console import Console, RenderableType

    from hitl_mcp.cli.failures import CommandFailed


class Output:
    """Prints one command's result. `json_output` decides for whom."""

    def __init__(self, *, json_output: bool) -> None:
        self.json_output = json_output
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        if self._console is None:
            self._console = open_console(stderr=self.json_output)
        return self._console

    @property
    def interactive(self) -> bool:
        """Whether a question can be asked: a person sits at both ends."""
        return sys.stdin.isatty() and sys.stderr.isatty() and not self.json_output

    def result(self, document: JsonValue, render: Callable[[Console], None]) -> None:
        """The command's answer: `document` for scripts, `render` for people."""
        if self.json_output:
            sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=True) + "\n")
            sys.stdout.flush()
        else:
            render(self.console)

    def show(self, *renderables: RenderableType) -> None:
        """Something for people alone; with `--json` it goes to stderr."""
        for renderable in renderables:
            self.console.print(renderable)

    def failure(self, failure: CommandFailed) -> None:
        if self.json_output:
            document = {"error": failure.message, "hint": failure.hint, "exit_code": failure.exit_code}
            sys.stderr.write(json.dumps(document, ensure_ascii=True) + "\n")
            return
        from rich.text import Text

        console = open_console(stderr=True)
        console.print(Text.assemble(("error: ", "bold red"), failure.message), soft_wrap=True)
        if failure.hint:
            console.print(Text.assemble((" next: ", "bold"), failure.hint), soft_wrap=True)
