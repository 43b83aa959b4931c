"""Conditions, edits, batches and revoking from a terminal, on the database and over a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import CommandLine
from tests.cli.test_requests import server_up


@pytest.fixture(params=["on the database", "over a server"])
def ada(request: pytest.FixtureRequest, cli: CommandLine) -> Iterator[CommandLine]:
    if request.param == "on the database":
        yield cli.with_password()
        return
    with server_up(cli):
        yield cli.with_password()


def test_an_edit_shows_what_differs_and_its_digest_and_conditions_tighten_it(
    ada: CommandLine, tmp_path: Path
) -> None:
    request = ada.ask("print('old')\n").request
    program = tmp_path / "new.py"
    program.write_text("print('new')\n")
    result = ada.run("edit", request.request_id, "--code", str(program), "--reason", "newer", "--yes")
    assert result.exit_code == 0, result.output
    assert "-    1 | print('old')" in result.output
    assert "+    1 | print('new')" in result.output
    shown = ada.json("show", request.request_id)
    assert shown["action"]["code"] == "print('new')\n"
    assert shown["action_digest"] != request.action_digest
    assert [each["editor"] for each in shown["standing"]["revisions"]] == ["builder", "ada"]
    text = ada.run("show", request.request_id).output
    for part in ("rule", "needed", "risk vote", "edit 1", "newer"):
        assert part in text, part
    wrong = ada.run("approve", request.request_id, "--limit", "limits.wall_seconds=300", "--yes")
    assert wrong.exit_code in {1, 2}
    assert "tighter" in wrong.output
    done = ada.json("approve", request.request_id, "--limit", "limits.wall_seconds=5", "--yes")
    assert (done["status"], done["action"]["limits"]["wall_seconds"]) == ("APPROVED", 5)
    assert ada.json("revoke", request.request_id, "--reason", "changed my mind")["status"] == "APPROVED"
    assert ada.run("revoke", "req_nothing").exit_code == 1


def test_several_are_approved_each_by_what_was_shown_of_it(ada: CommandLine) -> None:
    requests = [ada.ask(f"print({number})").request for number in range(2)]
    ids = [request.request_id for request in requests]
    result = ada.run("approve", *ids, "--yes")
    assert result.exit_code == 0, result.output
    for request in requests:
        assert request.action_digest[:40] in result.output
        assert ada.json("show", request.request_id)["status"] == "APPROVED"
    assert ada.run("approve", *ids, "--yes").exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["approve", "ID", "--limit", "limits.wall_seconds", "--yes"],
        ["approve", "ID", "other", "--limit", "limits.wall_seconds=5", "--yes"],
        ["edit", "ID", "--yes"],
        ["edit", "ID", "--file", "/nowhere/action.json", "--yes"],
        ["edit", "ID", "--code", "/nowhere/program.py"],
    ],
)
def test_what_is_written_wrongly_is_said_and_changes_nothing(cli: CommandLine, arguments: list[str]) -> None:
    ada = cli.with_password()
    request = ada.ask().request
    result = ada.run(*[request.request_id if each == "ID" else each for each in arguments])
    assert result.exit_code == 2, result.output
    shown = ada.json("show", request.request_id)
    assert (shown["status"], shown["action_digest"]) == ("PENDING", request.action_digest)


def test_an_edit_that_is_no_action_names_the_field(cli: CommandLine, tmp_path: Path) -> None:
    ada = cli.with_password()
    request = ada.ask().request
    document = tmp_path / "action.json"
    document.write_text(
        json.dumps({**request.action.model_dump(mode="json"), "limits": {"wall_seconds": -1}})
    )
    result = ada.run("edit", request.request_id, "--file", str(document), "--yes")
    assert result.exit_code == 2
    assert "wall_seconds" in result.output
