"""An approver's terminal: what is pending, one request whole, and the decisions."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_mcp.cli.conditions import parse_conditions
from hitl_mcp.cli.credentials import ask_credentials
from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.options import JsonOption, PersonOption, RequestArgument, YesOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.questions import confirm_or_fail
from hitl_mcp.cli.running import run_command
from hitl_mcp.running_server import find_running_server

if TYPE_CHECKING:
    from hitl_mcp.cli.desk import BatchLine, Desk
    from hitl_mcp.terminal.cards import RequestCard


def pending(person: PersonOption = None, json_output: JsonOption = False) -> None:
    """List what waits for a decision."""

    async def operation(output: Output) -> None:
        from hitl_mcp.terminal.cards import render_list

        async with open_desk(output, person) as desk:
            cards = await desk.pending()
        output.result(
            {"requests": [card.to_json() for card in cards]},
            lambda console: console.print(
                render_list(cards, now=datetime.now(UTC)) if cards else "Nothing is waiting."
            ),
        )

    run_command(operation, json_output=json_output)


def show(request_id: RequestArgument, person: PersonOption = None, json_output: JsonOption = False) -> None:
    """Show one request whole: what would run, why, and what was decided."""

    async def operation(output: Output) -> None:
        async with open_desk(output, person) as desk:
            _print_card(output, await desk.read(request_id))

    run_command(operation, json_output=json_output)


def approve(
    request_ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="The requests' ids, from `hitl pending`.")
    ],
    condition: Annotated[
        list[str] | None,
        typer.Option(
            "--condition", metavar="NAME", help="A condition that the rule offers; may be repeated."
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=VALUE", help="A tighter limit, as limits.wall_seconds=5."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="REASON", help="Why, where the rule asks for it.")
    ] = None,
    person: PersonOption = None,
    yes: YesOption = False,
    json_output: JsonOption = False,
) -> None:
    """Approve requests, after showing all of each. The agent gets a token for one run of exactly that."""

    async def operation(output: Output) -> None:
        conditions = parse_conditions(condition or [], limit or [])
        if conditions is not None and len(request_ids) > 1:
            raise CommandFailed("Conditions are attached to one request at a time.", exit_code=ExitCode.USAGE)
        async with open_desk(output, person) as desk:
            if len(request_ids) > 1:
                await _approve_several(output, desk, request_ids, reason=reason, yes=yes)
                return
            card = await card_to_decide(output, desk, request_ids[0])
            await confirm_or_fail(output, "Approve?", yes=yes)
            digest = card.action_digest
            print_ending(
                output,
                await desk.approve(
                    request_ids[0], action_digest=digest, reason=reason, conditions=conditions
                ),
            )

    run_command(operation, json_output=json_output)


async def _approve_several(
    output: Output, desk: "Desk", request_ids: list[str], *, reason: str | None, yes: bool
) -> None:
    digests: dict[str, str] = {}
    for request_id in request_ids:
        digests[request_id] = (await card_to_decide(output, desk, request_id)).action_digest
    await confirm_or_fail(output, f"Approve these {len(digests)}?", yes=yes)
    results = await desk.approve_several(digests, reason=reason)
    output.result(
        {
            "results": [
                {
                    "request_id": each.request_id,
                    "decided": each.card is not None,
                    "approval": None if each.card is None else each.card.to_json(),
                    "refusal": each.refusal,
                }
                for each in results
            ]
        },
        lambda console: console.print("\n".join(map(_outcome, results)), highlight=False, markup=False),
    )
    refused = sum(each.card is None for each in results)
    if refused:
        raise CommandFailed(f"{refused} of {len(results)} were not approved.")


def _outcome(result: "BatchLine") -> str:
    if result.card is None:
        return f"{result.request_id}: refused. {result.refusal}"
    card = result.card
    if card.drill is not None:
        return f"{result.request_id}: {card.drill}"
    return f"{result.request_id}: {card.status.value}, {card.received_approvals} of {card.required_approvals}"


def deny(
    request_id: RequestArgument,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="REASON", help="Why; the agent reads it.")
    ] = None,
    person: PersonOption = None,
    yes: YesOption = False,
    json_output: JsonOption = False,
) -> None:
    """Deny a request, after showing all of it. The agent is told the reason."""

    async def operation(output: Output) -> None:
        async with open_desk(output, person) as desk:
            card = await card_to_decide(output, desk, request_id)
            await confirm_or_fail(output, "Deny?", yes=yes)
            digest = card.action_digest
            print_ending(output, await desk.deny(request_id, action_digest=digest, reason=reason))

    run_command(operation, json_output=json_output)


def cancel(
    request_id: RequestArgument,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="REASON", help="Why; the agent reads it.")
    ] = None,
    person: PersonOption = None,
    json_output: JsonOption = False,
) -> None:
    """Withdraw a pending request without deciding it."""

    async def operation(output: Output) -> None:
        async with open_desk(output, person) as desk:
            print_ending(output, await desk.cancel(request_id, reason=reason))

    run_command(operation, json_output=json_output)


@asynccontextmanager
async def open_desk(output: Output, person: str | None) -> AsyncGenerator["Desk"]:
    """The desk of a person who has given their password: over the server that is up, or on the database."""
    home = home_directory()
    require_initialized(home)
    credentials = ask_credentials(output, home, person)
    server = find_running_server(home)
    if server is not None:
        # The desk that is not used is not loaded: one brings httpx2, the other the whole server.
        from hitl_mcp.cli.remote_desk import open_remote_desk

        async with open_remote_desk(server.address, credentials) as desk:
            yield desk
        return
    from hitl_mcp.cli.local_application import open_application
    from hitl_mcp.cli.local_desk import LocalDesk

    async with open_application() as application:
        record = await application.people.authenticate(credentials.person, credentials.password)
        yield LocalDesk(application, record)


async def card_to_decide(output: Output, desk: "Desk", request_id: str) -> "RequestCard":
    """The request, shown whole. Raises CommandFailed when it has ended."""
    from hitl_mcp.approvals.models import RequestStatus
    from hitl_mcp.terminal.cards import render_card

    card = await desk.read(request_id)
    output.show(render_card(card, now=datetime.now(UTC)))
    if card.status is not RequestStatus.PENDING:
        raise CommandFailed(f"Request {card.request_id} has ended: {card.status.value}. Nothing changed.")
    return card


def _print_card(output: Output, card: "RequestCard") -> None:
    from hitl_mcp.terminal.cards import render_card

    output.result(card.to_json(), lambda console: console.print(render_card(card, now=datetime.now(UTC))))


def print_ending(output: Output, card: "RequestCard") -> None:
    """One line on how the request stands afterwards."""
    more = ""
    if card.status.value == "PENDING":
        more = f", {card.received_approvals} of {card.required_approvals} approvals"
    if card.drill is not None:
        more = f". {card.drill}"
    output.result(
        card.to_json(),
        lambda console: console.print(
            f"{card.request_id}: {card.status.value}{more}", markup=False, soft_wrap=True
        ),
    )
