"""`hitl policy`: whether rules can be used, what they say about an action, and what others would say."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.policy_use import use
from hitl_mcp.cli.running import run_command

policy_commands = typer.Typer(no_args_is_help=True, help="Rules: check, test, explain, simulate, use.")
policy_commands.command("use")(use)

RulesOption = Annotated[
    Path | None,
    typer.Option(
        "--rules", metavar="DIRECTORY", help="Directory of the rules. Default: those of this server."
    ),
]
LEVELS = "low, medium, high or critical"


@policy_commands.command()
def check(
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIRECTORY]", help="Default: the rules of this server.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Check rules: their form, their conditions, and the people and groups that they name."""

    async def operation(output: Output) -> None:
        from hitl_mcp.cli.policy_rules import known_people, load, rules_directory
        from hitl_mcp.policies.errors import PolicyRefused

        place = rules_directory(directory)
        known = await known_people()
        try:
            rules = load(place, known)
        except PolicyRefused as error:
            problems = [str(problem) for problem in error.problems]
            output.result(
                {"usable": False, "directory": str(place), "problems": list(problems)},
                lambda console: console.print("\n".join(problems), markup=False, soft_wrap=True),
            )
            raise typer.Exit(ExitCode.REFUSED) from None
        people = (
            "" if known.are_known else "\nNobody may approve here yet, so groups and people were not checked."
        )
        output.result(
            {
                "usable": True,
                "directory": str(place),
                "rules": [rule.name for rule in rules.rules],
                "people_checked": known.are_known,
            },
            lambda console: console.print(
                f"{len(rules.rules)} rules in {place} can be used.{people}", markup=False, soft_wrap=True
            ),
        )

    run_command(operation, json_output=json_output)


@policy_commands.command("test")
def run_cases(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A table of cases in YAML.")],
    rules: RulesOption = None,
    json_output: JsonOption = False,
) -> None:
    """Run a table of cases. Exit code 1 when one of them does not come out as it says."""

    async def operation(output: Output) -> None:
        from hitl_mcp.cli.policy_output import case_document, case_table
        from hitl_mcp.cli.policy_rules import load, local_assessor, rules_directory
        from hitl_mcp.policies.cases import read_cases, run_case
        from hitl_mcp.policies.counting import NothingCounted
        from hitl_mcp.policies.evaluator import Evaluator
        from hitl_mcp.policies.people import KnownPeople

        table = read_cases(_read(file), str(file))
        beside = file.parent / table.rules if table.rules is not None else None
        given = load(rules_directory(rules or beside), KnownPeople())
        evaluator, assessor = Evaluator(NothingCounted()), local_assessor()
        results = [await run_case(case, given, evaluator, assessor) for case in table.cases]
        failed = sum(bool(result.problems) for result in results)
        output.result(
            {"passed": len(results) - failed, "failed": failed, "cases": [case_document(r) for r in results]},
            lambda console: console.print(case_table(results)),
        )
        if failed:
            raise typer.Exit(ExitCode.REFUSED)

    run_command(operation, json_output=json_output)


@policy_commands.command()
def explain(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="The action as JSON or YAML; - reads standard input.")
    ] = "-",
    agent: Annotated[str, typer.Option(metavar="NAME", help="Who asks.")] = "agent",
    role: Annotated[list[str] | None, typer.Option(metavar="ROLE", help="A role of the agent.")] = None,
    environment: Annotated[str, typer.Option(metavar="NAME", help="Where the agent works.")] = "default",
    trusted: Annotated[bool, typer.Option("--trusted", help="The agent is trusted.")] = False,
    risk: Annotated[str | None, typer.Option(metavar="LEVEL", help=f"{LEVELS}. Default: assessed.")] = None,
    at: Annotated[datetime | None, typer.Option(help="When, in UTC. Default: now.")] = None,
    rules: RulesOption = None,
    json_output: JsonOption = False,
) -> None:
    """Which rule would apply to an action, and why. Nothing is asked and nothing is kept."""

    async def operation(output: Output) -> None:
        from hitl_mcp.approvals.terms import AgentFacts
        from hitl_mcp.cli.policy_output import ruling_document, ruling_text
        from hitl_mcp.cli.policy_rules import explained, read_action

        facts = AgentFacts(agent, tuple(role or ()), environment, trusted)
        ruling = await explained(read_action(_read(file)), facts, level=risk, at=at, directory=rules)
        output.result(
            ruling_document(ruling),
            lambda console: console.print(ruling_text(ruling), markup=False, soft_wrap=True),
        )

    run_command(operation, json_output=json_output)


@policy_commands.command()
def simulate(
    rules: RulesOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many of the latest requests.")] = 1000,
    json_output: JsonOption = False,
) -> None:
    """Replay recorded requests against rules: what would have been allowed, asked or denied instead."""

    async def operation(output: Output) -> None:
        from hitl_mcp.cli.policy_output import simulation_document, simulation_view
        from hitl_mcp.cli.policy_rules import simulated

        simulation = await simulated(rules, limit)
        output.result(
            simulation_document(simulation), lambda console: console.print(simulation_view(simulation))
        )

    run_command(operation, json_output=json_output)


def _read(file: Path | str) -> str:
    if str(file) == "-":
        return typer.get_text_stream("stdin").read()
    try:
        return Path(file).read_text("utf-8")
    except UnicodeDecodeError:
        raise CommandFailed(f"{file} is not UTF-8.", exit_code=ExitCode.USAGE) from None
