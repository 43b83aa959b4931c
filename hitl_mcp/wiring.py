"""The composition root: the only place where concrete classes meet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hitl_contract.verify import VerificationPolicy
from hitl_mcp.application import Application
from hitl_mcp.approvals import events
from hitl_mcp.approvals.ports import ApprovalPorts, Policy, RiskAssessor
from hitl_mcp.approvals.service import ApprovalService
from hitl_mcp.approvals.tracing import RequestTracing, Untraced
from hitl_mcp.assembly import Core
from hitl_mcp.attention.canary_store import SqlCanaries
from hitl_mcp.attention.filing import CanaryFiling
from hitl_mcp.attention.measure import ReadingSpeed
from hitl_mcp.attention.records import AttentionRecords
from hitl_mcp.audit.retention import EvidenceInUse
from hitl_mcp.grants.book import SqlGrantBook
from hitl_mcp.grants.directory import GrantDirectory
from hitl_mcp.home_directory import make_home, require_writable
from hitl_mcp.identity.absences import AbsenceDirectory
from hitl_mcp.identity.delegations import DelegationDirectory
from hitl_mcp.identity.groups import GroupDirectory
from hitl_mcp.identity.sessions import Sessions
from hitl_mcp.interface.views import ApprovalViews
from hitl_mcp.minting.keys import KeyRing
from hitl_mcp.minting.passphrases import Passphrases
from hitl_mcp.minting.revocations import RevocationPublisher
from hitl_mcp.minting.sealing import open_store, seal_keys
from hitl_mcp.minting.seals import ApprovalSealer
from hitl_mcp.minting.signer import CapabilityMinter
from hitl_mcp.notifiers.base import Notifier
from hitl_mcp.notifiers.building import build_dispatcher, build_notifiers, channel_delays, sharing_windows
from hitl_mcp.notifiers.lease import Lease
from hitl_mcp.notifiers.outbox import SqlOutbox
from hitl_mcp.policies.counting import SqlCounter
from hitl_mcp.policies.evaluator import Evaluator
from hitl_mcp.policies.explaining import PolicyExplainer
from hitl_mcp.policies.findings import StaticFindings
from hitl_mcp.policies.live import LivePolicy
from hitl_mcp.policies.people import PeopleInDirectories
from hitl_mcp.policies.record import AuditedRules
from hitl_mcp.risk.building import Assessors, build_consensus
from hitl_mcp.settings import Settings
from hitl_mcp.storage.migrations import SCRIPT_LOCATION
from hitl_mcp.storage.request_store import SqlRequestStore
from hitl_mcp.storage.schema import audit as audit_tables
from server_kit.audit_archive import AuditArchive
from server_kit.audit_records import AuditQuery, audit_time
from server_kit.audit_settings import open_courier
from server_kit.clock import Clock, SystemClock
from server_kit.database.migrations import migrate
from server_kit.database.opening import open_database

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer
    from starlette.types import ASGIApp

    from hitl_mcp.tools.principal import PrincipalResolver

_MOST_REVOCATIONS = 50_000


def create_keys(settings: Settings, *, clock: Clock | None = None) -> KeyRing:
    """Make the home directory and every key of a new server.

    Raises:
        HomeNotWritable: the directory cannot be written.
        KeyFileRefused: there are keys already.
    """
    make_home(settings.home)
    return KeyRing.create(settings.keys_directory, clock=clock or SystemClock())


def seal(settings: Settings, passphrase: str) -> None:
    """Encrypt the keys under the passphrase. Raises KeyFileRefused."""
    seal_keys(settings.keys_directory, passphrase)


def open_keys(
    settings: Settings, *, clock: Clock | None = None, passphrases: Passphrases | None = None
) -> KeyRing:
    """The keys of this server; sealed ones with the passphrase that `passphrases` gives.

    Raises:
        KeyFileRefused: they are missing, readable by others, not keys, or stay sealed.
    """
    directory = settings.keys_directory
    store = open_store(directory, passphrases or Passphrases())
    return KeyRing.open(directory, clock=clock or SystemClock(), store=store)


@asynccontextmanager
async def build_application(
    settings: Settings,
    *,
    clock: Clock | None = None,
    passphrases: Passphrases | None = None,
    around_policy: Callable[[Policy], Policy] | None = None,
) -> AsyncGenerator[Application]:
    """A whole approval server on these settings; closed again on leaving.

    The database is brought to this release's schema first. Any number of these may run on one database at the
    same time, in as many processes and on as many hosts as wanted. `around_policy` puts a program's own
    policy around the configured one.

    Raises:
        ServerError: with one line on what stops the start.
    """
    clock = clock or SystemClock()
    require_writable(settings.home)
    # The derivation of a key from a passphrase takes a good part of a second.
    keys = await asyncio.to_thread(open_keys, settings, clock=clock, passphrases=passphrases)
    await migrate(settings.effective_database_url, SCRIPT_LOCATION)
    async with AsyncExitStack() as closing:
        database = await open_database(settings.effective_database_url)
        closing.push_async_callback(database.close)
        courier = await closing.enter_async_context(open_courier(settings.audit.witness))
        core = Core.of(settings, database, keys, clock, courier)
        closing.push_async_callback(core.audit.close)
        risk = await closing.enter_async_context(
            build_consensus(settings.risk, database=database, clock=clock)
        )
        tracing = await closing.enter_async_context(_tracing(settings))
        yield _application(settings, core, around_policy, risk, tracing)


@asynccontextmanager
async def _tracing(settings: Settings) -> AsyncGenerator[RequestTracing]:
    asked = settings.tracing
    if asked.endpoint is None:
        yield Untraced()
        return
    # Lazily: OpenTelemetry takes a while to import, and most commands send no spans.
    from hitl_mcp.tracing import RequestSpans
    from server_kit.trace_export import open_provider

    token = None if asked.token is None else asked.token.get_secret_value()
    async with open_provider(
        asked.endpoint, token=token, service_name=asked.service_name, variable="HITL_TRACING__ENDPOINT"
    ) as provider:
        yield RequestSpans(provider)


def _application(
    settings: Settings,
    core: Core,
    around_policy: Callable[[Policy], Policy] | None,
    assessors: Assessors,
    tracing: RequestTracing,
) -> Application:
    risk = assessors.consensus
    notifiers = build_notifiers(console=settings.console, slack=settings.slack, telegram=settings.telegram)
    outbox = SqlOutbox(
        database=core.database,
        clock=core.clock,
        channels=[notifier.channel for notifier in notifiers],
        audit=core.trail,
        delays=channel_delays(console=settings.console, slack=settings.slack, telegram=settings.telegram),
    )
    groups = GroupDirectory(core.register, core.hierarchy)
    rules = _rules(settings, core, groups)
    policy = rules if around_policy is None else around_policy(rules)
    service = _service(settings, core, outbox, policy, risk, tracing)
    explainer = PolicyExplainer(core.agents, risk, rules)
    views = ApprovalViews(service, public_url=settings.http.url)
    delegations = DelegationDirectory(core.register, core.hierarchy, max_days=settings.max_delegation_days)
    absences = AbsenceDirectory(core.register, delegations)
    grants = GrantDirectory(
        core.register,
        people=core.people,
        sealer=ApprovalSealer(core.sealer),
        find=service.get,
        decide=service.decide,
    )
    attention = AttentionRecords(
        core.database,
        core.clock,
        ReadingSpeed(settings.attention.words_per_minute, settings.attention.least_seconds),
    )
    sessions = Sessions(
        core.register, people=core.people, lifetime=timedelta(seconds=settings.session_seconds)
    )

    def mcp_server(principal: PrincipalResolver) -> MCPServer[Any]:
        # The MCP SDK takes more than a second to import, which a command that serves nothing should not pay.
        from hitl_mcp.server import build_mcp_server
        from hitl_mcp.tools.waiting import Ladder

        return build_mcp_server(service, views, principal, ladder=Ladder(service), explain=explainer.explain)

    def http_app() -> ASGIApp:
        # FastAPI and what it brings take long to import, which a start over stdio should not pay.
        from hitl_mcp.tools.principal import BearerPrincipal
        from hitl_mcp.web.app import HttpOptions, build_web_app
        from hitl_mcp.web.pages import page_routes
        from hitl_mcp.web.parts import WebParts

        http = settings.http
        parts = WebParts(
            service=service,
            rules=rules,
            views=views,
            agents=core.agents,
            people=core.people,
            delegations=delegations,
            grants=grants,
            attention=attention,
            sessions=sessions,
            audit=core.audit,
            database=core.database,
            clock=core.clock,
            public_keys=core.keys.public_keys,
            revoked_tokens=_revocations(settings, core, service).current,
            token_policy=VerificationPolicy(issuer=settings.issuer, audience=settings.audience),
            session_seconds=settings.session_seconds,
            metrics_token=http.metrics_token.get_secret_value() if http.metrics_token else None,
        )
        options = HttpOptions(
            public_url=http.url,
            executor_url=settings.executor_url,
            allowed_hosts=http.allowed_hosts,
            allowed_origins=http.allowed_origins,
            trusted_proxies=http.trusted_proxies,
            max_body_bytes=http.max_body_bytes,
        )
        pages = page_routes(
            service=service,
            people=core.people,
            delegations=delegations,
            absences=absences,
            grants=grants,
            attention=attention,
            sessions=sessions,
            clock=core.clock,
            public_url=http.url,
        )
        return build_web_app(parts, options=options, mcp_server=mcp_server(BearerPrincipal()), pages=pages)

    return Application(
        settings=settings,
        database=core.database,
        clock=core.clock,
        audit=core.audit,
        archive=_archive(settings, core),
        service=service,
        rules=rules,
        agents=core.agents,
        people=core.people,
        groups=groups,
        delegations=delegations,
        grants=grants,
        absences=absences,
        sessions=sessions,
        views=views,
        attention=attention,
        canaries=_canaries(settings, core, service),
        notifiers=notifiers,
        dispatcher=_dispatcher(settings, core, service, views, outbox, notifiers, tracing),
        public_keys=core.keys.public_keys,
        warmed=assessors.warmed,
        build_mcp_server=mcp_server,
        build_http_app=http_app,
    )


def _service(
    settings: Settings,
    core: Core,
    outbox: SqlOutbox,
    policy: Policy,
    risk: RiskAssessor,
    tracing: RequestTracing,
) -> ApprovalService:
    ports = ApprovalPorts(
        database=core.database,
        store=SqlRequestStore(core.database.dialect),
        audit=core.trail,
        outbox=outbox,
        people=core.people,
        agents=core.agents,
        risk=risk,
        policy=policy,
        sealer=ApprovalSealer(core.sealer),
        minter=CapabilityMinter(
            signing_key=core.keys.signing_key, issuer=settings.issuer, audience=settings.audience
        ),
        clock=core.clock,
        grants=SqlGrantBook(core.register),
        canaries=SqlCanaries(core.database),
        tracing=tracing,
    )
    return ApprovalService(
        ports,
        validity_seconds=settings.approval_validity_seconds,
        token_lifetime_seconds=settings.token_lifetime_seconds,
    )


def _canaries(settings: Settings, core: Core, service: ApprovalService) -> CanaryFiling:
    async def agents() -> set[str]:
        return {each.name for each in await core.agents.list()}

    return CanaryFiling(
        service,
        SqlCanaries(core.database),
        members=core.people.members,
        agents=agents,
        clock=core.clock,
        settings=settings.canaries,
    )


def _rules(settings: Settings, core: Core, groups: GroupDirectory) -> LivePolicy:
    return LivePolicy(
        Evaluator(SqlCounter(core.database), StaticFindings()),
        core.clock,
        directory=settings.policies_directory,
        people=PeopleInDirectories(core.people, groups, settings.roles),
        must_exist=settings.policies is not None,
        record=AuditedRules(core.database, core.trail),
    )


def _dispatcher(
    settings: Settings,
    core: Core,
    service: ApprovalService,
    views: ApprovalViews,
    outbox: SqlOutbox,
    notifiers: tuple[Notifier, ...],
    tracing: RequestTracing,
) -> Any:
    return build_dispatcher(
        database=core.database,
        clock=core.clock,
        service=service,
        accounts=core.people,
        audit=core.trail,
        outbox=outbox,
        notifiers=notifiers,
        sealer=core.sealer,
        review_url=views.review_url,
        sharing=sharing_windows(settings.sharing),
        tracing=tracing,
        lease=Lease(
            database=core.database,
            clock=core.clock,
            term=timedelta(seconds=settings.dispatcher_lease_seconds),
        ),
    )


def _revocations(settings: Settings, core: Core, service: ApprovalService) -> RevocationPublisher:
    sealer = ApprovalSealer(core.sealer)

    async def revoked_since(since: datetime) -> set[str]:
        stored = await service.revoked_tokens(since=since)
        # The log says so too: whoever writes the database could take a revocation back in the request's row.
        query = AuditQuery(event=events.REVOKED, since=audit_time(since))
        entries = await core.audit.search(query, limit=_MOST_REVOCATIONS)
        return {each.token_id for each in stored} | {sealer.token_id(entry.subject) for entry in entries}

    return RevocationPublisher(
        revoked_since=revoked_since,
        signing_key=core.keys.signing_key,
        issuer=settings.issuer,
        clock=core.clock,
    )


def _archive(settings: Settings, core: Core) -> AuditArchive:
    return AuditArchive(
        log=core.audit,
        database=core.database,
        tables=audit_tables,
        private_key=core.keys.audit_key.private,
        key_id=core.keys.audit_key.key_id,
        directory=settings.segments_directory,
        holds=(EvidenceInUse(core.clock).first_needed,),
        clock=core.clock,
    )
