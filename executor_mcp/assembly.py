"""Puts the executor together from its parts, whichever they are: production's, or a test's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from code_safety.analysis import BuiltInStaticAnalysis, StaticAnalysis, warm_up
from executor_mcp.agents import AgentDirectory
from executor_mcp.analysing import AnalysisPlace
from executor_mcp.cancellation import CancelRequests
from executor_mcp.capacity import Capacity
from executor_mcp.end_record import EndRecord
from executor_mcp.examination import Examiner
from executor_mcp.executor_policy import ExecutorPolicy
from executor_mcp.gate import Gate
from executor_mcp.issuer_actions import ActionSource
from executor_mcp.issuer_keys import IssuerKeys
from executor_mcp.live_output import LiveExecutions
from executor_mcp.measurements import Measurements
from executor_mcp.output_keeper import OutputKeeper
from executor_mcp.packages.adding import PackageAdder
from executor_mcp.packages.addition_rules import AdditionRules
from executor_mcp.packages.installing import Installer
from executor_mcp.packages.noting import AuditNote
from executor_mcp.packages.offering import NoPackages, PackageOffer
from executor_mcp.packages.planning import NoAdditions, Planner
from executor_mcp.packages.shelf import Shelf
from executor_mcp.packages.vulnerabilities import VulnerabilitySource
from executor_mcp.policy_keeping import PolicyKeeper, PolicyReader
from executor_mcp.receipt_key import ReceiptKey
from executor_mcp.receipts import ReceiptSigner
from executor_mcp.recovery import Recovery
from executor_mcp.referenced_files import ReferencedFiles
from executor_mcp.refusals import RefusalLog
from executor_mcp.retention import Retention, RetentionPolicy
from executor_mcp.revocation_list import IssuerRevocations, NoRevocationList
from executor_mcp.revoked_tokens import RevokedTokens
from executor_mcp.runner import Runner
from executor_mcp.sandbox.base import Sandbox
from executor_mcp.service import ExecutionService
from executor_mcp.spent_tokens import SpentTokens
from executor_mcp.start_record import SharedBounds, StartRecord
from executor_mcp.steps import PassThrough, StepObserver
from executor_mcp.storage.executions import ExecutionStore
from executor_mcp.storage.processes import ProcessRegistry, processes_directory
from executor_mcp.storage.running_state import RunningState
from executor_mcp.storage.schema import audit as audit_tables
from executor_mcp.storage.waiting import WaitingStore
from executor_mcp.token_checks import TokenChecks
from executor_mcp.tracing import Tracing
from executor_mcp.waiting_worker import WaitingWorker
from executor_mcp.workplace import Workplace
from hitl_contract.verify import VerificationPolicy
from server_kit.audit_archive import AuditArchive
from server_kit.audit_courier import WitnessCourier
from server_kit.audit_log import AuditLog
from server_kit.audit_settings import AuditSettings
from server_kit.clock import Clock, SystemClock
from server_kit.database.base import Database
from server_kit.identifiers import new_identifier

AUDIT_CHAIN = "executor"


@dataclass(frozen=True)
class Additions:
    """What it takes to add packages on an approval."""

    rules: AdditionRules
    shelf: Shelf
    installer: Installer
    source: VulnerabilitySource
    wall_seconds: float = 300.0
    disk_mb: int = 2048


@dataclass(frozen=True)
class Parts:
    """What an executor is made of. `state` is its directory for lock files and the audit witness."""

    database: Database
    sandbox: Sandbox
    verification: VerificationPolicy
    keys: IssuerKeys
    actions: ActionSource
    receipt_key: ReceiptKey
    state: Path
    issuer_revocations: IssuerRevocations = field(default_factory=NoRevocationList)
    audit: AuditSettings = field(default_factory=AuditSettings)
    courier: WitnessCourier | None = None
    policy: ExecutorPolicy = field(default_factory=ExecutorPolicy)
    packages: PackageOffer = field(default_factory=NoPackages)
    additions: Additions | None = None
    analysis: StaticAnalysis = field(default_factory=BuiltInStaticAnalysis)
    clock: Clock = field(default_factory=SystemClock)
    steps: StepObserver = field(default_factory=PassThrough)
    read_policy: PolicyReader | None = None
    bounds: SharedBounds = field(default_factory=SharedBounds)
    places: int = 8
    patience_seconds: float = 30.0
    lease_seconds: float = 60.0
    heartbeat_seconds: float = 10.0
    tracing: Tracing = field(default_factory=Tracing)
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)


@dataclass(frozen=True)
class Ledger:
    """The executor's records, which need no sandbox: what the command line works on."""

    database: Database
    audit: AuditLog
    archive: AuditArchive
    agents: AgentDirectory
    revocations: RevokedTokens
    executions: ExecutionStore
    cancel_requests: CancelRequests


