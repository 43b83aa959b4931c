"""Settings: the shipped file is the defaults, and a wrong setting is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from executor_mcp.executor_policy import ExecutorPolicy
from executor_mcp.receipt_key import load_or_create_receipt_key
from executor_mcp.settings import Settings, load
from executor_mcp.wiring import issuer_keys
from server_kit.errors import ConfigurationError, HomeNotWritable

FILE = Path(__file__).parents[2] / "configs" / "executor.yaml"


def test_the_shipped_file_states_the_defaults() -> None:
    assert load({"EXECUTOR_CONFIG": str(FILE)}) == Settings()


def test_the_default_policy_of_the_settings_is_the_policys_own_default() -> None:
    assert Settings().policy.policy() == ExecutorPolicy()


def test_every_setting_is_explained_in_the_file() -> None:
    settings = load({})
    names = [
        *type(settings).model_fields,
        *type(settings.http).model_fields,
        *type(settings.audit).model_fields,
        *type(settings.audit.witness).model_fields,
    ]
    assert [name for name in names if f"{name}:" not in FILE.read_text()] == []


def test_the_environment_wins_over_the_file() -> None:
    settings = load({"EXECUTOR_CONFIG": str(FILE), "EXECUTOR_HTTP__PORT": "4000", "EXECUTOR_JWKS": "/k.json"})

    assert (settings.http.port, settings.effective_jwks) == (4000, "/k.json")


def test_the_issuers_address_leads_to_its_keys_and_actions() -> None:
    settings = load({"EXECUTOR_ISSUER": "https://approvals.example.com"})
    assert settings.effective_jwks == "https://approvals.example.com/.well-known/jwks.json"
    assert load({"EXECUTOR_ISSUER": "our-approvals"}).effective_issuer_url is None


def test_an_issuer_that_is_no_address_needs_a_key_set() -> None:
    with pytest.raises(ConfigurationError, match="EXECUTOR_JWKS"):
        issuer_keys(load({"EXECUTOR_ISSUER": "our-approvals"}), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("EXECUTOR_SANDBOX", "none", "sandbox"),
        ("EXECUTOR_LEEWAY_SECONDS", "31", "leeway_seconds"),
        ("EXECUTOR_ISSUER_URL", "ftp://x", "issuer_url"),
        ("EXECUTOR_ISSUER_URL", "https://me:pw@x", "issuer_url"),
        ("EXECUTOR_POLICY__BLOCKED_FINDINGS", "python.everything", "policy.blocked_findings"),
        ("EXECUTOR_HTTP__METRICS_TOKEN", "short-secret", "http.metrics_token"),
    ],
)
def test_a_wrong_setting_is_named_and_a_secret_is_not_shown(name: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({name: value})
    assert expected in str(caught.value)
    assert "short-secret" not in str(caught.value)
    assert "me:pw" not in str(caught.value)


def test_the_receipt_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    first = load_or_create_receipt_key(tmp_path / "keys")
    assert load_or_create_receipt_key(tmp_path / "keys").key_id == first.key_id
    path = tmp_path / "keys" / "receipts.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["receipts.pem"]
    assert "private" not in repr(first)

    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_or_create_receipt_key(tmp_path / "keys")


def test_a_key_that_is_none_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    other = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content in (b"", b"hello", other):
        path = tmp_path / "receipts.pem"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(ConfigurationError, match=r"receipts\.pem"):
            load_or_create_receipt_key(tmp_path)


def test_a_key_directory_that_cannot_be_written_is_said_so() -> None:
    with pytest.raises(HomeNotWritable, match="EXECUTOR_HOME"):
        load_or_create_receipt_key(Path("/proc/keys-cannot-be-here"))
