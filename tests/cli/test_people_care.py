"""What administrators and people keep in order: roles, groups, delegations, absences, facts about agents."""

from __future__ import annotations

import sqlite3

from tests.cli.commands import PASSWORD, CommandLine


def known(cli: CommandLine, name: str, *options: str) -> CommandLine:
    """A person that ada adds, at their own terminal."""
    made = cli.with_password().json("people", "add", name, *options)
    return cli.with_password(made["password"])


def test_a_delegate_decides_until_the_delegation_is_revoked(cli: CommandLine) -> None:
    ada, eve = cli.with_password(), known(cli, "eve", "--role", "reader")
    first, second = cli.ask().request.request_id, cli.ask("print(2)").request.request_id
    assert eve.run("approve", first, "--yes", "--person", "eve").exit_code == 4
    made = ada.json("delegations", "add", "Eve", "--until", "5d", "--max-risk", "medium")
    assert (made["from"], made["to"], made["max_risk"]) == ("ada", "eve", "medium")
    assert eve.run("approve", first, "--yes", "--person", "eve").exit_code == 0
    shown = cli.run("delegations", "list").output
    assert "risk up to medium" in shown
    assert eve.run("delegations", "revoke", made["delegation_id"], "--as", "eve").exit_code == 0
    assert eve.run("approve", second, "--yes", "--person", "eve").exit_code == 4
    assert cli.json("delegations", "list")["delegations"] == []
    assert len(cli.json("delegations", "list", "--all")["delegations"]) == 1


def test_delegating_takes_the_password_of_the_person(cli: CommandLine) -> None:
    eve = known(cli, "eve", "--role", "reader")
    assert cli.run("delegations", "add", "eve", "--until", "5d").exit_code == 4
    stolen = eve.run("delegations", "add", "eve", "--from", "ada", "--until", "5d", "--as", "eve")
    assert stolen.exit_code == 4
    assert "administrator" in stolen.output


def test_a_time_or_scope_that_makes_no_sense_is_a_usage_error(cli: CommandLine) -> None:
    ada = cli.with_password()
    known(cli, "eve", "--role", "reader")
    for options in (
        ("--until", "2020-01-01"),
        ("--until", "soon"),
        ("--until", "1d", "--max-risk", "huge"),
    ):
        refused = ada.run("delegations", "add", "eve", *options)
        assert refused.exit_code == 2, (options, refused.output)
    assert ada.run("delegations", "revoke", "del_x").exit_code == 1


def test_groups_are_changed_by_an_administrator_alone(cli: CommandLine) -> None:
    ada, eve = cli.with_password(), known(cli, "eve")
    assert eve.run("groups", "add", "security", "--as", "eve").exit_code == 4
    assert ada.json("groups", "add", "Security", "--member", "eve")["members"] == ["eve"]
    assert ada.run("groups", "join", "security", "ada").exit_code == 0
    assert ada.run("groups", "leave", "security", "eve").exit_code == 0
    assert cli.json("groups", "list")["groups"] == [{"group": "security", "members": ["ada"]}]
    assert ada.run("groups", "join", "security", "nobody").exit_code == 1
    assert ada.run("groups", "add", "approver").exit_code == 2
    assert ada.run("groups", "remove", "security").exit_code == 0
    assert ada.run("groups", "remove", "security").exit_code == 1


def test_roles_are_stated_anew_and_bring_what_the_settings_say(cli: CommandLine) -> None:
    config = cli.home / "config.yaml"
    config.write_text(config.read_text() + "\nroles:\n  lead: [approver]\n")
    ada, eve = cli.with_password(), known(cli, "eve", "--role", "reader")
    request_id = cli.ask().request.request_id
    assert eve.run("approve", request_id, "--yes", "--person", "eve").exit_code == 4
    assert ada.run("people", "roles", "eve", "lead").exit_code == 0
    assert eve.run("approve", request_id, "--yes", "--person", "eve").exit_code == 0
    assert ada.run("people", "roles", "eve", "no such role!").exit_code == 2


def test_a_role_that_implies_itself_stops_the_start_with_its_place(cli: CommandLine) -> None:
    config = cli.home / "config.yaml"
    config.write_text(config.read_text() + "\nroles:\n  lead: [chief]\n  chief: [lead]\n")
    refused = cli.run("people", "list")
    assert refused.exit_code == 2
    assert "roles (HITL_ROLES)" in refused.output
    assert "lead -> chief -> lead" in " ".join(refused.output.split())


def test_a_substitute_stands_in_until_the_person_is_back(cli: CommandLine) -> None:
    ada, eve = cli.with_password(), known(cli, "eve", "--role", "reader")
    away = ada.json("people", "away", "--until", "2w", "--substitute", "eve")
    assert (away["person"], away["substitute"]) == ("ada", "eve")
    assert len(cli.json("delegations", "list")["delegations"]) == 1
    assert eve.run("people", "back", "ada", "--as", "eve").exit_code == 4
    assert ada.json("people", "back")["absences_ended"] == 1
    assert cli.json("delegations", "list")["delegations"] == []


def test_what_rules_go_by_is_stated_by_an_administrator_alone(cli: CommandLine) -> None:
    ada, eve = cli.with_password(), known(cli, "eve")
    for command in (("set", "builder"), ("add", "robot")):
        assert cli.run("agents", *command, "--trusted").exit_code == 4
        assert eve.run("agents", *command, "--trusted", "--as", "eve").exit_code == 4
    ada.json("agents", "add", "robot", "--role", "deployer", "--environment", "production", "--owner", "EVE")
    ada.json("agents", "set", "robot", "--trusted")
    robot = next(each for each in cli.json("agents", "list")["agents"] if each["agent"] == "robot")
    assert {key: robot[key] for key in ("roles", "environment", "trusted", "owner")} == {
        "roles": ["deployer"],
        "environment": "production",
        "trusted": True,
        "owner": "eve",
    }
    assert ada.run("agents", "set", "robot", "--owner", "nobody").exit_code == 2
    assert ada.run("agents", "set", "nobody", "--trusted").exit_code == 1


def test_a_suspended_approver_put_back_into_the_file_decides_nothing(cli: CommandLine) -> None:
    ada, eve = cli.with_password(), known(cli, "eve")
    request_id = cli.ask().request.request_id
    with sqlite3.connect(cli.home / "hitl.db") as file:
        rows = file.execute("SELECT * FROM people WHERE person_id = 'eve'").fetchall()
    assert ada.run("people", "suspend", "eve").exit_code == 0
    with sqlite3.connect(cli.home / "hitl.db") as file:
        file.execute("DELETE FROM people WHERE person_id = 'eve'")
        file.execute(f"INSERT INTO people VALUES ({', '.join('?' for _ in rows[0])})", rows[0])
    assert eve.run("approve", request_id, "--yes", "--person", "eve").exit_code == 4
    refused = [entry for entry in cli.json("audit", "tail")["entries"] if "row_refused" in entry["event"]]
    assert [entry["details"]["found"] for entry in refused] == ["set back"]
    assert PASSWORD not in str(refused)
