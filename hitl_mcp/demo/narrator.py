"""How the story is told: readable in 80 columns, without colour where there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from hitl_contract.display import safe_text


class Narrator:
    """Prints chapters, what was done, what held, and keeps the list of what held for the end."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._held: list[str] = []
        encoding = (console.encoding or "ascii").lower()
        self._mark = "✓" if encoding.startswith("utf") else "+"

    @property
    def held(self) -> tuple[str, ...]:
        return tuple(self._held)

    def opening(self) -> None:
        text = Text.assemble(
            ("An agent asks, a person decides, the program runs once.\n", "bold"),
            ("Two servers, real HTTP, a real MCP client, a real sandbox. Nothing is simulated.", "dim"),
        )
        self.console.print(Padding(text, (1, 0, 0, 0), expand=False))

    def chapter(self, number: int, title: str) -> None:
        self.console.print()
        self.console.print(Rule(Text(f" {number}  {title} ", "bold cyan"), align="left", style="dim cyan"))

    def say(self, *parts: str | tuple[str, str]) -> None:
        self.console.print(Padding(Text.assemble(*parts), (0, 0, 0, 2), expand=False))

    def show(self, renderable: RenderableType) -> None:
        self.console.print(renderable)

    def output(self, line: str) -> None:
        """A line that the program printed; its bytes move no cursor."""
        self.console.print(Text.assemble(("    │ ", "dim"), safe_text(line)))

    def held_true(self, step: str, detail: str = "") -> None:
        """A claim of the story was shown to hold."""
        self._held.append(step)
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=1)
        grid.add_column(overflow="fold")
        body = Text(step)
        if detail:
            body.append(f"\n{safe_text(detail, multiline=True)}", "dim")
        grid.add_row(Text(self._mark, "bold green"), body)
        self.console.print(Padding(grid, (0, 0, 0, 2), expand=False))

    @contextmanager
    def waiting(self, text: str) -> Generator[Callable[[str], None]]:
        """A line that changes while something is waited for; without a terminal it is printed once."""
        if not self.console.is_terminal:
            self.say((text, "dim"))
            yield lambda _text: None
            return
        with self.console.status(Text(text, "dim")) as status:
            yield lambda changed: status.update(Text(changed, "dim"))

    def closing(self, seconds: float) -> None:
        self.console.print()
        self.console.print(Rule(style="dim green"))
        self.console.print(
            Text.assemble(
                (f"{self._mark} All {len(self._held)} held", "bold green"),
                (f" in {seconds:.0f} s. Nothing was left behind.", "dim"),
            )
        )
        next_steps = Table.grid(padding=(0, 2))
        next_steps.add_row(Text("hitl init", "bold"), Text("set up your own", "dim"))
        next_steps.add_row(Text("hitl up", "bold"), Text("run both servers", "dim"))
        next_steps.add_row(Text("hitl connect claude-code", "bold"), Text("let your agent ask", "dim"))
        self.console.print(Padding(next_steps, (1, 0, 1, 2), expand=False))
