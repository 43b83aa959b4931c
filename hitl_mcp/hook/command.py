"""`hitl hook`: one event in, one answer out, and never an end that lets a call through by mistake."""

from __future__ import annotations

import json
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn, TextIO

from hitl_mcp.hook.asking import ServerDown, ServerRefused, ask_server
from hitl_mcp.hook.events import (
    MAX_EVENT_BYTES,
    EventRefused,
    ToolEvent,
    Verdict,
    answer_of,
    denied_edit,
    read_event,
)
from hitl_mcp.running_server import find_running_server

WAIT_SECONDS: Final = 540
BLOCKED: Final = 2
_NOT_ASKED: Final = "This call was not made, because the approval server could not be asked: "
_WHAT_TO_DO: Final = (
    " Do not work around it. Tell the person you work for: `hitl up` starts the server, `hitl doctor` says "
    "what is missing."
)


def main(arguments: Sequence[str], output: TextIO) -> int:
    """Answer the event on standard input to `output`. Returns the exit status."""
    signal.signal(signal.SIGTERM, _blocked_by_signal)
    try:
        options = _parser().parse_args(arguments)
        raw = sys.stdin.buffer.read(MAX_EVENT_BYTES + 1)
        event = read_event(raw)
    except EventRefused as refused:
        reason = (
            f"This call was not made: {refused}. Tell the person you work for to check the hook's settings."
        )
        return (
            _block(reason)
            if refused.event is None
            else _print(output, refused.event, Verdict("deny", reason))
        )
    except KeyboardInterrupt:
        return _block("This call was not made: the hook was interrupted.")
    except Exception as error:
        return _block(f"This call was not made: the hook could not read it ({type(error).__name__}).")
    try:
        return _print(output, event.event, _verdict(event, options))
    except BaseException as error:
        # An unexpected end would let the call through. Its message may hold anything: only its kind is told.
        if isinstance(error, SystemExit) and error.code == BLOCKED:
            raise
        return _block(f"This call was not made: the hook failed ({type(error).__name__}).{_WHAT_TO_DO}")


def _verdict(event: ToolEvent, options: Namespace) -> Verdict:
    try:
        verdict = _ask(event, options)
        return denied_edit(verdict) if options.deny_edited else verdict
    except ServerDown as down:
        if options.ask_when_down:
            return Verdict("ask", f"No approval was asked for, because {down}. Decide yourself.")
        return Verdict("deny", f"{_NOT_ASKED}{down}.{_WHAT_TO_DO}")
    except ServerRefused as refused:
        return Verdict("deny", f"{_NOT_ASKED}{refused}.{_WHAT_TO_DO}")


def _ask(event: ToolEvent, options: Namespace) -> Verdict:
    home = Path(os.environ.get("HITL_HOME") or "~/.hitl").expanduser().absolute()
    url, api_key = options.url or os.environ.get("HITL_URL"), os.environ.get("HITL_API_KEY")
    agent = options.agent or os.environ.get("HITL_AGENT")
    if api_key:
        running = None if url else find_running_server(home)
        address = url or (running.address if running else None)
        if address is None:
            raise ServerDown(f"no server is up on {home}")
        return ask_server(address, api_key, event, wait_seconds=options.wait)
    if url:
        raise ServerRefused("there is no key; set HITL_API_KEY to the agent's key, from `hitl agents add`")
    if not agent:
        raise ServerRefused("nobody says which agent asks; set HITL_API_KEY, or give --agent NAME")
    if not (home / "keys").is_dir():
        raise ServerDown(f"{home} has not been set up")
    # The whole server, which takes a second to load: only where there is no key to ask a running one with.
    from hitl_mcp.hook.local import ask_at_home

    return ask_at_home(agent, event, wait_seconds=options.wait)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="hitl hook",
        description="Answers Claude Code's PreToolUse and PermissionRequest hooks from the event on standard "
        "input. HITL_API_KEY is the agent's key.",
    )
    parser.add_argument("--url", help="the approval server; default HITL_URL, or the one up on HITL_HOME")
    parser.add_argument("--agent", metavar="NAME", help="without a key: whose call it is; default HITL_AGENT")
    parser.add_argument(
        "--wait", type=int, default=WAIT_SECONDS, metavar="SECONDS", help=f"default {WAIT_SECONDS}"
    )
    parser.add_argument(
        "--deny-edited",
        action="store_true",
        help="deny a call that a person edited, and say what they want instead. For where other PreToolUse "
        "hooks run besides: Claude Code then makes the call as it was",
    )
    parser.add_argument(
        "--ask-when-down",
        action="store_true",
        help="leave the decision to Claude Code's own dialog when no server answers, instead of denying",
    )
    return parser


def _print(output: TextIO, event: str, verdict: Verdict) -> int:
    answer = answer_of(event, verdict)
    if answer:
        output.write(json.dumps(answer) + "\n")
        output.flush()
    return 0


def _block(reason: str) -> int:
    sys.stderr.write(reason + "\n")
    return BLOCKED


def _blocked_by_signal(_number: int, _frame: object) -> NoReturn:
    os.write(2, b"This call was not made: the hook was stopped before anybody decided.\n")
    os._exit(BLOCKED)
