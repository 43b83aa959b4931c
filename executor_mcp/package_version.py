"""Which release this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """The installed release; "0" where the sources run without having been installed."""
    try:
        return version("hitl-mcp")
    except PackageNotFoundError:
        return "0"
