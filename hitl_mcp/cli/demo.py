"""`hitl demo`: the whole story in one terminal."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.questions import ask_yes_or_no
from hitl_mcp.cli.running import run_command

if TYPE_CHECKING:
    from hitl_mcp.terminal.cards import RequestCard

SandboxChoice = Literal["auto", "docker", "gvisor", "bubblewrap"]


def demo(
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Decide by script, with the person's credential.")
    ] = False,
    sandbox: Annotated[SandboxChoice, typer.Option(help="Where the program runs.")] = "auto",
    json_output: JsonOption = False,
) -> None:
    """Show it all: ask, decide, run once, and every refusal, on servers that are gone afterwards.

    Exit code 0 only when every single thing shown held.
    """

    async def operation(output: Output) -> None:
        # The story brings an MCP client along, which takes a second to import.
        from hitl_mcp.demo.failures import Declined, StepFailed
        from hitl_mcp.demo.running import run_demonstration

        if not yes and not output.interactive:
            raise CommandFailed(
                "There is no terminal at which you could decide.",
                exit_code=ExitCode.USAGE,
                hint="Run `hitl demo --yes` to let a script decide with the person's credential.",
            )

        async def decide(_card: "RequestCard") -> bool:
            if yes:
                output.show("  --yes: a script decides, with the person's credential, over the REST API.")
                return True
            return await ask_yes_or_no("  Approve this program?")

        try:
            held = await run_demonstration(output.console, decide, sandbox=sandbox)
        except StepFailed as failure:
            raise CommandFailed(str(failure), exit_code=ExitCode.REFUSED) from failure
        except Declined as declined:
            output.show(f"\n{declined}")
            raise typer.Exit(ExitCode.REFUSED) from None
        if output.json_output:
            output.result({"held": list(held)}, lambda _console: None)

    run_command(operation, json_output=json_output)