@dataclass(frozen=True)
class Executor:
    """One executor, ready to be started."""

    ledger: Ledger
    service: ExecutionService
    recovery: Recovery
    sandbox: Sandbox
    workplace: Workplace
    keys: IssuerKeys
    receipt_key: ReceiptKey
    measurements: Measurements
    policies: PolicyKeeper
    retention: Retention
    worker: WaitingWorker


def assemble_ledger(
    database: Database,
    receipt_key: ReceiptKey,
    *,
    state: Path,
    clock: Clock,
    settings: AuditSettings | None = None,
    courier: WitnessCourier | None = None,
) -> Ledger:
    settings = settings or AuditSettings()
    executions = ExecutionStore(database)
    segments = (settings.segments or state / "audit-segments").expanduser().absolute()
    audit = AuditLog(
        database=database,
        tables=audit_tables,
        chain=AUDIT_CHAIN,
        private_key=receipt_key.private,
        key_id=receipt_key.key_id,
        witness=state / "audit-witness.jsonl" if settings.witness.keep_file else None,
        courier=courier,
        segments=segments,
        checkpoint_every=settings.checkpoint_every,
        clock=clock,
    )
    archive = AuditArchive(
        log=audit,
        database=database,
        tables=audit_tables,
        private_key=receipt_key.private,
        key_id=receipt_key.key_id,
        directory=segments,
        holds=(),
        clock=clock,
    )
    return Ledger(
        database=database,
        audit=audit,
        archive=archive,
        agents=AgentDirectory(database=database, audit=audit, clock=clock),
        revocations=RevokedTokens(database=database, audit=audit, clock=clock),
        executions=executions,
        cancel_requests=CancelRequests(database=database, executions=executions, audit=audit, clock=clock),
    )


