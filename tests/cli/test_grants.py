"""`hitl grants`: what people allowed agents in advance."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from hitl_contract.action import parse_action
from hitl_mcp.approvals.grants import Grant
from hitl_mcp.approvals.models import Assurance, RequestRecord, Submission
from hitl_mcp.grants.forms import Confirmation, GrantForm
from hitl_mcp.settings import read_settings
from hitl_mcp.shapes.shape import patterns_from
from hitl_mcp.wiring import Application, build_application
from tests.cli.commands import CommandLine

UP_TO_50 = patterns_from({"/arguments/amount": {"pattern": "at_most", "maximum": 50}})


def forecast(amount: int) -> Submission:
    arguments = {"amount": amount}
    fields: dict[str, Any] = {"type": "tool_call", "server": "weather", "tool": "get_forecast"}
    return Submission(action=parse_action({**fields, "arguments": arguments}), justification="due")


async def allow(application: Application) -> Grant:
    asked = (await application.service.submit("builder", forecast(20))).request
    form = GrantForm(
        request_id=asked.request_id,
        person="ada",
        action_digest=asked.action_digest,
        uses=3,
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        vary=UP_TO_50,
    )
    words = (await application.grants.preview(form)).wording_digest
    return await application.grants.make(form, Confirmation(words, "web", Assurance.SESSION, {}))


def granted(cli: CommandLine, *, used: int = 0) -> tuple[Grant, list[RequestRecord]]:
    async def work() -> tuple[Grant, list[RequestRecord]]:
        async with build_application(read_settings({"HITL_HOME": str(cli.home)})) as application:
            grant = await allow(application)
            uses = [await application.service.submit("builder", forecast(30 + each)) for each in range(used)]
            return grant, uses

    return asyncio.run(work())


def test_an_empty_list_says_so(cli: CommandLine) -> None:
    assert "Nothing is allowed in advance." in cli.run("grants", "list").output
    assert cli.json("grants", "list") == {"grants": []}


def test_a_grant_is_listed_with_its_agent_person_rule_and_what_is_left(cli: CommandLine) -> None:
    grant, _ = granted(cli, used=1)
    said = cli.run("grants", "list").output
    for expected in (grant.grant_id, "ada", "2 of 3"):
        assert expected in said
    wide = cli.run("grants", "list", COLUMNS="200").output
    for expected in (grant.grant_id, "builder", grant.rule):
        assert expected in wide
    [listed] = cli.json("grants", "list")["grants"]
    assert (listed["grant_id"], listed["used"], listed["remaining"]) == (grant.grant_id, 1, 2)
    assert cli.json("grants", "list", "--agent", "other") == {"grants": []}
    assert len(cli.json("grants", "list", "--agent", "builder")["grants"]) == 1


def test_show_says_word_by_word_what_is_allowed_and_lists_each_use(cli: CommandLine) -> None:
    grant, uses = granted(cli, used=2)
    said = cli.run("grants", "show", grant.grant_id).output
    assert "/arguments/amount: a whole number from 0 to 50" in said
    assert "1 of 3 uses are left." in said
    shown = cli.json("grants", "show", grant.grant_id)
    assert shown["wording"] == grant.wording
    assert [each["request_id"] for each in shown["uses"]] == [each.request.request_id for each in uses]
    assert [each["number"] for each in shown["uses"]] == [1, 2]


def test_revoking_takes_a_password_ends_it_at_once_and_is_listed_only_when_asked(cli: CommandLine) -> None:
    grant, _ = granted(cli)
    assert cli.run("grants", "revoke", grant.grant_id).exit_code != 0
    assert len(cli.json("grants", "list")["grants"]) == 1
    ada = cli.with_password()
    ended = ada.json("grants", "revoke", grant.grant_id, "--reason", "enough")
    assert ended["revoked_by"] == "ada"
    assert cli.json("grants", "list") == {"grants": []}
    [over] = cli.json("grants", "list", "--all")["grants"]
    assert over["revoked_at"] is not None
    assert "Ended by ada" in cli.run("grants", "show", grant.grant_id).output
    again = ada.run("grants", "revoke", grant.grant_id)
    assert again.exit_code == 1
    assert "no grant" in again.output


def test_an_unknown_grant_is_an_error_that_says_where_to_look(cli: CommandLine) -> None:
    for command in (("show",), ("revoke",)):
        result = cli.with_password().run("grants", *command, "grant_none")
        assert result.exit_code == 1
        assert "hitl grants list" in result.output
