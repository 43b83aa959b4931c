"""Settings of an audit log, the same for both servers."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from server_kit.audit_courier import WitnessCourier
from server_kit.settings import SettingsModel


class WitnessSettings(SettingsModel):
    """Where signed checkpoints are remembered besides the database."""

    keep_file: bool = Field(
        default=True, description="whether audit-witness.jsonl in the home directory remembers them"
    )
    url: str | None = Field(
        default=None, description="address to which each checkpoint is sent with POST, on another machine"
    )
    token: SecretStr | None = Field(default=None, min_length=8, description="bearer token for that address")
    required: bool = Field(
        default=False, description="whether acts are refused while that address is too far behind"
    )
    timeout_seconds: float = Field(default=2, gt=0, le=30, description="longest that an act waits for it")
    max_behind: int = Field(
        default=1024, ge=1, le=1_000_000, description="entries that it may lack before acts wait"
    )

    @field_validator("url")
    @classmethod
    def _is_web_url(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "https://unset.invalid")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
            raise ValueError("must be a URL such as https://witness.example.com/hitl, without a password")
        return value


class AuditSettings(SettingsModel):
    """The audit log."""

    checkpoint_every: int = Field(
        default=256, ge=1, le=100_000, description="entries after which the log is signed"
    )
    segments: Path | None = Field(
        default=None, description="directory for archived segments; audit-segments in the home when left out"
    )
    witness: WitnessSettings = WitnessSettings()


@asynccontextmanager
async def open_courier(settings: WitnessSettings) -> AsyncGenerator[WitnessCourier | None]:
    """What carries checkpoints to the configured address; None when there is none."""
    if settings.url is None:
        yield None
        return
    # Only those who configured an address pay for the import.
    import httpx2

    url = settings.url
    headers = {"Content-Type": "application/json"}
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=False) as client:

        async def post(body: bytes) -> int:
            try:
                answer = await client.post(url, content=body, headers=headers)
            except httpx2.HTTPError as error:
                raise OSError(type(error).__name__) from error
            return answer.status_code

        yield WitnessCourier(
            post,
            required=settings.required,
            timeout_seconds=settings.timeout_seconds,
            max_behind=max(settings.max_behind, 1),
        )
