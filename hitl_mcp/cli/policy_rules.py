"""Rules, people, recorded requests and assessors as the `hitl policy` commands need them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

from code_safety.analysis import analyse
from hitl_contract.action import Action, parse_action
from hitl_mcp.application import Application
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import ApprovalRequest, RequestKind, Submission
from hitl_mcp.approvals.terms import AgentFacts, Ruling
from hitl_mcp.cli.failures import CommandFailed, ExitCode
from hitl_mcp.cli.home import home_directory, require_initialized
from hitl_mcp.cli.local_application import open_application, quiet_settings
from hitl_mcp.policies.cases import stated_risk
from hitl_mcp.policies.counting import NothingCounted
from hitl_mcp.policies.evaluator import Evaluator
from hitl_mcp.policies.loading import load_rules, read_directory
from hitl_mcp.policies.people import KnownPeople
from hitl_mcp.policies.places import read_document
from hitl_mcp.policies.rules import RuleSet
from hitl_mcp.policies.simulation import Simulation, simulate
from hitl_mcp.risk.consensus import Consensus
from hitl_mcp.risk.patterns import PatternsVote
from hitl_mcp.risk.static_analysis import StaticAnalysisVote

_PAGE = 100


def rules_directory(stated: Path | None) -> Path:
    """The directory that was named, or else the one of this server's settings.

    Raises:
        CommandFailed: it is no directory.
    """
    directory = stated or quiet_settings().policies_directory
    if not directory.is_dir():
        raise CommandFailed(
            f"{directory} is no directory.",
            exit_code=ExitCode.USAGE,
            hint="Give --rules DIRECTORY. Without rules every request is asked of one approver.",
        )
    return directory


def load(directory: Path, known: KnownPeople) -> RuleSet:
    """Raises PolicyRefused."""
    return load_rules(read_directory(directory), known, datetime.now(UTC))


async def known_people() -> KnownPeople:
    """The people of this server; nobody where nothing has been set up."""
    if not (home_directory() / "keys").is_dir():
        return KnownPeople()
    async with open_application() as application:
        return await application.rules.known_people()


def local_assessor() -> Consensus:
    """Everybody who can say how risky an action is without a database and without a network."""
    return Consensus([PatternsVote(), StaticAnalysisVote(analyse)])


def read_action(text: str) -> Action:
    """An action as JSON or YAML; a whole request with an `action` in it is taken too.

    Raises:
        CommandFailed: it is neither.
        InvalidAction: it is no action.
    """
    try:
        value: object = json.loads(text)
    except ValueError:
        value = read_document(text, "action").values
    if isinstance(value, dict) and "type" not in value and "action" in value:
        return parse_action(value["action"])  # pyright: ignore[reportUnknownArgumentType]
    return parse_action(value)  # pyright: ignore[reportUnknownArgumentType]


async def explained(
    action: Action, agent: AgentFacts, *, level: str | None, at: datetime | None, directory: Path | None
) -> Ruling:
    """What the rules say about an action.

    Raises:
        CommandFailed: `level` is no level of risk.
        PolicyRefused: the rules cannot be used.
    """
    submission = Submission(action, "An action to be explained.")
    if level is None:
        risk = await local_assessor().assess(agent, submission)
    elif level in list(RiskLevel):
        risk = stated_risk(RiskLevel(level))
    else:
        allowed = ", ".join(RiskLevel)
        raise CommandFailed(
            f"--risk has the value {level!r}; {allowed} are allowed.", exit_code=ExitCode.USAGE
        )
    moment = datetime.now(UTC) if at is None else at.replace(tzinfo=at.tzinfo or UTC)
    default = directory is None and not quiet_settings().policies_directory.is_dir()
    rules = RuleSet() if default else load(rules_directory(directory), KnownPeople())
    return await Evaluator(NothingCounted()).evaluate(rules, agent, submission, risk, moment)


async def simulated(directory: Path | None, limit: int) -> Simulation:
    """Replay the latest requests.

    Raises:
        PolicyRefused: the rules cannot be used.
    """
    require_initialized(home_directory())
    rules = load(rules_directory(directory), await known_people())
    async with open_application() as application:
        return await simulate(
            _recorded(application, limit),
            rules,
            Evaluator(NothingCounted()),
            application.agents,
            local_assessor(),
        )


async def _recorded(application: Application, limit: int) -> AsyncGenerator[ApprovalRequest]:
    cursor: str | None = None
    left = limit
    while left > 0:
        page = await application.service.list_for_people(status=None, limit=min(left, _PAGE), cursor=cursor)
        for record in page.records:
            if record.request.kind is RequestKind.ACTION:
                yield record.request
        left -= len(page.records)
        cursor = page.next_cursor
        if cursor is None:
            return
