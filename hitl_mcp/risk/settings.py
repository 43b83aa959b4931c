"""How risk is assessed."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from hitl_mcp.risk.consensus import DEFAULT_TIMEOUT_SECONDS
from server_kit.settings import SettingsModel


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be a URL such as https://models.example.com/v1")
    if parts.username or parts.password:
        raise ValueError("must not hold a name or a password; set api_key instead")
    return value.rstrip("/")


class ModelSettings(SettingsModel):
    """A language model behind the OpenAI-compatible API. It sees every action; its vote can only raise."""

    base_url: Annotated[str, AfterValidator(_base_url)] = Field(
        description="where the API is, such as https://models.example.com/v1"
    )
    model: str = Field(min_length=1, max_length=200, description="the model's name at that endpoint")
    api_key: SecretStr | None = Field(default=None, min_length=1, description="sent as a bearer token")
    timeout_seconds: float = Field(default=8, ge=0.1, le=10, description="a slower answer is left out")


class RiskSettings(SettingsModel):
    """The assessors of risk. Without a model nothing leaves this server."""

    timeout_seconds: float = Field(
        default=DEFAULT_TIMEOUT_SECONDS, ge=0.1, le=10, description="a slower assessor is left out"
    )
    model: ModelSettings | None = None
