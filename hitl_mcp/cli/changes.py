"""An approver's terminal: changing what is asked for, and taking an approval back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.options import JsonOption, PersonOption, RequestArgument, YesOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.questions import confirm_or_fail
from hitl_mcp.cli.requests import card_to_decide, open_desk, print_ending
from hitl_mcp.cli.running import run_command

if TYPE_CHECKING:
    from hitl_contract.action import Action

ReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="REASON", help="Why; the agent reads it.")
]


def edit(
    request_id: RequestArgument,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="PATH", help="The whole action as it shall be, as JSON.")
    ] = None,
    code: Annotated[
        Path | None,
        typer.Option("--code", metavar="PATH", help="The program as it shall be; all else stays."),
    ] = None,
    reason: ReasonOption = None,
    person: PersonOption = None,
    yes: YesOption = False,
    json_output: JsonOption = False,
) -> None:
    """Change what a pending request asks for, after showing what differs. All approve it anew."""

    async def operation(output: Output) -> None:
        from hitl_contract.action import action_digest
        from hitl_mcp.interface.differences import difference
        from hitl_mcp.terminal.cards import display_lines
        from hitl_mcp.terminal.standing_rows import render_difference

        if (file is None) == (code is None):
            raise CommandFailed("Give one of --file and --code.", exit_code=ExitCode.USAGE)
        async with open_desk(output, person) as desk:
            card = await card_to_decide(output, desk, request_id)
            edited = _edited(card.action, file, code)
            lines = difference(card.action, edited)
            output.show(display_lines(edited) if lines is None else render_difference(lines))
            output.show(f"digest now  {card.action_digest}", f"new digest  {action_digest(edited)}")
            await confirm_or_fail(output, "Change it to this?", yes=yes)
            digest = card.action_digest
            print_ending(
                output, await desk.edit(request_id, action=edited, action_digest=digest, reason=reason)
            )

    run_command(operation, json_output=json_output)


def revoke(
    request_id: RequestArgument,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="REASON", help="Why, for the record.")
    ] = None,
    person: PersonOption = None,
    json_output: JsonOption = False,
) -> None:
    """Take an approval back: no token is issued any more, and executors refuse one that was."""

    async def operation(output: Output) -> None:
        async with open_desk(output, person) as desk:
            card = await desk.revoke(request_id, reason=reason)
        output.result(
            card.to_json(),
            lambda console: console.print(
                f"{card.request_id}: {card.revocation or 'revoked'}", soft_wrap=True
            ),
        )

    run_command(operation, json_output=json_output)


def _edited(action: "Action", file: Path | None, code: Path | None) -> "Action":
    """
    Raises:
        CommandFailed: the file cannot be read, or what it says is no action.
    """
    from hitl_contract.action import parse_action, parse_action_json
    from hitl_contract.errors import InvalidAction

    path = file or code
    try:
        text = path.read_text("utf-8") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{path} cannot be read: {error}", exit_code=ExitCode.USAGE) from error
    try:
        if file is not None:
            return parse_action_json(text)
        fields = action.model_dump(mode="json")
        if "code" not in fields:
            raise CommandFailed(
                f"A {action.type} has no program.", exit_code=ExitCode.USAGE, hint="Give --file."
            )
        return parse_action({**fields, "code": text})
    except InvalidAction as error:
        raise CommandFailed(f"This is no action: {error}", exit_code=ExitCode.USAGE) from error
