"""`hitl doctor`: what is set up, what is reachable, what is missing, and how to put it right."""

from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import typer

from hitl_mcp.cli.failures import ExitCode
from hitl_mcp.cli.home import home_directory
from hitl_mcp.cli.options import JsonOption
from hitl_mcp.cli.output import Output
from hitl_mcp.cli.running import as_failure, run_command
from hitl_mcp.running_server import find_running_server

if TYPE_CHECKING:
    from rich.console import Console

    from hitl_mcp.application import Application
    from hitl_mcp.settings import Settings
    from server_kit.audit_courier import WitnessState

State = Literal["ok", "warning", "problem"]
_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `remedy` says what to do where it is not ok."""

    subject: str
    state: State
    detail: str
    remedy: str | None = None


def doctor(json_output: JsonOption = False) -> None:
    """Check the set-up. Exit code 1 when something has to be put right."""

    async def operation(output: Output) -> None:
        findings = [finding async for finding in _examine()]
        healthy = all(finding.state != "problem" for finding in findings)
        output.result(
            {"healthy": healthy, "findings": [asdict(finding) for finding in findings]},
            lambda console: _print(console, findings),
        )
        if not healthy:
            raise typer.Exit(ExitCode.REFUSED)

    run_command(operation, json_output=json_output)


async def _examine() -> AsyncGenerator[Finding]:
    home = home_directory()
    if not (home / "keys").is_dir():
        yield Finding("home", "problem", f"{home} has not been set up", "Run: hitl init")
        return
    try:
        from hitl_mcp.cli.local_application import open_application, quiet_settings

        settings = quiet_settings()
    except Exception as error:
        yield _failed("settings", error, "Correct the setting; configs/hitl.yaml explains each of them.")
        return
    yield Finding("settings", "ok", f"home {settings.home}, database {_database(settings)}")
    mode = home.stat().st_mode & 0o777
    if mode & 0o077:
        yield Finding(
            "home", "warning", f"{home} has mode {mode:04o}: others may look in", f"Run: chmod 700 {home}"
        )
    else:
        yield Finding("home", "ok", f"{home}, private to its owner")
    try:
        async with open_application() as application:
            async for finding in _examine_application(application):
                yield finding
    except Exception as error:
        yield _failed("database and keys", error, None)
    async for finding in _examine_servers(settings):
        yield finding


async def _examine_application(application: "Application") -> AsyncGenerator[Finding]:
    yield Finding("keys", "ok", "readable by this user alone")
    yield Finding("database", "ok", "answers, schema up to date")
    from hitl_mcp.cli.audit import verify_own_log

    report = await verify_own_log(application)
    if report.intact:
        yield Finding("audit log", "ok", f"{report.entries} entries, intact")
    else:
        yield Finding("audit log", "problem", report.problems[0].message, "Run: hitl audit verify")
    witness = await application.audit.reach_witness()
    if witness is not None:
        required = application.settings.audit.witness.required
        yield _witness(witness, required=required)
    yield await _rules(application)
    people = [person for person in await application.people.list() if person.suspended_at is None]
    approvers = [person for person in people if "approver" in person.roles]
    if approvers:
        yield Finding("people", "ok", f"{len(approvers)} may approve")
    else:
        yield Finding("people", "problem", "nobody may approve", "Run: hitl people add NAME")
    async for finding in _attention(application):
        yield finding
    agents = [agent for agent in await application.agents.list() if agent.revoked_at is None]
    if agents:
        yield Finding("agents", "ok", ", ".join(agent.name for agent in agents))
    else:
        yield Finding("agents", "warning", "no agent has a key yet", "Run: hitl agents add NAME")
    for notifier in application.notifiers:
        result = await notifier.check()
        state: State = "ok" if result.ok else "problem"
        yield Finding(f"channel {notifier.channel}", state, result.detail)
        await notifier.aclose()
    for letter in await application.dispatcher.undelivered(10):
        subject = f"undelivered to {letter.channel}"
        yield Finding(subject, "warning", f"{letter.request_id}: {letter.error}", "Decide it on its page")


def _witness(state: "WitnessState", *, required: bool) -> Finding:
    if state.problem is None:
        return Finding("audit witness", "ok", "answers, and vouches for every signed entry")
    detail = f"lacks {state.behind} entries: {state.problem}"
    if state.disputed:
        return Finding(
            "audit witness", "problem", f"remembers another history; {detail}", "hitl audit verify"
        )
    remedy = "Set it right: acts are refused without it" if required else "Look at audit.witness.url"
    return Finding("audit witness", "problem" if required else "warning", detail, remedy)


async def _rules(application: "Application") -> Finding:
    state = await application.rules.state()
    if state.problem is not None:
        return Finding("rules", "problem", state.problem, "Run: hitl policy check")
    if state.rules == 0:
        return Finding("rules", "ok", "none: one approver is asked about everything")
    return Finding("rules", "ok", f"{state.rules} rules in {state.directory}")


async def _attention(application: "Application") -> AsyncGenerator[Finding]:
    from hitl_mcp.attention.rubber_stamping import stamping

    report = await application.attention.report()
    found = [(each.person, why) for each in report.people if (why := stamping(each)) is not None]
    if not found and report.people:
        yield Finding("attention", "ok", f"nobody seems to approve without looking in {report.days} days")
    for person, why in found:
        remedy = "Ask fewer questions (rules, grants), or a longer look; hitl people attention"
        yield Finding("attention", "warning", f"{person} {why}", remedy)


async def _examine_servers(settings: "Settings") -> AsyncGenerator[Finding]:
    running = find_running_server(settings.home)
    if running is None:
        yield Finding("approval server", "warning", "is not up", "Run: hitl up")
    else:
        yield await _reachable("approval server", running.address)
    yield await _reachable("executor", settings.executor_url)


async def _reachable(subject: str, url: str) -> Finding:
    import httpx2

    try:
        async with httpx2.AsyncClient(timeout=5.0) as http:
            answer = await http.get(f"{url}/ready")
    except httpx2.HTTPError as error:
        return Finding(subject, "warning", f"{url} does not answer ({type(error).__name__})", "Run: hitl up")
    if answer.is_success:
        return Finding(subject, "ok", f"ready at {url}")
    return Finding(subject, "problem", f"{url}/ready answers {answer.status_code}", f"Look at its log: {url}")


def _failed(subject: str, error: Exception, remedy: str | None) -> Finding:
    failure = as_failure(error)
    return Finding(subject, "problem", failure.message, remedy or failure.hint)


def _database(settings: "Settings") -> str:
    return settings.effective_database_url.partition(":")[0].partition("+")[0]


def _print(console: "Console", findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        detail = Text(finding.detail)
        if finding.remedy and finding.state != "ok":
            detail.append(f"\n{finding.remedy}", "bold")
        table.add_row(Text(finding.state, _STYLES[finding.state]), finding.subject, detail)
    console.print(table)
