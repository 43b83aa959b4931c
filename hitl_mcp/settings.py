"""Settings of the approval server: a YAML file, overridden by `HITL_…` in the environment."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
import os
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from hitl_contract.capability import DEFAULT_LIFETIME_SECONDS, MAX_LIFETIME_SECONDS
from hitl_mcp.approvals.models import APPROVAL_VALIDITY_SECONDS
from hitl_mcp.attention.settings import AttentionSettings, CanarySettings
from hitl_mcp.errors import IdentityRefused
from hitl_mcp.identity.hierarchy import RoleHierarchy
from hitl_mcp.minting.passphrases import PASSPHRASE_VARIABLES
from hitl_mcp.notifiers.settings import ConsoleSettings, SharingSettings, SlackSettings, TelegramSettings
from hitl_mcp.risk.settings import RiskSettings
from server_kit.audit_settings import AuditSettings
from server_kit.logging import LogFormat, LogLevel
from server_kit.settings import SettingsModel, load_settings

PREFIX: Final = "HITL_"
CONFIG_VARIABLE: Final = "HITL_CONFIG"
# What people and scripts give to single commands, and what no server reads.
NOT_SETTINGS: Final = frozenset(
    {CONFIG_VARIABLE, "HITL_PASSWORD", "HITL_INIT_PASSWORD", "HITL_API_KEY", "HITL_URL"}
    | PASSPHRASE_VARIABLES
)
DEFAULT_PORT: Final = 3003
DEFAULT_AUDIENCE: Final = "hitl-executor"


def _web_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be a URL such as https://approvals.example.com")
    if parts.username or parts.password:
        raise ValueError("must not hold a name or a password")
    return value.rstrip("/")


def _origin_url(value: str) -> str:
    if urlsplit(_web_url(value)).path not in {"", "/"}:
        raise ValueError("must have no path: the server answers at the root of its host")
    return _web_url(value)


def _role_hierarchy(value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    try:
        RoleHierarchy(value)
    except IdentityRefused as refused:
        raise ValueError(refused.reason) from None
    return value


WebUrl = Annotated[str, AfterValidator(_web_url)]
OriginUrl = Annotated[str, AfterValidator(_origin_url)]


class HttpSettings(SettingsModel):
    """Where the server listens and how it is reached."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(
        default=DEFAULT_PORT, ge=0, le=65535, description="port to listen on; 0 takes a free one"
    )
    public_url: OriginUrl | None = Field(
        default=None,
        description="URL at which people and agents reach this server; host and port when left out",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="further Host headers to answer to, such as approvals.internal:3003"
    )
    allowed_origins: tuple[OriginUrl, ...] = Field(
        default=(), description="further web origins whose pages may call this server"
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="networks of reverse proxies whose X-Forwarded-For is believed"
    )
    max_body_bytes: int = Field(
        default=16 * 1024 * 1024, ge=64 * 1024, le=256 * 1024 * 1024, description="largest request body"
    )
    metrics_token: SecretStr | None = Field(
        default=None, min_length=16, description="bearer token that may read /metrics; none may without it"
    )

    @property
    def url(self) -> str:
        """The public URL, or else the address that is listened on."""
        if self.public_url is not None:
            return self.public_url
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - only compared
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class LogSettings(SettingsModel):
    """What is written to the log, on standard error."""

    level: LogLevel = "info"
    format: LogFormat = "text"


class TracingSettings(SettingsModel):
    """Where spans are sent (OpenTelemetry over OTLP/HTTP). Off unless an endpoint is set."""

    endpoint: WebUrl | None = Field(default=None, description="collector, such as http://127.0.0.1:4318")
    token: SecretStr | None = Field(default=None, min_length=1, description="bearer token for the collector")
    service_name: str = Field(default="hitl-mcp", min_length=1, max_length=128)


