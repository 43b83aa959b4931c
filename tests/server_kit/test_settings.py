"""Settings: file, environment, and one clear line per mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, SecretStr

from server_kit.errors import ConfigurationError
from server_kit.settings import SettingsModel, load_settings


class Http(SettingsModel):
    port: int = Field(3003, ge=0, le=65535)
    host: str = "127.0.0.1"


class Email(SettingsModel):
    sender: str = Field("nobody@example.org", alias="from")
    smtp_url: str = "smtp://localhost"


class Slack(SettingsModel):
    bot_token: SecretStr
    channel: str = "#approvals"


class Settings(SettingsModel):
    home: Path = Path("~/.hitl")
    database_url: str = "sqlite+aiosqlite:///hitl.db"
    sandbox: Literal["auto", "docker"] = "auto"
    require_api_key: bool = False
    people: tuple[str, ...] = ()
    http: Http = Http()
    email: Email | None = None
    slack: Slack | None = None


def load(environment: dict[str, str] | None = None, file: Path | None = None) -> Settings:
    return load_settings(
        Settings,
        prefix="HITL_",
        environment=environment or {},
        file=file,
        not_settings=["HITL_CONFIG", "HITL_PASSWORD"],
    )


def refused(environment: dict[str, str] | None = None, file: Path | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(environment, file)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_without_anything_the_defaults_hold() -> None:
    assert load() == Settings()


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    file = tmp_path / "hitl.yaml"
    file.write_text("http:\n  port: 1111\n  host: 0.0.0.0\nsandbox: docker\n")
    settings = load(
        {"HITL_HTTP__PORT": "2222", "HITL_REQUIRE_API_KEY": "true", "OTHER": "x", "HITL_HOME": ""}, file
    )
    assert (settings.http.port, settings.http.host, settings.sandbox) == (2222, "0.0.0.0", "docker")
    assert settings.require_api_key
    assert settings.home == Path("~/.hitl")


def test_groups_that_are_absent_by_default_and_aliases_can_be_set_from_the_environment() -> None:
    settings = load({"HITL_SLACK__BOT_TOKEN": "xoxb-1", "HITL_EMAIL__FROM": "a@example.org"})
    assert settings.slack is not None
    assert settings.slack.bot_token.get_secret_value() == "xoxb-1"
    assert settings.email is not None
    assert settings.email.sender == "a@example.org"


@pytest.mark.parametrize("value", ["alice, bob", '["alice", "bob"]'])
def test_a_list_is_given_with_commas_or_as_json(value: str) -> None:
    assert load({"HITL_PEOPLE": value}).people == ("alice", "bob")


def test_variables_that_are_no_settings_are_left_alone() -> None:
    load({"HITL_CONFIG": "/etc/hitl.yaml", "HITL_PASSWORD": "secret"})


def test_an_unknown_variable_is_refused_with_a_suggestion() -> None:
    assert refused({"HITL_HTTP__PROT": "1"}) == "HITL_HTTP__PROT is not a setting; did you mean 'port'?"
    assert "allowed are database_url, email" in refused({"HITL_XYZZY": "1"})
    assert "has no parts" in refused({"HITL_SANDBOX__PORT": "1"})


def test_an_unknown_name_in_the_file_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    file = tmp_path / "hitl.yaml"
    file.write_text("http: {prot: 1}\n")
    assert refused(file=file) == "http.prot (HITL_HTTP__PROT) is not a setting; did you mean 'port'?"


def test_a_wrong_value_is_named_with_what_is_allowed() -> None:
    message = refused({"HITL_HTTP__PORT": "70000", "HITL_SANDBOX": "none"})
    assert (
        "http.port (HITL_HTTP__PORT) has the value '70000': Input should be less than or equal to 65535"
        in message
    )
    assert "sandbox (HITL_SANDBOX) has the value 'none': Input should be 'auto' or 'docker'" in message


def test_a_missing_value_is_named() -> None:
    assert "slack.bot_token (HITL_SLACK__BOT_TOKEN) is not set" in refused({"HITL_SLACK__CHANNEL": "#x"})


def test_no_message_shows_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "hitl.yaml"
    file.write_text("slack: {bot_token: [hunter2]}\ndatabase_url: [postgresql://u:hunter2@h/d]\n")
    assert "hunter2" not in refused(file=file)
    file.write_text("slack: hunter2\nhttp: {port: 'http://u:hunter2@h'}\n")
    assert "'http://…@h'" in refused(file=file)


@pytest.mark.parametrize("content", ["a: [", "- 1", "\x00", "just text"])
def test_a_file_that_is_no_mapping_of_settings_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "hitl.yaml"
    file.write_text(content)
    assert str(file) in refused(file=file)
    assert "cannot be read" in refused(file=tmp_path / "missing.yaml")
