"""Fenced code blocks of the documentation, with the marker that says how each one is checked.

A block is executed or parsed unless an HTML comment on the line above says otherwise:

    <!-- snippet: agent client, ... -->   needs an agent program; shell syntax and our commands are checked
    <!-- snippet: elsewhere, ... -->      is for another machine or needs a service; checked in the same way
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.repository import ROOT

FENCE = re.compile(
    r"(?:^<!-- snippet: (?P<marker>[a-z ]+)(?:,[^>]*)? -->\n\n?)?^```(?P<language>\w+)\n(?P<body>.*?)^```$",
    re.M | re.S,
)
MARKERS = {None, "agent client", "elsewhere"}


@dataclass(frozen=True)
class Snippet:
    """One fenced block: where it stands, what language it is in and how it wants to be checked."""

    path: Path
    line: int
    language: str
    marker: str | None
    body: str

    @property
    def name(self) -> str:
        return f"{self.path.relative_to(ROOT).as_posix()}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The shell lines of the block, continued lines joined, without comments and empty ones."""
        joined = self.body.replace("\\\n", " ")
        return [
            line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")
        ]


def documentation_pages() -> list[Path]:
    return [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]


def snippets(*languages: str) -> list[Snippet]:
    """Every fenced block in one of the languages, in reading order."""
    found: list[Snippet] = []
    for path in documentation_pages():
        text = path.read_text()
        found += [
            Snippet(
                path=path,
                line=text.count("\n", 0, match.start("body")),
                language=match["language"],
                marker=match["marker"],
                body=match["body"],
            )
            for match in FENCE.finditer(text)
            if match["language"] in languages
        ]
    return found
