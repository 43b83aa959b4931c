"""`hitl init`: what it makes, and what it refuses to make twice."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from executor_mcp.settings import load as load_executor_settings
from hitl_mcp.settings import read_settings
from tests.cli.commands import PASSWORD, CommandLine


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def snapshot(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_a_new_home_is_private_complete_and_usable(tmp_path: Path) -> None:
    cli = CommandLine(tmp_path / "deep" / "home")
    made = cli.json("init", "--person", "Ada", HITL_INIT_PASSWORD=PASSWORD)
    assert made["person"] == "ada"
    assert mode(cli.home) == 0o700
    assert mode(cli.home / "keys") == 0o700
    assert {mode(path) for path in (cli.home / "keys").iterdir()} == {0o600}
    people = cli.json("people", "list")["people"]
    assert [(entry["person"], entry["roles"]) for entry in people] == [("ada", ["admin", "approver"])]
    assert cli.with_password().json("pending") == {"requests": []}


def test_the_written_configuration_files_load(cli: CommandLine) -> None:
    assert read_settings({"HITL_HOME": str(cli.home)}).home == cli.home
    executor = load_executor_settings({"EXECUTOR_CONFIG": str(cli.home / "executor.yaml")})
    assert executor.home.name == "executor"


def test_the_executor_beside_it_trusts_the_server_as_it_was_set_up(tmp_path: Path) -> None:
    cli = CommandLine(tmp_path / "home", {"HITL_HTTP__PORT": "4321", "HITL_AUDIENCE": "my-executor"})
    cli.json("init", "--person", "ada", HITL_INIT_PASSWORD=PASSWORD)
    executor = load_executor_settings({"EXECUTOR_CONFIG": str(cli.home / "executor.yaml")})
    assert executor.home == cli.home / "executor"
    assert executor.issuer == "http://127.0.0.1:4321"
    assert executor.audience == "my-executor"


def test_the_template_holds_the_defaults(tmp_path: Path) -> None:
    template = Path(__file__).parents[2] / "configs" / "hitl.yaml"
    stated = read_settings({"HITL_CONFIG": str(template), "HITL_HOME": str(tmp_path)})
    assert stated == read_settings({"HITL_HOME": str(tmp_path)})


def test_every_setting_is_explained_in_the_template() -> None:
    template = (Path(__file__).parents[2] / "configs" / "hitl.yaml").read_text()
    settings = read_settings({})
    names = [
        *type(settings).model_fields,
        *type(settings.http).model_fields,
        *type(settings.log).model_fields,
        *type(settings.audit).model_fields,
        *type(settings.audit.witness).model_fields,
    ]
    assert [name for name in names if f"{name}:" not in template] == []


def test_a_second_init_changes_nothing_and_says_so(cli: CommandLine) -> None:
    before = snapshot(cli.home)
    again = cli.run("init", "--person", "eve", HITL_INIT_PASSWORD="another password 123")
    assert again.exit_code == 1
    assert "set up already; nothing was changed" in " ".join(again.output.split())
    assert snapshot(cli.home) == before


@pytest.mark.parametrize("password", ["", "short", "ada"])
def test_a_weak_password_is_refused_before_anything_is_made(tmp_path: Path, password: str) -> None:
    cli = CommandLine(tmp_path / "home")
    result = cli.run("init", "--person", "ada", HITL_INIT_PASSWORD=password)
    assert result.exit_code == 2
    assert not cli.home.exists()
    assert password == "" or password not in result.output.replace("characters", "").split()


def test_without_a_terminal_and_a_password_nothing_is_made(tmp_path: Path) -> None:
    cli = CommandLine(tmp_path / "home")
    result = cli.run("init", "--person", "ada")
    assert result.exit_code == 2
    assert "HITL_INIT_PASSWORD" in result.output
    assert not cli.home.exists()


def test_commands_on_a_home_that_was_never_set_up_say_what_to_run(tmp_path: Path) -> None:
    cli = CommandLine(tmp_path / "nothing").with_password()
    for command in (
        ["pending"],
        ["agents", "list"],
        ["audit", "verify"],
        ["keys", "list"],
        ["serve"],
        ["up"],
    ):
        result = cli.run(*command)
        assert result.exit_code == 2, command
        assert "hitl init" in result.output, command
    assert not cli.home.exists()
