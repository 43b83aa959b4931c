"""Which release this is."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


# Read from the installed files, which takes milliseconds, and asked for by whoever watches an executor.
@cache
def package_version() -> str:
    """The installed release; "0" where the sources run without having been installed."""
    try:
        return version("hitl-mcp")
    except PackageNotFoundError:
        return "0"
