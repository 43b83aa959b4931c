"""Answering agents' questions and asking agents back at a terminal."""

from __future__ import annotations

import asyncio
import json

from hitl_mcp.approvals.human_questions import HumanQuestion
from hitl_mcp.approvals.models import RequestRecord
from hitl_mcp.settings import read_settings
from hitl_mcp.wiring import build_application
from tests.cli.commands import CommandLine


def question(cli: CommandLine, asked: HumanQuestion) -> RequestRecord:
    async def submit() -> RequestRecord:
        async with build_application(read_settings({"HITL_HOME": str(cli.home)})) as application:
            return await application.service.ask_human("builder", asked)

    return asyncio.run(submit())


def test_a_choice_is_answered_by_its_number_after_all_of_it_was_shown(cli: CommandLine) -> None:
    ada = cli.with_password()
    name = question(cli, HumanQuestion("Which colour?", ("red", "blue"))).request.request_id
    assert "asks: Which colour?" in ada.run("pending").output
    refused = ada.run("approve", name, "--yes")
    assert (refused.exit_code, "Answer it" in refused.output) == (1, True)
    wrong = ada.run("answer", name, "3", "--yes")
    assert wrong.exit_code != 0
    result = ada.run("answer", name, "2", "--yes")
    assert result.exit_code == 0, result.output
    assert "Which colour?" in result.output
    shown = ada.json("show", name)
    assert (shown["status"], shown["answer"]) == ("ANSWERED", "blue")
    assert ada.run("answer", name, "1", "--yes").exit_code == 1


def test_json_comes_from_a_file_and_is_checked(cli: CommandLine) -> None:
    ada = cli.with_password()
    schema = {"type": "object", "properties": {"port": {"type": "integer"}}, "required": ["port"]}
    name = question(cli, HumanQuestion("Which port?", answer_schema=schema)).request.request_id
    path = cli.home / "answer.json"
    path.write_text(json.dumps({"port": "x"}))
    wrong = ada.run("answer", name, "--json-file", str(path), "--yes")
    assert (wrong.exit_code, "answer.port" in wrong.output) == (1, True)
    path.write_text(json.dumps({"port": 80}))
    assert ada.json("answer", name, "--json-file", str(path), "--yes")["answer"] == {"port": 80}


def test_asking_back_shows_the_question_with_the_request(cli: CommandLine) -> None:
    ada = cli.with_password()
    name = ada.ask().request.request_id
    assert ada.run("ask", name, "Why today?").exit_code == 0
    shown = ada.json("show", name)
    assert shown["questions"] == [{"asked_by": "ada", "question": "Why today?", "answer": None}]
    assert "Why today?" in ada.run("show", name).output
    assert shown["status"] == "PENDING"
