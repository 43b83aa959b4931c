"""`doctor` and `image build`: what this machine has, and how to give it what it lacks."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import httpx2
import typer
from pydantic import JsonValue

from executor_mcp.cli import live
from executor_mcp.cli.running import CommandFailed, ExitCode, JsonOption, Output, run_command
from executor_mcp.errors import ExecutorError
from executor_mcp.live_report import LiveReport
from executor_mcp.network.door import EgressDoor
from executor_mcp.packages.errors import PackageNotAllowed
from executor_mcp.packages.shelf import Shelf
from executor_mcp.receipt_key import load_or_create_receipt_key
from executor_mcp.sandbox.selection import choose_sandbox
from executor_mcp.sandbox.settings import DEFAULT_IMAGE, BurstSettings
from executor_mcp.settings import Settings
from executor_mcp.status_socket import ask_executors
from executor_mcp.storage.processes import processes_directory
from executor_mcp.wiring import (
    issuer_keys,
    network_rules,
    open_ledger,
    open_migrated,
    package_offer,
    prepare_home,
    sandbox_settings,
)
from server_kit.errors import AuditUnavailable, PortInUse, ServerError
from server_kit.http_serving import Address, bind

image = typer.Typer(no_args_is_help=True, help="The sandbox image.")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `needed` is False for what a start can do without."""

    name: str
    good: bool
    detail: str
    needed: bool = True
    live: LiveReport | None = None

    def document(self) -> JsonValue:
        """For scripts."""
        shown: dict[str, JsonValue] = {
            "name": self.name,
            "ok": self.good,
            "detail": self.detail,
            "needed": self.needed,
        }
        return shown if self.live is None else {**shown, "live": self.live.model_dump(mode="json")}


def doctor(json_output: JsonOption = False) -> None:
    """Say what is configured, what is reachable, what is missing and how to fix it.

    Exit 3 when a start would fail.
    """

    async def operation(settings: Settings, output: Output) -> None:
        findings = [
            await _look("home", lambda: _home(settings)),
            await _look("receipt key", lambda: _key(settings)),
            await _look("database", lambda: _database(settings)),
            await _look("audit witness", lambda: _witness(settings), needed=settings.audit.witness.required),
            await _look("issuer keys", lambda: _issuer(settings), needed=False),
            await _look(f"sandbox {settings.sandbox}", lambda: _sandbox(settings)),
            *(
                [await _look("warm pool", lambda: _pool(settings), needed=False)]
                if settings.pool.enabled
                else []
            ),
            await _look("packages", lambda: _packages(settings), needed=False),
            await _look("network", lambda: _network(settings), needed=bool(settings.policy.network_domains)),
            *([await _look("burst tier", lambda: _burst(settings))] if settings.burst.enabled else []),
            await _look("port", lambda: _port(settings), needed=False),
            await _look("left behind", lambda: _left_behind(settings), needed=False),
        ]
        found = await ask_executors(processes_directory(settings.home))
        findings += _executors(settings, found)
        rows = [
            ("ok" if one.good else "FAILS" if one.needed else "no", one.name, one.detail) for one in findings
        ]
        output.table([one.document() for one in findings], ("", "What", "Detail"), rows)
        classes = [row for one in findings if one.live is not None for row in live.pool_rows(one.live)]
        if classes and not output.json_output:
            output.table(None, live.POOL_COLUMNS, classes)
        failing = [one.name for one in findings if one.needed and not one.good]
        if failing:
            raise CommandFailed(f"a start would fail: {', '.join(failing)}", exit_code=ExitCode.ENVIRONMENT)

    run_command(operation, json_output=json_output)


@image.command("build")
def build(
    base: Annotated[
        str | None, typer.Option(help="An image to build on; without it one is made with debootstrap.")
    ] = None,
    tag: Annotated[str, typer.Option(help="The name the image gets.")] = DEFAULT_IMAGE,
    json_output: JsonOption = False,
) -> None:
    """Build the sandbox image for docker and gvisor."""

    async def operation(settings: Settings, output: Output) -> None:
        del settings
        # Lazily: the Docker SDK is slow to import, and no other command here needs it.
        from executor_mcp.sandbox.image_building import build_image

        digest = await build_image(base, tag=tag, report=output.note)
        output.result({"image": tag, "digest": digest}, f"[bold]{tag}[/] is built: {digest}")

    run_command(operation, json_output=json_output)


async def _look(name: str, look: Callable[[], Awaitable[str]], *, needed: bool = True) -> Finding:
    try:
        return Finding(name, good=True, detail=await look(), needed=needed)
    except (ServerError, ExecutorError) as error:
        return Finding(name, good=False, detail=str(error), needed=needed)


async def _home(settings: Settings) -> str:
    prepare_home(settings)
    return str(settings.home)


async def _key(settings: Settings) -> str:
    return f"key id {load_or_create_receipt_key(settings.keys_directory).key_id}"


async def _database(settings: Settings) -> str:
    async with open_migrated(settings) as database:
        return f"{database.dialect}, schema up to date"


async def _witness(settings: Settings) -> str:
    async with open_ledger(settings) as ledger:
        state = await ledger.audit.reach_witness()
    if state is None:
        return "a file in the home alone; audit.witness.url names a second place"
    if state.problem is not None:
        raise AuditUnavailable(f"lacks {state.behind} entries: {state.problem}; look at audit.witness.url")
    return "answers, and vouches for every signed entry"


