"""`hitl agents`: the keys under which agents ask."""

from typing import TYPE_CHECKING, Annotated

import typer

from hitl_mcp.cli.administration import AdminOption, administered
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import run_command

if TYPE_CHECKING:
    from pydantic import JsonValue

    from hitl_mcp.approvals.terms import AgentFacts

agent_commands = typer.Typer(no_args_is_help=True, help="Agents and their API keys.", rich_markup_mode=None)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The agent's name.")]


RolesOption = Annotated[
    list[str] | None, typer.Option("--role", metavar="ROLE", help="A role that rules know; repeatable.")
]
EnvironmentOption = Annotated[
    str | None, typer.Option("--environment", metavar="NAME", help="Where it works, such as production.")
]
TrustedOption = Annotated[
    bool | None, typer.Option("--trusted/--untrusted", help="Whether rules may trust it more than others.")
]
OwnerOption = Annotated[
    str | None, typer.Option("--owner", metavar="NAME", help="The person responsible for it.")
]


@agent_commands.command("add")
def add(
    name: NameArgument,
    roles: RolesOption = None,
    environment: EnvironmentOption = None,
    trusted: TrustedOption = None,
    owner: OwnerOption = None,
    acting: AdminOption = None,
    json_output: JsonOption = False,
) -> None:
    """Make an API key for a new agent. It is printed once and stored nowhere.

    To state something that rules may go by takes an administrator's password; a plain key does not.
    """

    async def operation(output: Output) -> None:
        from hitl_mcp.cli.local_application import open_application
        from hitl_mcp.identity.agent_facts import StatedFacts

        if roles is None and environment is None and trusted is None and owner is None:
            require_initialized(home_directory())
            async with open_application() as application:
                key = await application.agents.add(name)
        else:
            facts = StatedFacts(tuple(roles or ()), environment or "default", bool(trusted), owner)
            async with administered(output, acting) as (application, actor):
                key = await application.agents.add(name, facts, actor=actor)
        output.result(
            {"agent": name, "api_key": key},
            lambda console: console.print(
                f"{key}\n\nThis is the only time it is shown. {name} sends it as `Authorization: Bearer …`.",
                soft_wrap=True,
            ),
        )

    run_command(operation, json_output=json_output)


@agent_commands.command("set")
def set_facts(
    name: NameArgument,
    roles: RolesOption = None,
    environment: EnvironmentOption = None,
    trusted: TrustedOption = None,
    owner: OwnerOption = None,
    acting: AdminOption = None,
    json_output: JsonOption = False,
) -> None:
    """Change what rules may know of an agent; what is not named stays. Takes an administrator's password."""

    async def operation(output: Output) -> None:
        from hitl_mcp.identity.agent_facts import StatedFacts

        async with administered(output, acting) as (application, actor):
            known = await application.agents.facts(name)
            stated = StatedFacts(
                known.roles if roles is None else tuple(roles),
                environment or known.environment,
                known.trusted if trusted is None else trusted,
                known.owner if owner is None else owner,
            )
            facts = await application.agents.set_facts(name, stated, actor=actor)
        output.result(
            {"agent": name, **_document(facts)},
            lambda console: console.print(f"{name}: {_words(facts)}", soft_wrap=True),
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
        table = Table("agent", "since", "state", "known to rules", box=None, pad_edge=False)
        for agent in agents:
            table.add_row(
                agent.name,
                f"{agent.created_at:%Y-%m-%d}",
                "revoked" if agent.revoked_at else "active",
                _words(agent.facts),
            )
        output.result(
            {
                "agents": [
                    {
                        "agent": agent.name,
                        "created_at": agent.created_at.isoformat(),
                        "revoked_at": agent.revoked_at.isoformat() if agent.revoked_at else None,
                        **_document(agent.facts),
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


def _document(facts: "AgentFacts") -> "dict[str, JsonValue]":
    return {
        "roles": list(facts.roles),
        "environment": facts.environment,
        "trusted": facts.trusted,
        "owner": facts.owner,
    }


def _words(facts: "AgentFacts") -> str:
    parts = [*facts.roles, facts.environment, "trusted" if facts.trusted else "untrusted"]
    return ", ".join([*parts, *([f"owner {facts.owner}"] if facts.owner else [])])