class Settings(SettingsModel):
    """Everything that can be set. Times in seconds."""

    home: Path = Field(default=Path("~/.hitl"), description="directory for keys, database and server files")
    database_url: str | None = Field(
        default=None, repr=False, description="sqlite+aiosqlite:///PATH or postgresql+asyncpg://…"
    )
    agent: str | None = Field(
        default=None, min_length=1, max_length=64, description="whose requests `hitl mcp` makes over stdio"
    )
    http: HttpSettings = HttpSettings()
    executor_url: WebUrl = Field(
        default="http://127.0.0.1:3002", description="where POST /execute hands executions on to"
    )
    token_issuer: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="`iss` of tokens; the public URL when left out",
    )
    audience: str = Field(
        default=DEFAULT_AUDIENCE,
        min_length=1,
        max_length=512,
        description="`aud` of tokens: the executor's name",
    )
    token_lifetime_seconds: int = Field(default=DEFAULT_LIFETIME_SECONDS, ge=1, le=MAX_LIFETIME_SECONDS)
    approval_validity_seconds: int = Field(default=APPROVAL_VALIDITY_SECONDS, ge=60, le=604_800)
    session_seconds: int = Field(default=8 * 3600, ge=300, le=30 * 24 * 3600)
    roles: Annotated[dict[str, tuple[str, ...]], AfterValidator(_role_hierarchy)] = Field(
        default_factory=dict, description="roles that stand for others: {security-lead: [security, approver]}"
    )
    policies: Path | None = Field(
        default=None, description="directory of the rules; policies in the home directory when left out"
    )
    max_delegation_days: int = Field(default=30, ge=1, le=365, description="longest delegation")
    dispatcher_lease_seconds: float = Field(default=10, ge=1, le=300)
    attention: AttentionSettings = AttentionSettings()
    canaries: CanarySettings = CanarySettings()
    audit: AuditSettings = AuditSettings()
    risk: RiskSettings = RiskSettings()
    tracing: TracingSettings = TracingSettings()
    log: LogSettings = LogSettings()
    sharing: SharingSettings = SharingSettings()
    console: ConsoleSettings = ConsoleSettings()
    slack: SlackSettings | None = None
    telegram: TelegramSettings | None = None

    @model_validator(mode="after")
    def _home_is_absolute(self) -> Self:
        object.__setattr__(self, "home", self.home.expanduser().absolute())
        return self

    @property
    def issuer(self) -> str:
        """`iss` of this server's tokens."""
        return self.token_issuer or self.http.url

    @property
    def effective_database_url(self) -> str:
        """The database's URL; a SQLite file in the home directory when none is set."""
        return self.database_url or f"sqlite+aiosqlite:///{self.home / 'hitl.db'}"

    @property
    def policies_directory(self) -> Path:
        """The rules. Without this directory, and none set, one approver is asked about everything."""
        return (self.policies or self.home / "policies").expanduser().absolute()

    @property
    def keys_directory(self) -> Path:
        """Where the keys are."""
        return self.home / "keys"

    @property
    def identity_register_file(self) -> Path:
        """The memory of who is who, outside of the database."""
        return self.home / "identity-register.json"

    @property
    def witness_file(self) -> Path | None:
        """The audit log's witness, outside of the database; None when only a second place remembers."""
        return self.home / "audit-witness.jsonl" if self.audit.witness.keep_file else None

    @property
    def segments_directory(self) -> Path:
        """Where archived segments of the audit log are."""
        return (self.audit.segments or self.home / "audit-segments").expanduser().absolute()


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process.

    The file is `HITL_CONFIG`, or else `config.yaml` in the home directory when it is there.

    Raises:
        ConfigurationError: naming each wrong setting, its value (never a secret's) and what is allowed.
    """
    environment = os.environ if environment is None else environment
    stated = environment.get(CONFIG_VARIABLE)
    home = Path(environment.get("HITL_HOME") or "~/.hitl").expanduser().absolute()
    found = home / "config.yaml"
    file = Path(stated).expanduser() if stated else (found if found.is_file() else None)
    return load_settings(
        Settings, prefix=PREFIX, environment=environment, file=file, not_settings=NOT_SETTINGS
    )