async def _issuer(settings: Settings) -> str:
    async with httpx2.AsyncClient(trust_env=False) as client:
        keys = await issuer_keys(settings, client).keys(None)
    return f"{len(keys.to_jwks()['keys'])} keys of {settings.issuer} from {settings.effective_jwks}"


async def _sandbox(settings: Settings) -> str:
    sandbox = await choose_sandbox(settings.sandbox, sandbox_settings(settings))
    try:
        description, health = await sandbox.describe(), await sandbox.check()
    finally:
        await sandbox.close()
    names = ", ".join(f"{one.language} {one.version}" for one in description.languages)
    weak = "".join(f"; weaker here: {warning}" for warning in health.warnings)
    return f"{description.backend} ({description.image_digest or 'no image'}): {names}{weak}"


async def _burst(settings: Settings) -> str:
    # Lazily: it brings the Docker SDK along, which is slow to import.
    from executor_mcp.sandbox.burst.sandbox import BurstSandbox

    sandbox = await choose_sandbox(settings.sandbox, sandbox_settings(settings))
    try:
        return await sandbox.try_one() if isinstance(sandbox, BurstSandbox) else "not for this sandbox"
    finally:
        await sandbox.close()


async def _pool(settings: Settings) -> str:
    without_burst = replace(sandbox_settings(settings), burst=BurstSettings())
    sandbox = await choose_sandbox(settings.sandbox, without_burst)
    try:
        if sandbox.name == "docker":
            # Lazily: it brings the Docker SDK along, which is slow to import.
            from executor_mcp.sandbox.pool.sandbox import PooledDockerSandbox

            if isinstance(sandbox, PooledDockerSandbox):
                bounds = f"{settings.pool.minimum} to {settings.pool.maximum} wait while it serves"
                return f"{await sandbox.try_one()}; {bounds}"
        return f"not for {sandbox.name}, which starts each sandbox for its program"
    finally:
        await sandbox.close()


async def _packages(settings: Settings) -> str:
    offer = package_offer(settings)
    found = Shelf(settings.packages_directory).packages()
    problems = [problem for package in found if (problem := offer.problem(package)) is not None]
    if problems:
        raise PackageNotAllowed("; ".join(problems))
    additions = settings.packages.additions.allowed
    if not (settings.packages.python or settings.packages.nodejs or additions):
        return "programs have none but those of the sandbox; packages.python and packages.nodejs allow some"
    names = ", ".join(sorted({str(package) for package in found})) or "none yet; hitl-executor packages add"
    by_approval = f"; by approval: {', '.join(additions[:10])}" if additions else ""
    return f"locked: {names}; vulnerabilities: {settings.packages.vulnerabilities.source}{by_approval}"


async def _network(settings: Settings) -> str:
    names = settings.policy.network_domains
    if not names:
        return "programs have none; policy.network_domains allows some names"
    network_rules(settings)
    began = time.monotonic()
    door = await EgressDoor.open((), settings.network.ports, cpu_seconds=5)
    try:
        await door.ready()
    finally:
        await door.close()
    seconds = time.monotonic() - began
    return f"a proxy was ready after {seconds:.1f} s; may be approved: {', '.join(names[:10])}"


async def _left_behind(settings: Settings) -> str:
    """Looks and removes nothing: an executor does that as it starts."""
    if settings.sandbox == "bubblewrap":
        return "nothing: bubblewrap's sandboxes end with their executor"
    # Lazily: it brings the Docker SDK along, which is slow to import.
    from executor_mcp.sandbox.docker import DockerEngine
    from executor_mcp.sandbox.docker_sandbox import DockerSandbox

    asked = sandbox_settings(settings)
    sandbox = DockerSandbox(DockerEngine(asked.engine_seconds), instance=asked.instance)
    try:
        living, left = await sandbox.census()
    finally:
        await sandbox.close()
    of_the_living = f"{living} containers of living processes"
    if not left:
        return f"nothing by dead processes; {of_the_living}"
    return (
        f"{left} containers by dead processes, which the next start with this home removes; {of_the_living}"
    )


def _executors(settings: Settings, found: Sequence[LiveReport | str]) -> list[Finding]:
    """One for each that runs here; one as well when none does."""
    if not found:
        nothing = f"none runs with the home {settings.home}; hitl-executor serve or mcp starts one"
        return [Finding("executor", good=False, detail=nothing, needed=False)]
    findings: list[Finding] = []
    for one in found:
        if isinstance(one, str):
            findings.append(Finding("executor", good=False, detail=one, needed=False))
            continue
        findings.append(Finding("executor", good=True, detail=live.summary(one), needed=False, live=one))
        if (pool := one.pool) is not None:
            line = live.pool_line(pool)
            findings.append(Finding("its warm pool", good=pool.problem is None, detail=line, needed=False))
        if (burst := one.burst) is not None:
            findings.append(Finding("its burst tier", good=True, detail=live.burst_line(burst), needed=False))
    return findings


async def _port(settings: Settings) -> str:
    address = Address(settings.http.host, settings.http.port)
    try:
        bind(address).close()
    except PortInUse as error:
        raise PortInUse(f"{error} (if that is this executor, all is well)") from None
    return f"{address.url} is free"
