"""Conditions as they are written on a command line."""

from __future__ import annotations

from hitl_mcp.approvals.models import Conditions, LimitValue
from hitl_mcp.cli.failures import CommandFailed, ExitCode


def parse_conditions(offered: list[str], limits: list[str]) -> Conditions | None:
    """The conditions of `--condition NAME` and `--limit NAME=VALUE`; None without any.

    Raises:
        CommandFailed: a limit is not written like one.
    """
    if not offered and not limits:
        return None
    found: dict[str, LimitValue] = {}
    for limit in limits:
        name, separator, value = limit.partition("=")
        if not separator or not name or not value:
            raise CommandFailed(
                f"--limit {limit!r} is not NAME=VALUE.",
                exit_code=ExitCode.USAGE,
                hint="For example --limit limits.wall_seconds=5 or --limit network.mode=none.",
            )
        found[name] = tuple(value.split(",")) if name == "network.domains" else _value(value)
    return Conditions(tuple(offered), found)


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
