"""Questions at the terminal that leave the event loop free, so that what waits goes on waiting."""

from __future__ import annotations

import asyncio
import sys

from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.output import Output


async def ask_yes_or_no(question: str) -> bool:
    """Asks until the answer is y or n.

    Raises:
        CommandFailed: the terminal was closed.
    """
    while True:
        sys.stderr.write(f"{question} [y/n]: ")
        sys.stderr.flush()
        line = await _read_line()
        if not line:
            raise CommandFailed("There was no answer.")
        match line.strip().lower():
            case "y" | "yes":
                return True
            case "n" | "no":
                return False
            case _:
                continue


async def confirm_or_fail(output: Output, question: str, *, yes: bool) -> None:
    """Asks for confirmation, unless it was given with --yes.

    Raises:
        CommandFailed: the answer is no, or nobody can be asked.
    """
    if yes:
        return
    if not output.interactive:
        raise CommandFailed(
            "Nothing was done: there is no terminal to ask for confirmation at.",
            exit_code=ExitCode.USAGE,
            hint="Give --yes to go on without being asked.",
        )
    if not await ask_yes_or_no(question):
        raise CommandFailed("Nothing was done.")


async def _read_line() -> str:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    # A terminal hands over whole lines, so once it is readable a line can be read without waiting.
    loop.add_reader(sys.stdin, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline()
