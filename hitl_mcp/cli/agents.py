"""`hitl agents`: the keys under which agents ask."""

from typing import Annotated

import typer

from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command

agent_commands = typer.Typer(no_args_is_help=True, help="Agents and their API keys.", rich_markup_mode=None)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The agent's name.")]


@agent_commands.command("add")
def add(name: NameArgument, json_output: JsonOption = False) -> None:
    """Make an API key for a new agent. It is printed once and stored nowhere."""

    async def operation(output: Output) -> None:
        from hitl_mcp.cli.local_application import open_application

        require_initialized(home_directory())
        async with open_application() as application:
            key = await application.agents.add(name)
        output.result(
            {"agent": name, "api_key": key},
            lambda console: console.print(
                f"{key}\n\nThis is the only time it is shown. {name} sends it as `Authorization: Bearer …`.",
                soft_wrap=True,
            ),
        )

    run_command(operation, json_output=json_output)


@agent_commands.command("list")
def list_agents(json_output: JsonOption = False) -> None:
    """List the agents."""

    async def operation(output: Output) -> None:
        from rich.table import Table

        from hitl_mcp.cli.local_application import open_application

        require_initialized(home_directory())
        async with open_application() as application:
            agents = await application.agents.list()
        table = Table("agent", "since", "state", box=None, pad_edge=False)
        for agent in agents:
            table.add_row(
                agent.name, f"{agent.created_at:%Y-%m-%d}", "revoked" if agent.revoked_at else "active"
            )
        output.result(
            {
                "agents": [
                    {
                        "agent": agent.name,
                        "created_at": agent.created_at.isoformat(),
                        "revoked_at": agent.revoked_at.isoformat() if agent.revoked_at else None,
                    }
                    for agent in agents
                ]
            },
            lambda console: console.print(
                table if agents else "There is no agent yet. Next: hitl agents add NAME"
            ),
        )

    run_command(operation, json_output=json_output)


@agent_commands.command("revoke")
def revoke(name: NameArgument, json_output: JsonOption = False) -> None:
    """Make an agent's key worthless at once."""

    async def operation(output: Output) -> None:
        from hitl_mcp.cli.local_application import open_application

        require_initialized(home_directory())
        async with open_application() as application:
            await application.agents.revoke(name)
        output.result(
            {"agent": name, "revoked": True},
            lambda console: console.print(f"The key of {name} is worthless now."),
        )

    run_command(operation, json_output=json_output)
