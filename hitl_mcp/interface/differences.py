"""What an edit changed, line by line, of the rendering that people decide on. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from hitl_contract.action import Action
from hitl_contract.display import render_action

# Comparing costs up to the product of both: beyond this the page shows both wordings whole instead.
MAX_LINES: Final = 1500
_CONTEXT: Final = 3


@dataclass(frozen=True)
class DifferenceLine:
    """`kind` is "added", "removed", "same" or "gap"; a gap stands for lines that are alike."""

    kind: str
    text: str


def difference(before: Action, after: Action) -> tuple[DifferenceLine, ...] | None:
    """The lines in which the renderings of two actions differ; None where they are too long to compare."""
    old, new = display_lines(before), display_lines(after)
    if max(len(old), len(new)) > MAX_LINES:
        return None
    lines: list[DifferenceLine] = []
    end = 0
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_CONTEXT):
        if group[0][1] > end:
            lines.append(DifferenceLine("gap", f"{group[0][1] - end} lines alike"))
        for tag, first, last, start, stop in group:
            if tag == "equal":
                lines += [DifferenceLine("same", line) for line in old[first:last]]
                continue
            lines += [DifferenceLine("removed", line) for line in old[first:last]]
            lines += [DifferenceLine("added", line) for line in new[start:stop]]
        end = group[-1][2]
    return tuple(lines)


def display_lines(action: Action) -> list[str]:
    """The deterministic rendering, line by line."""
    return render_action(action).text.removesuffix("\n").split("\n")
