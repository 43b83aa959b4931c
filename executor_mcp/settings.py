"""Settings of the executor: a YAML file, overridden by `EXECUTOR_…` in the environment."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from executor_mcp.executor_policy import ExecutorPolicy
from executor_mcp.network.settings import NetworkSettings
from executor_mcp.packages.settings import PackageSettings
from executor_mcp.policy_settings import PolicySettings
from executor_mcp.quota_settings import QuotaSettings
from executor_mcp.retention import RetentionPolicy
from executor_mcp.sandbox.settings import DEFAULT_IMAGE, BurstSettings, PoolSettings
from executor_mcp.start_record import SharedBounds
from server_kit.audit_settings import AuditSettings
from server_kit.logging import LogFormat, LogLevel
from server_kit.settings import SettingsModel, load_settings

PREFIX: Final = "EXECUTOR_"
CONFIG_VARIABLE: Final = "EXECUTOR_CONFIG"
DEFAULT_PORT: Final = 3002
DEFAULT_ISSUER: Final = "http://127.0.0.1:3003"
DEFAULT_AUDIENCE: Final = "hitl-executor"


def _web_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be a URL such as https://approvals.example.com")
    if parts.username or parts.password:
        raise ValueError("must not hold a name or a password")
    return value.rstrip("/")


WebUrl = Annotated[str, AfterValidator(_web_url)]


class HttpSettings(SettingsModel):
    """Where the server listens and how it is reached."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(
        default=DEFAULT_PORT, ge=0, le=65535, description="port to listen on; 0 takes a free one"
    )
    public_url: WebUrl | None = Field(
        default=None, description="URL at which agents reach this executor; host and port when left out"
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="further Host headers to answer to, such as executor.internal:3002"
    )
    allowed_origins: tuple[WebUrl, ...] = Field(
        default=(), description="further web origins whose pages may call this executor"
    )
    max_body_bytes: int = Field(
        default=16 * 1024 * 1024, ge=64 * 1024, le=256 * 1024 * 1024, description="largest request body"
    )
    metrics_token: SecretStr | None = Field(
        default=None, min_length=16, description="bearer token that may read /metrics; an API key may too"
    )


