"""What an approver says besides yes and no: answers to agents' questions, and questions to agents."""

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
    from pydantic import JsonValue

    from hitl_mcp.terminal.cards import RequestCard

_LARGEST_FILE = 64 * 1024


def answer(
    request_id: RequestArgument,
    value: Annotated[
        str | None,
        typer.Argument(metavar="[VALUE]", help="The answer: a choice or its number, text, or JSON."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json-file", metavar="FILE", help="Read the answer as JSON from a file.")
    ] = None,
    person: PersonOption = None,
    yes: YesOption = False,
    json_output: JsonOption = False,
) -> None:
    """Answer an agent's question, after showing all of it. The first answer ends it; it approves nothing."""
    if (value is None) is (json_file is None):
        raise typer.BadParameter("give the answer as VALUE, or with --json-file FILE")

    async def operation(output: Output) -> None:
        async with open_desk(output, person) as desk:
            card = await card_to_decide(output, desk, request_id)
            given = _read(card, value, json_file)
            await confirm_or_fail(output, "Answer?", yes=yes)
            print_ending(
                output, await desk.answer(request_id, action_digest=card.action_digest, answer=given)
            )

    run_command(operation, json_output=json_output)


def ask(
    request_id: RequestArgument,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know.")],
    person: PersonOption = None,
    json_output: JsonOption = False,
) -> None:
    """Ask an agent about its pending request. It stays pending, and its time goes on."""

    async def operation(output: Output) -> None:
        async with open_desk(output, person) as desk:
            card = await desk.ask(request_id, question)
        output.result(
            card.to_json(),
            lambda console: console.print(
                f"{card.request_id}: asked. `hitl show` has the answer once given."
            ),
        )

    run_command(operation, json_output=json_output)


def _read(card: "RequestCard", value: str | None, json_file: Path | None) -> "JsonValue":
    from hitl_contract.canonical import parse_strict_json
    from hitl_contract.errors import CanonicalizationError
    from hitl_mcp.approvals.human_questions import is_question, question_of
    from hitl_mcp.interface.answer_forms import read_typed

    if not is_question(card.action):
        raise CommandFailed(
            f"Request {card.request_id} asks for approval: use `hitl approve` or `hitl deny`."
        )
    if value is not None:
        return read_typed(question_of(card.action), value)
    try:
        assert json_file is not None
        content = json_file.read_bytes()
        if len(content) > _LARGEST_FILE:
            raise CommandFailed(
                f"{json_file} is larger than {_LARGEST_FILE} bytes.", exit_code=ExitCode.USAGE
            )
        return parse_strict_json(content)  # type: ignore[return-value]
    except (OSError, CanonicalizationError) as error:
        raise CommandFailed(
            f"{json_file} cannot be read as JSON: {error}", exit_code=ExitCode.USAGE
        ) from None
