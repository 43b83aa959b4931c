"""What reaches the log, and what never does."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from server_kit.logging import configure_logging
from server_kit.redaction import MAX_TEXT, redact, redact_text

SECRETS = [
    "eyJhbGciOiJFZERTQSIsInR5cCI6ImNhcCtqd3QifQ.eyJpc3MiOiJ4In0.c2lnbmF0dXJl",
    "hitl_agent_mzxw6ytboi4hk3dqnrswc5dfoi",
    "xoxb-1234567890-abcdef",
    "xapp-1-A0-123456",
    "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1",
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----",
]


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(level="info", format="json", stream=stream)
    yield stream
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def test_events_of_the_server_and_of_libraries_are_json_lines_with_level_and_time(
    output: io.StringIO,
) -> None:
    structlog.get_logger("server").info("request_stored", request_id="req_1")
    logging.getLogger("library").warning("hello %s", "world")
    first, second = (json.loads(line) for line in output.getvalue().splitlines())
    assert (first["event"], first["request_id"], first["level"]) == ("request_stored", "req_1", "info")
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["logger"]) == ("hello world", "library")


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_redacted_wherever_it_stands(output: io.StringIO, secret: str) -> None:
    logger = structlog.get_logger("server")
    logger.info(f"got {secret}", note=f"x {secret} y", nested={"list": [secret]})
    logging.getLogger("library").error("got %s", secret)
    try:
        raise ValueError(secret)
    except ValueError:
        logger.exception("failed")
    assert secret not in output.getvalue()
    assert secret.splitlines()[-1] not in output.getvalue()
    assert output.getvalue().count("[redacted]") >= 4


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "capability_token",
        "api_key",
        "Authorization",
        "code",
        "input_data",
        "stdout",
        "private_key",
    ],
)
def test_a_value_is_redacted_by_its_name(name: str) -> None:
    assert redact({"outer": [{name: "quite ordinary"}]}) == {"outer": [{name: "[redacted]"}]}


@pytest.mark.parametrize("name", ["exit_code", "token_id", "token_expires_at", "request_id", "status_code"])
def test_names_that_only_sound_secret_are_kept(name: str) -> None:
    assert redact({name: "value"}) == {name: "value"}


def test_credentials_in_a_url_and_in_a_header_are_redacted() -> None:
    assert redact_text("postgresql://user:hunter2@host/db") == "postgresql://[redacted]@host/db"
    assert redact_text("Authorization: Bearer abcdefgh12345") == "Authorization: Bearer [redacted]"


def test_long_texts_and_bytes_are_cut() -> None:
    assert len(str(redact("x" * 1_000_000))) < MAX_TEXT + 50
    assert redact(b"\x00\x01") == "2 bytes"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text() | st.binary(), st.lists))
def test_any_value_can_be_logged(value: object) -> None:
    json.dumps(redact(value))
