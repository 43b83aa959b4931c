"""`hitl people attention`: how attentively people decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hitl_mcp.cli.absences import people_commands
from hitl_mcp.cli.administration import PersonOption, signed_in
from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command

if TYPE_CHECKING:
    from rich.console import Console

    from hitl_mcp.attention.measure import ReadingSpeed
    from hitl_mcp.attention.records import AttentionReport


@people_commands.command("attention")
def attention(
    person: Annotated[
        str | None, typer.Argument(metavar="[PERSON]", help="Whose; everybody's when left out.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, metavar="N", help="How far back.")] = 30,
    acting: PersonOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show how fast people decide, how much they approve, and which drills they caught.

    Administrators and auditors see everybody's, everybody else their own.
    """

    async def operation(output: Output) -> None:
        from hitl_mcp.attention.reading import attention_to_json, shown_to

        async with signed_in(output, acting) as (application, reader):
            try:
                shown = shown_to(reader, person)
            except PermissionError:
                raise CommandFailed(
                    f"{reader.person_id} is no administrator and no auditor.",
                    exit_code=ExitCode.IDENTITY,
                    hint="Leave PERSON out to see your own.",
                ) from None
            report = await application.attention.report(days=days, person=shown)
            speed = application.attention.speed
        output.result(attention_to_json(report, speed), lambda console: _print(console, report, speed))

    run_command(operation, json_output=json_output)


def _print(console: Console, report: AttentionReport, speed: ReadingSpeed) -> None:
    from rich.table import Table

    from hitl_contract.display import safe_text
    from hitl_mcp.attention.rubber_stamping import stamping

    if not report.people:
        console.print(f"Nothing was decided in the last {report.days} days.")
        return
    table = Table(
        "person", "decided", "approved", "p50", "p90", "too fast", "drills", box=None, pad_edge=False
    )
    for each in report.people:
        table.add_row(
            safe_text(each.person),
            str(each.decided),
            _share(each.approved_share),
            _time(each.seconds_p50),
            _time(each.seconds_p90),
            _share(each.hasty_share),
            f"{each.canaries_caught} caught, {each.canaries_missed} missed",
        )
    console.print(table)
    for each in report.people:
        if (why := stamping(each)) is not None:
            console.print(f"{safe_text(each.person)} {why}", markup=False, soft_wrap=True)
    console.print(
        f"Last {report.days} days. Too fast: within {speed.least_seconds:g} s, or faster than "
        f"{speed.words_per_minute} words a minute.",
        soft_wrap=True,
    )


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.0f} s"
