"""The composition root: the only place where settings become concrete classes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx2

from executor_mcp.assembly import Additions, Executor, Ledger, Parts, assemble, assemble_ledger, running
from executor_mcp.issuer_actions import ActionSource, IssuerActions, NoActionSource
from executor_mcp.issuer_keys import FetchedKeys, FileKeys, IssuerKeys
from executor_mcp.live_report import LiveReport, live_report
from executor_mcp.network.networked import NetworkedSandbox, NetworkRules
from executor_mcp.packages.installing import InstallerByLanguage
from executor_mcp.packages.keeping import PackageKeeper
from executor_mcp.packages.npm_installer import NpmInstaller
from executor_mcp.packages.offering import ShelfOffer
from executor_mcp.packages.requirements import AllowList
from executor_mcp.packages.shelf import Shelf
from executor_mcp.packages.uv_installer import UvInstaller
from executor_mcp.packages.vulnerabilities import (
    IndexMetadata,
    NoVulnerabilitySource,
    OsvApi,
    OsvSnapshot,
    SourceByEcosystem,
    VulnerabilitySource,
)
from executor_mcp.policy_keeping import PolicyReader
from executor_mcp.receipt_key import load_or_create_receipt_key
from executor_mcp.revocation_list import (
    IssuerRevocations,
    NoRevocationList,
    SignedRevocationList,
    read_file,
    read_url,
)
from executor_mcp.sandbox.errors import SandboxUnavailable
from executor_mcp.sandbox.selection import choose_sandbox
from executor_mcp.sandbox.settings import SandboxSettings
from executor_mcp.settings import Settings
from executor_mcp.status_socket import telling
from executor_mcp.steps import PassThrough, StepObserver
from executor_mcp.storage.processes import processes_directory
from executor_mcp.storage.schema import MIGRATIONS
from executor_mcp.trace_export import open_tracing
from executor_mcp.tracing import Tracing
from hitl_contract.action_code import Language
from hitl_contract.verify import VerificationPolicy
from server_kit.audit_settings import open_courier
from server_kit.clock import SystemClock
from server_kit.database.base import Database
from server_kit.database.migrations import migrate
from server_kit.database.opening import open_database
from server_kit.errors import ConfigurationError, HomeNotWritable, ServerError


class NoSandbox(ServerError):
    """No sandbox can run here, so the executor does not start."""


@asynccontextmanager
async def open_executor(
    settings: Settings, *, steps: StepObserver | None = None, policy_reader: PolicyReader | None = None
) -> AsyncGenerator[Executor]:
    """A started executor; ended, with every program, when left. `policy_reader` is for one that is to take a
    changed policy while it runs.

    Raises:
        ServerError: one line saying what stops the start.
    """
    prepare_home(settings)
    receipt_key = load_or_create_receipt_key(settings.keys_directory)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False))
        # The operator's own proxy, if there is one: this one goes to the internet, unlike the issuer's.
        outside = await stack.enter_async_context(httpx2.AsyncClient())
        keys = issuer_keys(settings, client)
        tracing = await stack.enter_async_context(_tracing(settings))
        courier = await stack.enter_async_context(open_courier(settings.audit.witness))
        database = await stack.enter_async_context(open_migrated(settings))
        try:
            chosen = await choose_sandbox(settings.sandbox, sandbox_settings(settings))
            sandbox = NetworkedSandbox(chosen, network_rules(settings))
        except SandboxUnavailable as error:
            raise NoSandbox(str(error)) from error
        executor = assemble(
            Parts(
                database=database,
                sandbox=sandbox,
                verification=VerificationPolicy(
                    issuer=settings.issuer,
                    audience=settings.audience,
                    leeway_seconds=settings.leeway_seconds,
                ),
                keys=keys,
                actions=_actions(settings, client),
                issuer_revocations=issuer_revocations(settings, keys, client),
                audit=settings.audit,
                courier=courier,
                receipt_key=receipt_key,
                state=settings.home,
                policy=settings.policy.policy(),
                read_policy=policy_reader,
                packages=package_offer(settings),
                additions=additions(settings, outside),
                steps=steps or PassThrough(),
                bounds=settings.shared_bounds,
                places=settings.max_concurrent,
                retention=settings.retention.policy(),
                tracing=tracing,
                patience_seconds=settings.max_queue_seconds,
            )
        )
        began = SystemClock().now()
        await stack.enter_async_context(running(executor))

        def report() -> LiveReport:
            return live_report(
                executor.sandbox,
                name=executor.sandbox.name,
                running=executor.service.running_here,
                places=settings.max_concurrent,
                started_at=began,
            )

        owner = executor.recovery.owner
        await stack.enter_async_context(telling(processes_directory(settings.home), owner, report))
        yield executor


@asynccontextmanager
async def open_ledger(settings: Settings) -> AsyncGenerator[Ledger]:
    """The executor's records alone, for commands that run nothing. Raises ServerError."""
    prepare_home(settings)
    receipt_key = load_or_create_receipt_key(settings.keys_directory)
    async with open_courier(settings.audit.witness) as courier, open_migrated(settings) as database:
        ledger = assemble_ledger(
            database,
            receipt_key,
            state=settings.home,
            clock=SystemClock(),
            settings=settings.audit,
            courier=courier,
        )
        try:
            yield ledger
        finally:
            if courier is not None:
                await courier.close()


@asynccontextmanager
async def open_migrated(settings: Settings) -> AsyncGenerator[Database]:
    """The database with this release's schema. Raises ServerError."""
    url = settings.effective_database_url
    await migrate(url, MIGRATIONS)
    database = await open_database(url)
    try:
        yield database
    finally:
        await database.close()


