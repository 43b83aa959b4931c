"""`hitl people attention`, what `hitl doctor` says of it, and drills at the terminal."""

from __future__ import annotations

import asyncio

import pytest

from hitl_mcp.approvals.models import Assurance, DecisionInput, Verdict
from hitl_mcp.attention.rubber_stamping import LEAST_DECISIONS
from hitl_mcp.settings import read_settings
from hitl_mcp.wiring import build_application
from server_kit.errors import ConfigurationError
from tests.approvals.world import submission
from tests.attention.drilling import filed
from tests.cli.commands import CommandLine
from tests.cli.conftest import cli, initialized

__all__ = ["cli", "initialized"]


def decide_at_once(cli: CommandLine, count: int, *, first: int = 0) -> None:
    """ada approves so many requests as soon as they are made."""

    async def run() -> None:
        async with build_application(read_settings({"HITL_HOME": str(cli.home)})) as application:
            for number in range(first, first + count):
                made = await application.service.submit("builder", submission(f"print({number})"))
                await application.service.decide(
                    DecisionInput(
                        request_id=made.request.request_id,
                        person="ada",
                        verdict=Verdict.APPROVE,
                        reason=None,
                        channel="cli",
                        assurance=Assurance.SESSION,
                        action_digest=made.request.action_digest,
                    )
                )

    asyncio.run(run())


def drilled(cli: CommandLine) -> str:
    async def run() -> str:
        async with build_application(read_settings({"HITL_HOME": str(cli.home)})) as application:
            return (await filed(application.service, application.database)).request.request_id

    return asyncio.run(run())


def test_people_see_their_own_and_administrators_everybodys(cli: CommandLine) -> None:
    ada = cli.with_password()
    made = ada.json("people", "add", "eve")
    eve = cli.with_password(made["password"])
    assert ada.json("people", "attention")["people"] == []
    assert "Nothing was decided in the last 7 days." in ada.run("people", "attention", "--days", "7").output
    decide_at_once(cli, 1)
    (mine,) = ada.json("people", "attention")["people"]
    assert (mine["person"], mine["decided"], mine["hasty"]) == ("ada", 1, 1)
    assert "100%" in ada.run("people", "attention", "ADA").output
    assert eve.json("people", "attention", "--as", "eve")["people"] == []
    refused = eve.run("people", "attention", "ada", "--as", "eve")
    assert refused.exit_code == 4
    assert "no administrator and no auditor" in refused.output
    assert cli.run("people", "attention").exit_code == 4


def test_the_doctor_warns_of_who_approves_everything_within_seconds(cli: CommandLine) -> None:
    decide_at_once(cli, LEAST_DECISIONS - 1)
    findings = cli.json("doctor")["findings"]
    assert [each["state"] for each in findings if each["subject"] == "attention"] == ["ok"]
    decide_at_once(cli, 1, first=LEAST_DECISIONS)
    findings = cli.json("doctor")["findings"]
    (warning,) = [each for each in findings if each["subject"] == "attention"]
    assert warning["state"] == "warning"
    assert warning["detail"].startswith("ada approves 100% of 20, half of them within 0 s")


def test_a_drill_at_the_terminal_is_told_after_the_decision(cli: CommandLine) -> None:
    ada, first, second = cli.with_password(), drilled(cli), drilled(cli)
    shown = ada.run("show", first).output + ada.run("pending").output + cli.run("audit", "tail").output
    assert "drill" not in shown.lower()
    assert "canary" not in shown.lower()
    approved = ada.run("approve", first, "--yes").output
    assert "CANCELLED. This was a drill, and it was let through." in approved
    assert "This was a drill" in " ".join(ada.run("show", first).output.split())
    assert "and it was caught" in ada.run("deny", second, "--reason", "FTP", "--yes").output
    (mine,) = ada.json("people", "attention")["people"]
    assert (mine["canaries_caught"], mine["canaries_missed"]) == (1, 1)


@pytest.mark.parametrize(
    "environment",
    [
        {"HITL_CANARIES__PER_WEEK": "21"},
        {"HITL_CANARIES__AGENTS": '["a", "A"]'},
        {"HITL_CANARIES__AGENTS": '["not a name"]'},
        {"HITL_ATTENTION__WORDS_PER_MINUTE": "0"},
        {"HITL_ATTENTION__LEAST_SECONDS": "-1"},
    ],
    ids=lambda each: next(iter(each)),
)
def test_settings_that_make_no_sense_stop_the_start(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"canaries|attention"):
        read_settings(environment)


def test_drills_are_off_unless_they_are_asked_for() -> None:
    settings = read_settings({})
    assert (settings.canaries.per_week, settings.canaries.agents) == (0, ())
    stated = read_settings({"HITL_CANARIES__PER_WEEK": "2", "HITL_CANARIES__AGENTS": '["month-end"]'})
    assert (stated.canaries.per_week, stated.canaries.agents) == (2, ("month-end",))
