"""Puts the verifier into one file that runs with Python alone, on any machine."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

_FIRST_LINE: Final = b"#!/usr/bin/env python3\n"
_MAIN: Final = "import sys\n\nfrom server_kit.audit_verifier.command import main\n\nsys.exit(main())\n"
# The earliest time that a zip file can name: the same source makes the same file, byte for byte.
_TIME: Final = (1980, 1, 1, 0, 0, 0)


def write(path: Path) -> None:
    """Write a zip application of the readable sources; `unzip` shows them. Raises OSError."""
    package = Path(__file__).parent
    sources = {f"server_kit/audit_verifier/{found.name}": found for found in sorted(package.glob("*.py"))}
    with path.open("wb") as file:
        file.write(_FIRST_LINE)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in {"__main__.py": _MAIN, "server_kit/__init__.py": ""}.items():
                archive.writestr(zipfile.ZipInfo(name, _TIME), text)
            for name, source in sources.items():
                archive.writestr(zipfile.ZipInfo(name, _TIME), source.read_text("utf-8"))