def assemble(parts: Parts) -> Executor:
    database, clock, steps, sandbox = parts.database, parts.clock, parts.steps, parts.sandbox
    ledger = assemble_ledger(
        database,
        parts.receipt_key,
        state=parts.state,
        clock=clock,
        settings=parts.audit,
        courier=parts.courier,
    )
    audit = ledger.audit
    owner = new_identifier("own")
    executions = ledger.executions
    running_state = RunningState(database)
    live = LiveExecutions()
    measurements = Measurements()
    measurements.watch_pool(sandbox)
    measurements.watch_witness(lambda: audit.witness_state)
    capacity = Capacity(parts.places, patience_seconds=parts.patience_seconds)
    end_record = EndRecord(
        database=database,
        audit=audit,
        executions=executions,
        signer=ReceiptSigner(parts.receipt_key, executor=parts.verification.audience),
        clock=clock,
        steps=steps,
        running=running_state,
    )
    policies = PolicyKeeper(parts.policy, parts.read_policy, audit=audit, database=database)
    measurements.watch_policy(lambda: policies.problem)
    planner, adder = _additions(parts, audit)
    workplace = Workplace(sandbox, adder)
    examiner = Examiner(
        sandbox=sandbox,
        policies=policies,
        packages=parts.packages,
        additions=planner,
        analysis=parts.analysis,
        place=AnalysisPlace(warm_up),
    )
    referenced_files = ReferencedFiles(executions)
    waiting = WaitingStore(database)
    refusals = RefusalLog(database=database, audit=audit, measurements=measurements)
    gate = Gate(
        checks=TokenChecks(
            verification=parts.verification,
            keys=parts.keys,
            revocations=ledger.revocations,
            issuer_revocations=parts.issuer_revocations,
            actions=parts.actions,
        ),
        examiner=examiner,
        files=referenced_files,
        workplace=workplace,
        capacity=capacity,
        start_record=StartRecord(
            database=database,
            audit=audit,
            spent=SpentTokens(database),
            revocations=ledger.revocations,
            executions=executions,
            waiting=waiting,
            bounds=parts.bounds,
            steps=steps,
            spent_one=measurements.spent,
        ),
        refusals=refusals,
        clock=clock,
        owner=owner,
        steps=steps,
        waited=measurements.waited,
        tracing=parts.tracing,
    )
    runner = Runner(
        workplace=workplace,
        database=database,
        executions=executions,
        end_record=end_record,
        live=live,
        capacity=capacity,
        clock=clock,
        steps=steps,
        measurements=measurements,
        keeper=OutputKeeper(database, running_state),
        tracing=parts.tracing,
    )
    service = ExecutionService(
        gate=gate,
        runner=runner,
        executions=executions,
        files=referenced_files,
        queue=waiting,
        end_record=end_record,
        live=live,
        examiner=examiner,
        database=database,
        cancel_requests=ledger.cancel_requests,
        running=running_state,
    )
    recovery = Recovery(
        owner=owner,
        registry=ProcessRegistry(database, host=socket.gethostname(), lease_seconds=parts.lease_seconds),
        executions=executions,
        running=running_state,
        waiting=waiting,
        end_record=end_record,
        live=live,
        measurements=measurements,
        clock=clock,
        lock_directory=processes_directory(parts.state),
        interval_seconds=parts.heartbeat_seconds,
    )
    worker = WaitingWorker(
        owner=owner,
        gate=gate,
        runner=runner,
        live=live,
        capacity=capacity,
        waiting=waiting,
        executions=executions,
        end_record=end_record,
        refusals=refusals,
        bounds=parts.bounds,
        clock=clock,
        steps=steps,
        start=service.own,
    )
    return Executor(
        ledger,
        service,
        recovery,
        sandbox,
        workplace,
        parts.keys,
        parts.receipt_key,
        measurements,
        policies,
        Retention(policy=parts.retention, database=database, audit=audit, clock=clock),
        worker,
    )


def _additions(parts: Parts, audit: AuditLog) -> tuple[Planner | NoAdditions, PackageAdder | None]:
    given = parts.additions
    if given is None or not given.rules.allowed:
        return NoAdditions(), None
    planner = Planner(
        rules=given.rules,
        shelf=given.shelf,
        installer=given.installer,
        source=given.source,
        clock=parts.clock,
        wall_seconds=given.wall_seconds,
        disk_mb=given.disk_mb,
    )
    adder = PackageAdder(
        shelf=given.shelf,
        installer=given.installer,
        note=AuditNote(database=parts.database, audit=audit),
        clock=parts.clock,
        disk_mb=given.disk_mb,
    )
    return planner, adder


async def end_task(task: asyncio.Task[None]) -> None:
    """Cancel it and wait for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def running(executor: Executor) -> AsyncGenerator[Executor]:
    """Recover, then serve until left; then end every program, record the ends and sign the audit log."""
    await executor.ledger.audit.begin()
    await executor.recovery.begin()
    await executor.workplace.remove_leftovers()
    background = [
        asyncio.create_task(executor.recovery.run()),
        asyncio.create_task(executor.policies.run()),
        asyncio.create_task(executor.retention.run()),
    ]
    working = asyncio.create_task(executor.worker.run())
    try:
        yield executor
    finally:
        await end_task(working)
        await executor.service.close()
        await executor.worker.give_back_all()
        for task in background:
            await end_task(task)
        await executor.recovery.end()
        await executor.workplace.close()
        await executor.ledger.audit.close()
