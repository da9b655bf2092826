"""All settings, with defaults and bounds. The docstrings are the text of help and docs."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from paceline.contracts.options import Options

#: Raw options of a plugin.
Section = dict[str, object]
Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600, allow_inf_nan=False)]


def _names(value: object) -> object:
    """Read ``"a,b"`` as ``["a", "b"]``, for the environment and the command line."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return value


def _each_once(names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PydanticCustomError("twice", "names {names} twice", {"names": ", ".join(twice)})
    return names


def _without_credentials(url: str) -> str:
    """Refuse a user or password, because both would use the header of the API key."""
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise PydanticCustomError(
            "credentials",
            "must not carry a user or password: an API takes one key, so set provider.api_key",
        )
    return url


def _collector(url: str) -> str:
    scheme, found, rest = url.partition("://")
    if scheme not in ("http", "https") or not found or not rest.strip("/") or "@" in rest:
        # The error does not show the URL, because it may contain a password.
        raise PydanticCustomError(
            "credentials",
            "must be http://HOST:PORT or https://…, without user or password: set a token in "
            "OTEL_EXPORTER_OTLP_HEADERS",
        )
    return url


Names = Annotated[
    list[str], BeforeValidator(_names), Field(min_length=1), AfterValidator(_each_once)
]
BaseUrl = Annotated[str, AfterValidator(_without_credentials)]


class StoreSettings(Options):
    """The database."""

    url: SecretStr = SecretStr("sqlite+aiosqlite:///paceline.db")
    """Database URL, for example ``sqlite:///paceline.db`` or ``postgresql://user@host/name``."""
    pool_size: int = Field(default=10, ge=1, le=1000)
    """Maximum number of connections that a process keeps open; ``budget`` may lower it."""
    max_overflow: int = Field(default=20, ge=0, le=1000)
    """Maximum number of connections beyond ``pool_size``; ``budget`` may lower it."""
    pool_timeout: Seconds = 60.0
    """Seconds to wait for a free connection of the pool."""
    budget: Literal["shrink", "refuse"] = "shrink"
    """If the pools of all processes exceed the server: ``shrink`` them or ``refuse`` to start."""
    reserve: int = Field(default=10, ge=0, le=10_000)
    """Number of server connections that workers leave free for other clients and commands."""
    connect_timeout: Seconds = 10.0
    """Seconds to wait for a new connection to the server."""


class RedisSettings(Options):
    """Redis or Valkey: the broker of queues, shared limits, and events between processes."""

    url: SecretStr | None = None
    """``redis://`` or ``rediss://`` with user, password and database."""
    prefix: str = Field(default="paceline", min_length=1, max_length=100, pattern=r"^[\w.:-]+$")
    """Prefix of every key."""
    max_connections: int = Field(default=16, ge=4, le=1000)
    """Maximum number of connections of a process; half of them are for events."""
    timeout: Seconds = 10.0
    """Seconds to wait for a connection or a response."""

    def tls_options(self) -> dict[str, bool]:
        """Options of TLS connections in addition to the URL.

        redis-py before version 6 does not check the host name of a certificate by default. If
        the URL has ``ssl_…`` options of its own, nothing is added.
        """
        url = "" if self.url is None else self.url.get_secret_value()
        add_check = url.startswith("rediss:") and "ssl_" not in url.partition("?")[2]
        return {"ssl_check_hostname": True} if add_check else {}


class ProviderSettings(Options):
    """The LLM."""

    name: str = "openai"
    """Name of the provider plugin."""
    base_url: BaseUrl | None = None
    """Base URL of an OpenAI-compatible API; OpenAI's own if not set."""
    api_key: SecretStr | None = None
    """API key."""
    model: str = Field(default="gpt-4o-mini", min_length=1, max_length=200)
    """Model name."""
    language: str = Field(default="auto", min_length=2, max_length=60)
    """Language of the content; ``auto`` uses the language of the roadmap."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Sampling temperature; the model's default if not set."""
    timeout: Seconds = 180.0
    """Maximum seconds of one attempt."""
    attempts: int = Field(default=4, ge=1, le=20)
    """Maximum attempts of one call with temporary failures before its concept fails."""
    backoff: Seconds = 1.0
    """Maximum seconds of the first pause between attempts; it doubles, with full jitter."""
    max_backoff: Seconds = 60.0
    """Maximum seconds of a pause, also if the provider's ``retry-after`` is longer."""
    patience: Seconds = 900.0
    """Maximum seconds during which the provider may refuse one call before its concept fails."""
    max_connections: int = Field(default=1000, ge=1, le=20_000)
    """Maximum number of HTTP connections of a process, within its limit of open files."""
    prompt_price: float | None = Field(default=None, ge=0)
    """Price of a million prompt tokens, for the cost of artifacts."""
    completion_price: float | None = Field(default=None, ge=0)
    """Price of a million completion tokens."""


class RunSettings(Options):
    """How workers process a run."""

    steps: Names = Field(default_factory=lambda: ["tutorial", "resources", "quiz"])
    """Steps of each concept, in order."""
    failure_threshold: float = Field(default=0.5, ge=0, le=1)
    """A run fails if more than this share of its concepts failed; otherwise it is partial."""
    deadline: Seconds = 1440.0
    """Maximum seconds that a worker works on a run; then it queues the run again."""
    lease: Seconds = Field(default=30.0, ge=1)
    """Seconds without a heartbeat after which a worker loses its runs."""
    grace: Seconds = 25.0
    """Seconds to wait for calls in flight when a worker stops."""
    poison_after: int = Field(default=3, ge=1, le=100)
    """A run fails after losing this many workers in a row without a new artifact."""


class EventSettings(Options):
    """Progress events."""

    bus: str = "auto"
    """Name of the event bus; ``auto`` is ``redis`` if ``redis.url`` is set, else ``memory``."""
    max_length: int = Field(default=10_000, ge=100, le=10_000_000)
    """Maximum number of events kept per run."""
    keep: Seconds = 86_400.0
    """Seconds to keep a run's events after its last event."""


class OtelSettings(Options):
    """OpenTelemetry traces and metrics; they are sent if an endpoint is set."""

    endpoint: Annotated[str, AfterValidator(_collector)] | None = None
    """Address of an OTLP/HTTP collector, without ``/v1/traces``; if not set, nothing is sent."""
    content: bool = False
    """Whether to record prompts and answers in spans."""


class LogSettings(Options):
    """The log on stderr."""

    format: Literal["plain", "json"] = "plain"
    """``json`` writes one object per line, with ids of run, concept and worker."""


def _sendable(token: SecretStr) -> SecretStr:
    """Refuse characters that an HTTP header changes, because such a token never matches."""
    if not all("!" <= letter <= "~" for letter in token.get_secret_value()):
        raise PydanticCustomError(
            "credentials", "must consist of printable ASCII characters without spaces"
        )
    return token


class TokenSettings(Options):
    """A bearer token for the web API."""

    token: Annotated[SecretStr, AfterValidator(_sendable)] = Field(min_length=16, max_length=512)
    """The token: at least 16 characters, better 32 random ones."""
    tenant: str = Field(default="default", min_length=1, max_length=100, pattern=r"^[\w.:-]+$")
    """Tenant of the runs that the token can read and submit."""
    scope: Literal["read", "write"] = "write"
    """``read`` allows reading; ``write`` also allows submitting, cancelling and resuming."""


def _one_owner(tokens: list[TokenSettings]) -> list[TokenSettings]:
    secrets = [one.token.get_secret_value() for one in tokens]
    for place, secret in enumerate(secrets):
        if secret in secrets[:place]:
            raise PydanticCustomError("twice", "has token {place} twice", {"place": place})
    return tokens


class WebSettings(Options):
    """The server of ``paceline serve``."""

    host: str = Field(default="127.0.0.1", min_length=1, max_length=253)
    """Address to listen on; any address except loopback requires ``tokens``."""
    port: int = Field(default=8080, ge=0, le=65_535)
    """Port to listen on; 0 picks a free port."""
    tokens: Annotated[list[TokenSettings], AfterValidator(_one_owner)] = Field(
        default_factory=list[TokenSettings], max_length=1000
    )
    """Bearer tokens; if any are set, every request needs one."""
    hosts: Names | None = None
    """Accepted values of the ``Host`` header, in addition to loopback names."""
    origins: Names | None = None
    """Other origins that may send changes and open sockets, for example ``https://example.org``."""
    max_body: int = Field(default=8 * 2**20, ge=1024, le=32 * 2**20)
    """Maximum bytes of a request body."""
    rate: float = Field(default=50.0, gt=0, le=100_000)
    """Maximum requests per second of one client; bursts may be twice as large."""
    max_streams: int = Field(default=2000, ge=1, le=100_000)
    """Maximum number of open sockets and event streams."""
    max_streams_per_client: int = Field(default=100, ge=1, le=100_000)
    """Maximum number of open sockets and event streams of one client."""
    send_timeout: Seconds = 10.0
    """If a client reads nothing for this many seconds, its stream is closed."""


class Settings(Options):
    """All settings."""

    strategy: Names = Field(default_factory=lambda: ["per-roadmap"], max_length=8)
    """Names of the strategies, the outer one first."""
    executor: str = "in-process"
    """Name of the executor."""
    store: StoreSettings = StoreSettings()
    redis: RedisSettings = RedisSettings()
    provider: ProviderSettings = ProviderSettings()
    run: RunSettings = RunSettings()
    events: EventSettings = EventSettings()
    otel: OtelSettings = OtelSettings()
    log: LogSettings = LogSettings()
    web: WebSettings = WebSettings()
    prompts: dict[str, Path] = Field(default_factory=dict[str, Path])
    """Files with your own prompt templates, by step name."""
    strategies: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of strategies, by name."""
    executors: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of executors, by name."""
    providers: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of providers, by name."""

    @property
    def store_kind(self) -> str:
        """Name of the store plugin: the scheme of ``store.url``."""
        return self.store.url.get_secret_value().partition(":")[0].partition("+")[0]

    @property
    def ledger_kind(self) -> str:
        """Name of the ledger plugin: ``redis`` if ``redis.url`` is set, else ``memory``."""
        return "memory" if self.redis.url is None else "redis"

    @property
    def telemetry_kind(self) -> str | None:
        """Name of the telemetry plugin; ``None`` if ``otel.endpoint`` is not set."""
        return None if self.otel.endpoint is None else "otel"

    @property
    def bus_kind(self) -> str:
        """Name of the event bus plugin."""
        return self.ledger_kind if self.events.bus == "auto" else self.events.bus