def prepare_home(settings: Settings) -> None:
    """Make the home directory, for its owner alone. Raises HomeNotWritable."""
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.keys_directory.mkdir(exist_ok=True, mode=0o700)
        probe = home / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise HomeNotWritable(
            f"the home directory {home} cannot be written: {error.strerror}; make it writable or set "
            "EXECUTOR_HOME"
        ) from error


def issuer_keys(settings: Settings, client: httpx2.AsyncClient) -> IssuerKeys:
    """Raises ConfigurationError when there is nothing to read the issuer's keys from."""
    source = settings.effective_jwks
    if source is None:
        raise ConfigurationError(
            f"the issuer {settings.issuer!r} is no URL: set EXECUTOR_JWKS to a file or URL of its public keys"
        )
    if source.startswith(("http://", "https://")):
        return FetchedKeys(source, client)
    path = Path(source.removeprefix("file://")).expanduser()
    if not path.is_file():
        raise ConfigurationError(f"jwks (EXECUTOR_JWKS) names {path}, which is not a file")
    return FileKeys(path)


def issuer_revocations(settings: Settings, keys: IssuerKeys, client: httpx2.AsyncClient) -> IssuerRevocations:
    """Raises ConfigurationError when the list is in a file that is not there."""
    source = settings.effective_revocations
    if source is None:
        return NoRevocationList()
    if source.startswith(("http://", "https://")):
        read = read_url(source, client)
    else:
        path = Path(source.removeprefix("file://")).expanduser()
        if not path.is_file():
            raise ConfigurationError(
                f"revocations (EXECUTOR_REVOCATIONS) names {path}, which is not a file; none means no list"
            )
        read = read_file(path)
    return SignedRevocationList(
        read,
        source=source,
        keys=keys,
        issuer=settings.issuer,
        leeway_seconds=settings.leeway_seconds,
        required=settings.revocations_required,
        clock=SystemClock(),
    )


def network_rules(settings: Settings) -> NetworkRules:
    """Raises ConfigurationError."""
    return NetworkRules(ports=settings.network.ports, certificates=settings.network.read_certificates())


def allow_list(settings: Settings) -> AllowList:
    return AllowList(settings.packages.python, {Language.NODEJS: settings.packages.nodejs})


def package_offer(settings: Settings) -> ShelfOffer:
    return ShelfOffer(
        Shelf(settings.packages_directory),
        allow_list(settings),
        max_age=timedelta(hours=settings.packages.vulnerabilities.max_age_hours),
        clock=SystemClock(),
        additions=settings.packages.additions.rules(),
    )


def additions(settings: Settings, client: httpx2.AsyncClient) -> Additions | None:
    """None where no approval adds packages."""
    chosen = settings.packages.additions
    rules = chosen.rules()
    if not rules.allowed:
        return None
    return Additions(
        rules=rules,
        shelf=Shelf(settings.packages_directory),
        installer=_installer(),
        source=vulnerability_source(settings, client),
        wall_seconds=chosen.wall_seconds,
        disk_mb=chosen.disk_mb,
    )


def vulnerability_source(settings: Settings, client: httpx2.AsyncClient) -> VulnerabilitySource:
    chosen = settings.packages.vulnerabilities
    match chosen.source:
        case "osv_snapshot":
            file = chosen.file or Path()
            python, nodejs = (
                OsvSnapshot(one.expanduser(), max_age_days=chosen.snapshot_max_age_days, clock=SystemClock())
                for one in (file, chosen.nodejs_file or file)
            )
            return SourceByEcosystem({"PyPI": python, "npm": nodejs})
        case "osv_api":
            return OsvApi(chosen.url or "", client)
        case "pypi":
            return IndexMetadata(chosen.url or "", client)
        case "none":
            return NoVulnerabilitySource()


@asynccontextmanager
async def open_package_keeper(settings: Settings) -> AsyncGenerator[PackageKeeper]:
    """For an operator's commands. Raises ServerError."""
    # The operator's own proxy, if there is one: the source is on the internet, unlike the issuer.
    async with open_ledger(settings) as ledger, httpx2.AsyncClient() as client:
        yield PackageKeeper(
            shelf=Shelf(settings.packages_directory),
            allowed=allow_list(settings),
            source=vulnerability_source(settings, client),
            installer=_installer(),
            database=ledger.database,
            audit=ledger.audit,
            clock=SystemClock(),
        )


def _installer() -> InstallerByLanguage:
    return InstallerByLanguage({Language.PYTHON: UvInstaller(), Language.NODEJS: NpmInstaller()})


def _tracing(settings: Settings) -> AbstractAsyncContextManager[Tracing]:
    asked = settings.tracing
    token = None if asked.token is None else asked.token.get_secret_value()
    return open_tracing(asked.endpoint, token=token, service_name=asked.service_name)


def sandbox_settings(settings: Settings) -> SandboxSettings:
    return SandboxSettings(
        image=settings.image,
        instance=_instance(settings),
        pool=settings.pool.pool(),
        runtime=settings.container_runtime,
        engine_seconds=settings.engine_seconds,
        burst=settings.burst.burst(),
    )


def _instance(settings: Settings) -> str:
    # Two executors with one home share their leftovers; two with different homes must not.
    return str(settings.home)


def _actions(settings: Settings, client: httpx2.AsyncClient) -> ActionSource:
    url = settings.effective_issuer_url
    return NoActionSource() if url is None else IssuerActions(url, client)
