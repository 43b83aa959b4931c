"""`executions`: what runs and what ran, for the operator of this executor."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import typer

from executor_mcp.assembly import Ledger
from executor_mcp.cli.running import CommandFailed, JsonOption, Output, run_command
from executor_mcp.interface.views import execution_answer, execution_summary
from executor_mcp.models import Execution
from executor_mcp.settings import Settings
from executor_mcp.wiring import open_ledger

executions = typer.Typer(no_args_is_help=True, help="Executions: what runs now, and what ran.")

_CANCEL_PATIENCE_SECONDS: Final = 10.0
_OPERATOR: Final = "operator"

IdentifierArgument = Annotated[str, typer.Argument(help="An execution id (exe_ and 26 characters).")]


@executions.command("list")
def list_executions(
    active: Annotated[bool, typer.Option("--active", help="Only what has not ended.")] = False,
    agent: Annotated[str | None, typer.Option(help="Only what ran for this agent.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="The newest so many.")] = 50,
    json_output: JsonOption = False,
) -> None:
    """List executions, newest first."""

    async def operation(settings: Settings, output: Output) -> None:
        async with open_ledger(settings) as ledger:
            found = await ledger.executions.list_newest(agent=agent, active=active, limit=limit)
        columns = ("Execution", "Status", "Agent", "Language", "Sandbox", "Created", "Seconds")
        output.table(
            [execution_summary(one).model_dump(mode="json") | {"agent": one.agent} for one in found],
            columns,
            [_row(one) for one in found],
        )

    run_command(operation, json_output=json_output)


@executions.command("show")
def show_execution(execution_id: IdentifierArgument, json_output: JsonOption = False) -> None:
    """Show one execution with what it put out."""

    async def operation(settings: Settings, output: Output) -> None:
        async with open_ledger(settings) as ledger:
            _print(await _found(ledger, execution_id), output)

    run_command(operation, json_output=json_output)


@executions.command("cancel")
def cancel_execution(execution_id: IdentifierArgument, json_output: JsonOption = False) -> None:
    """Stop a program, whichever process runs it, and wait until it is dead."""

    async def operation(settings: Settings, output: Output) -> None:
        async with open_ledger(settings) as ledger:
            await _found(ledger, execution_id)
            key = ledger.executions.change_key(execution_id)
            async with ledger.database.changes.watch(key) as watch:
                await ledger.cancel_requests.leave(execution_id, actor=_OPERATOR)
                deadline = asyncio.get_running_loop().time() + _CANCEL_PATIENCE_SECONDS
                while not (execution := await _found(ledger, execution_id)).status.is_final:
                    remaining = deadline - asyncio.get_running_loop().time()
                    if remaining <= 0:
                        raise CommandFailed(
                            f"{execution_id} was told to stop and has not ended within "
                            f"{_CANCEL_PATIENCE_SECONDS:g} s: is the executor that runs it alive? "
                            "(hitl-executor doctor)"
                        )
                    await watch.wait(remaining)
            _print(execution, output)

    run_command(operation, json_output=json_output)


async def _found(ledger: Ledger, execution_id: str) -> Execution:
    execution = await ledger.executions.get(execution_id)
    if execution is None:
        raise CommandFailed(f"there is no execution {execution_id[:64]!a}; see hitl-executor executions list")
    return execution


def _print(execution: Execution, output: Output) -> None:
    document = execution_answer(execution, None).model_dump(mode="json")
    output.table(document, ("Field", "Value"), [(name, str(value)) for name, value in document.items()])


def _row(execution: Execution) -> tuple[str, ...]:
    duration = execution.duration_seconds
    return (
        execution.execution_id,
        execution.status.value,
        execution.agent,
        execution.language,
        execution.sandbox.backend,
        execution.created_at.isoformat(timespec="seconds"),
        "" if duration is None else f"{duration:.3f}",
    )