class WarmPoolSettings(SettingsModel):
    """Containers that wait for a program (docker alone)."""

    enabled: bool = True
    minimum: int = Field(
        default=2, ge=0, le=64, description="containers of the usual limits that always wait"
    )
    maximum: int = Field(default=8, ge=1, le=256, description="most containers that wait, of all limits")
    launches_at_a_time: int = Field(
        default=3, ge=1, le=32, description="containers made at a time, and as many removed"
    )
    most_waiting: int = Field(default=64, ge=0, le=1024, description="calls that wait when none is ready")
    patience_seconds: float = Field(
        default=15, gt=0, le=300, description="longest such wait; who would wait longer is told so at once"
    )

    @model_validator(mode="after")
    def _minimum_fits(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum ({self.minimum}) must not be more than maximum ({self.maximum})")
        return self

    def pool(self) -> PoolSettings:
        return PoolSettings(**self.model_dump())


class RetentionSettings(SettingsModel):
    """How long what executions put out is kept. The audit log and spent tokens are kept for ever."""

    output_days: float = Field(
        default=30, gt=0, le=36500, description="how long output, results and files are kept"
    )
    output_mb: int = Field(
        default=4096, ge=1, le=1 << 24, description="how much of it: then the oldest goes first"
    )
    record_days: float = Field(default=365, gt=0, le=36500, description="how long the execution is known")

    def policy(self) -> RetentionPolicy:
        return RetentionPolicy(
            output=timedelta(days=self.output_days),
            output_bytes=self.output_mb << 20,
            record=timedelta(days=self.record_days),
        )


class TracingSettings(SettingsModel):
    """Where spans are sent (OpenTelemetry over OTLP/HTTP). Off unless an endpoint is set."""

    endpoint: WebUrl | None = Field(default=None, description="collector, such as http://127.0.0.1:4318")
    token: SecretStr | None = Field(default=None, min_length=1, description="bearer token for the collector")
    service_name: str = Field(default="hitl-executor", min_length=1, max_length=128)


class QueueSettings(SettingsModel):
    """Executions that wait in the database until an executor has a place."""

    most_waiting: int = Field(default=64, ge=0, le=10_000, description="0: calls wait in the process instead")
    longest_wait_seconds: float = Field(
        default=300, ge=1, le=3600, description="what has not begun by then ends without having run"
    )


class BurstTierSettings(SettingsModel):
    """Executions of one agent that share an outer container (docker alone). Read docs/burst-tier.md first."""

    enabled: bool = False
    agents: tuple[str, ...] = Field(
        default=(), max_length=256, description="agents (`sub` of their tokens) whose programs may run so"
    )
    profiles: tuple[Literal["restricted", "standard", "trusted"], ...] = Field(
        default=("standard",), min_length=1, description="profiles that may run so; others never do"
    )
    most_at_a_time: int = Field(
        default=8, ge=1, le=32, description="executions at a time in one outer container; more run elsewhere"
    )
    most_containers: int = Field(default=8, ge=1, le=64, description="outer containers, one for each agent")
    max_executions: int = Field(
        default=1000, ge=1, le=100_000, description="executions after which an outer container is replaced"
    )
    max_age_seconds: float = Field(
        default=900, ge=1, le=86_400, description="age at which an outer container is replaced"
    )
    idle_seconds: float = Field(
        default=60, ge=1, le=86_400, description="time without an execution after which it is removed"
    )
    fresh_interpreter: bool = Field(
        default=False,
        description="start Python anew for each program: several times slower, a seed of its own",
    )

    @model_validator(mode="after")
    def _names_agents(self) -> Self:
        if self.enabled and not self.agents:
            raise ValueError("enabled needs agents: the names of those whose programs may share a container")
        return self

    def burst(self) -> BurstSettings:
        values = self.model_dump(exclude={"agents", "profiles"})
        return BurstSettings(agents=frozenset(self.agents), profiles=frozenset(self.profiles), **values)


class LogSettings(SettingsModel):
    """What is written to the log, on standard error."""

    level: LogLevel = "info"
    format: LogFormat = "text"


class Settings(SettingsModel):
    """Everything that can be set. Times in seconds."""

    home: Path = Field(
        default=Path("~/.hitl-executor"), description="directory for the receipt key, database and lock files"
    )
    database_url: str | None = Field(
        default=None, repr=False, description="sqlite+aiosqlite:///PATH or postgresql+asyncpg://…"
    )
    http: HttpSettings = HttpSettings()
    issuer: str = Field(
        default=DEFAULT_ISSUER, min_length=1, max_length=512, description="`iss` of the tokens to be trusted"
    )
    issuer_url: WebUrl | None = Field(
        default=None, description="where approved actions are read; the issuer itself when it is a URL"
    )
    jwks: str | None = Field(
        default=None,
        min_length=1,
        description="file or URL of the issuer's public keys; by default those that the issuer publishes",
    )
    revocations: str | None = Field(
        default=None,
        min_length=1,
        description="file or URL of the issuer's list of revoked tokens, or none; by default beside its keys",
    )
    revocations_required: bool = Field(
        default=True, description="whether nothing runs while that list cannot be read"
    )
    audience: str = Field(
        default=DEFAULT_AUDIENCE, min_length=1, max_length=512, description="`aud`: this executor's name"
    )
    leeway_seconds: int = Field(default=10, ge=0, le=30, description="tolerated difference of the clocks")
    sandbox: Literal["auto", "docker", "gvisor", "bubblewrap"] = "auto"
    image: str = Field(default=DEFAULT_IMAGE, min_length=1, description="sandbox image for docker and gvisor")
    container_runtime: str | None = Field(
        default=None,
        min_length=1,
        description="what the engine starts docker's containers with, such as crun; by default its default",
    )
    engine_seconds: float = Field(
        default=30, ge=1, le=600, description="how long an answer of the container engine is waited for"
    )
    pool: WarmPoolSettings = WarmPoolSettings()
    burst: BurstTierSettings = BurstTierSettings()
    max_concurrent: int = Field(default=8, ge=1, le=1024, description="programs that run at a time")
    max_concurrent_overall: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="programs that run at a time in all executors of a database",
    )
    max_queue_seconds: float = Field(
        default=30, ge=0, le=300, description="longest wait for a free place where there is no queue"
    )
    queue: QueueSettings = QueueSettings()
    quotas: QuotaSettings = QuotaSettings()
    require_api_key: bool = Field(default=False, description="whether every call needs an executor API key")
    api_key: SecretStr | None = Field(
        default=None, min_length=1, description="the key under which `hitl-executor mcp` works over stdio"
    )
    policy: PolicySettings = PolicySettings()
    packages: PackageSettings = PackageSettings()
    network: NetworkSettings = NetworkSettings()
    audit: AuditSettings = AuditSettings()
    retention: RetentionSettings = RetentionSettings()
    tracing: TracingSettings = TracingSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _home_is_absolute(self) -> Self:
        object.__setattr__(self, "home", self.home.expanduser().absolute())
        return self

    @property
    def shared_bounds(self) -> SharedBounds:
        """What all executors of one database keep together, and should therefore be set to alike."""
        return SharedBounds(
            quotas=self.quotas.rules(),
            at_a_time=self.max_concurrent_overall,
            most_waiting=self.queue.most_waiting or None,
            longest_wait_seconds=self.queue.longest_wait_seconds,
        )

    @property
    def effective_database_url(self) -> str:
        """The database's URL; a SQLite file in the home directory when none is set."""
        return self.database_url or f"sqlite+aiosqlite:///{self.home / 'executor.db'}"

    @property
    def effective_issuer_url(self) -> str | None:
        """Where the issuer answers; None when only its name is known."""
        if self.issuer_url is not None:
            return self.issuer_url
        return self.issuer.rstrip("/") if self.issuer.startswith(("http://", "https://")) else None

    @property
    def effective_jwks(self) -> str | None:
        """File or URL of the issuer's keys; None when there is nothing to derive it from."""
        if self.jwks is not None:
            return self.jwks
        url = self.effective_issuer_url
        return None if url is None else f"{url}/.well-known/jwks.json"

    @property
    def effective_revocations(self) -> str | None:
        """File or URL of the list of revoked tokens; None where there is none."""
        if self.revocations is not None:
            return None if self.revocations == "none" else self.revocations
        keys, usual = self.effective_jwks, "/.well-known/jwks.json"
        if keys is None or not keys.startswith(("http://", "https://")) or not keys.endswith(usual):
            return None
        return keys.removesuffix(usual) + "/.well-known/revoked-tokens"

    @property
    def packages_directory(self) -> Path:
        """Where locked packages are."""
        return (self.packages.directory or self.home / "packages").expanduser().absolute()

    @property
    def keys_directory(self) -> Path:
        """Where the receipt key is."""
        return self.home / "keys"


def load(environment: Mapping[str, str]) -> Settings:
    """Raises ConfigurationError naming each wrong setting, its value and what is allowed."""
    file = environment.get(CONFIG_VARIABLE)
    return load_settings(
        Settings,
        prefix=PREFIX,
        environment=environment,
        file=Path(file) if file else None,
        not_settings={CONFIG_VARIABLE},
    )


class SettingsFilePolicy:
    """Implements `policy_keeping.PolicyReader`: the policy as the file and the environment say it now."""

    def __init__(self, environment: Mapping[str, str], file: Path) -> None:
        self._environment = environment
        self.file = file

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self | None:
        """None where no file was named: the environment of a process does not change."""
        file = environment.get(CONFIG_VARIABLE)
        return cls(dict(environment), Path(file)) if file else None

    def read(self) -> ExecutorPolicy:
        return load(self._environment).policy.policy()
