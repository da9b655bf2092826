"""What can be set, with defaults and bounds."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from paceline.contracts.options import Options

#: Options of a plugin, as they were given.
Section = dict[str, object]
Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600, allow_inf_nan=False)]


def _names(value: object) -> object:
    """``"a,b"`` as ``["a", "b"]``: the form that environment and flags give."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return value


def _each_once(names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PydanticCustomError("twice", "names {names} twice", {"names": ", ".join(twice)})
    return names


def _without_credentials(url: str) -> str:
    """A name or password would go where the key goes, into the same header."""
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise PydanticCustomError(
            "credentials",
            "must not carry a user or password: an API takes one key, so set provider.api_key",
        )
    return url


def _collector(url: str) -> str:
    scheme, found, rest = url.partition("://")
    if scheme not in ("http", "https") or not found or not rest.strip("/") or "@" in rest:
        # Not quoted: it may hold a password.
        raise PydanticCustomError(
            "credentials",
            "must be http://HOST:PORT or https://…, without user or password: a token goes into "
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
    """Where runs and artifacts are kept: sqlite or postgresql+asyncpg."""
    pool_size: int = Field(default=10, ge=1, le=1000)
    """Connections that a process keeps open; a ceiling, see ``budget``."""
    max_overflow: int = Field(default=20, ge=0, le=1000)
    """Connections that a process may open beyond ``pool_size``; a ceiling too."""
    pool_timeout: Seconds = 60.0
    """Seconds to wait for a connection of the pool."""
    budget: Literal["shrink", "refuse"] = "shrink"
    """When the pools of all processes do not fit the server: size them down, or do not start."""
    reserve: int = Field(default=10, ge=0, le=10_000)
    """Connections of the server that workers leave to people and short commands."""
    connect_timeout: Seconds = 10.0
    """Seconds to wait for the server when connecting."""


class RedisSettings(Options):
    """Redis or Valkey: broker of the queues, shared limits, events across processes."""

    url: SecretStr | None = None
    """``redis://`` or ``rediss://`` with user, password and database."""
    prefix: str = Field(default="paceline", min_length=1, max_length=100, pattern=r"^[\w.:-]+$")
    """Every key begins with it."""
    max_connections: int = Field(default=16, ge=4, le=1000)
    """Connections of one process at most, half of them for events; who finds none free waits."""
    timeout: Seconds = 10.0
    """Seconds to wait for a connection or an answer."""

    def tls_options(self) -> dict[str, bool]:
        """What TLS connections need beyond the URL.

        redis-py below 6 checks a certificate but not whose it is; a URL that says how to check
        (``ssl_…``) is left alone.
        """
        url = "" if self.url is None else self.url.get_secret_value()
        checked_by_us = url.startswith("rediss:") and "ssl_" not in url.partition("?")[2]
        return {"ssl_check_hostname": True} if checked_by_us else {}


class ProviderSettings(Options):
    """The LLM."""

    name: str = "openai"
    """Which provider plugin."""
    base_url: BaseUrl | None = None
    """Address of an OpenAI-compatible API; its own when not set."""
    api_key: SecretStr | None = None
    """The API's key."""
    model: str = Field(default="gpt-4o-mini", min_length=1, max_length=200)
    """Model to ask."""
    language: str = Field(default="auto", min_length=2, max_length=60)
    """Language to write in; ``auto`` is the roadmap's own."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Sampling temperature; the model's own when not set."""
    timeout: Seconds = 180.0
    """Seconds that one attempt may take."""
    attempts: int = Field(default=4, ge=1, le=20)
    """Attempts of one call that may fail in passing, before its concept fails."""
    backoff: Seconds = 1.0
    """Seconds that the first pause between attempts lasts at most; it doubles, with full jitter."""
    max_backoff: Seconds = 60.0
    """Bound of a pause, and of how long a server may make us wait with ``retry-after``."""
    patience: Seconds = 900.0
    """Seconds that one call may spend being refused before its concept fails."""
    max_connections: int = Field(default=1000, ge=1, le=20_000)
    """HTTP connections of one process, as far as its limit of open files allows: calls in flight
    beyond them wait."""
    prompt_price: float | None = Field(default=None, ge=0)
    """Price of a million prompt tokens, for the artifacts' cost."""
    completion_price: float | None = Field(default=None, ge=0)
    """Price of a million answer tokens."""


class RunSettings(Options):
    """How a roadmap is worked on."""

    steps: Names = Field(default_factory=lambda: ["tutorial", "resources", "quiz"])
    """What is made for each concept, in order."""
    failure_threshold: float = Field(default=0.5, ge=0, le=1)
    """A run fails when more than this share of its concepts failed; else it is partial."""
    deadline: Seconds = 1440.0
    """Seconds after which a worker stops a run and queues it again."""
    lease: Seconds = Field(default=30.0, ge=1)
    """Seconds after which a silent worker loses its runs."""
    grace: Seconds = 25.0
    """Seconds that calls in flight may take to end when a worker is told to stop."""
    poison_after: int = Field(default=3, ge=1, le=100)
    """Owners lost in a row, without a new artifact, until a run is given up."""


class EventSettings(Options):
    """Progress events."""

    bus: str = "auto"
    """``memory``, ``redis`` or another plugin; ``auto`` is redis where ``redis.url`` is set."""
    max_length: int = Field(default=10_000, ge=100, le=10_000_000)
    """Events kept per run."""
    keep: Seconds = 86_400.0
    """Seconds that a run's events are kept after the last one."""


class OtelSettings(Options):
    """OpenTelemetry: traces and metrics, sent where an endpoint is set."""

    endpoint: Annotated[str, AfterValidator(_collector)] | None = None
    """OTLP over HTTP: the collector's address without ``/v1/traces``; not set, nothing is sent."""
    content: bool = False
    """Whether prompts and answers are recorded in the spans of attempts."""


class LogSettings(Options):
    """What is said on stderr."""

    format: Literal["plain", "json"] = "plain"
    """``json`` is one object a line, with the ids of what it concerns."""


def _sendable(token: SecretStr) -> SecretStr:
    """Anything else would arrive as something else, and never fit."""
    if not all("!" <= letter <= "~" for letter in token.get_secret_value()):
        raise PydanticCustomError(
            "credentials", "must be of ASCII letters, digits and signs, without spaces"
        )
    return token


class TokenSettings(Options):
    """A bearer token."""

    token: Annotated[SecretStr, AfterValidator(_sendable)] = Field(min_length=16, max_length=512)
    """The token itself: at least 16 characters, better 32 random ones."""
    tenant: str = Field(default="default", min_length=1, max_length=100, pattern=r"^[\w.:-]+$")
    """Whose runs it shows and makes."""
    scope: Literal["read", "write"] = "write"
    """``read`` looks; ``write`` also submits, cancels, resumes and retries."""


def _one_owner(tokens: list[TokenSettings]) -> list[TokenSettings]:
    secrets = [one.token.get_secret_value() for one in tokens]
    for place, secret in enumerate(secrets):
        if secret in secrets[:place]:
            raise PydanticCustomError("twice", "has token {place} twice", {"place": place})
    return tokens


class WebSettings(Options):
    """What ``paceline serve`` serves, to whom, and how much of it."""

    host: str = Field(default="127.0.0.1", min_length=1, max_length=253)
    """Address to listen on. Beyond loopback a token is required."""
    port: int = Field(default=8080, ge=0, le=65_535)
    """Port to listen on; 0 is a free one."""
    tokens: Annotated[list[TokenSettings], AfterValidator(_one_owner)] = Field(
        default_factory=list[TokenSettings], max_length=1000
    )
    """Bearer tokens; where there are some, every request needs one."""
    hosts: Names | None = None
    """Names that the server answers to in ``Host``, beside those of loopback."""
    origins: Names | None = None
    """Other origins whose pages may change things and open sockets, as ``https://example.org``."""
    max_body: int = Field(default=8 * 2**20, ge=1024, le=32 * 2**20)
    """Bytes of a request's body, at most."""
    rate: float = Field(default=50.0, gt=0, le=100_000)
    """Requests a second of one client; twice as many may come at once."""
    max_streams: int = Field(default=2000, ge=1, le=100_000)
    """Sockets and event streams open at once."""
    max_streams_per_client: int = Field(default=100, ge=1, le=100_000)
    """Of them, those of one client."""
    send_timeout: Seconds = 10.0
    """Seconds that a client may take nothing of its stream before it is closed."""


class Settings(Options):
    """Everything that can be set."""

    strategy: Names = Field(default_factory=lambda: ["per-roadmap"], max_length=8)
    """Names of the strategies, outer first."""
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
    """Own prompt templates: step name to file."""
    strategies: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of strategies, by name."""
    executors: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of executors, by name."""
    providers: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of providers, by name."""

    @property
    def store_kind(self) -> str:
        """The scheme of the store's URL, which names the store's plugin."""
        return self.store.url.get_secret_value().partition(":")[0].partition("+")[0]

    @property
    def ledger_kind(self) -> str:
        """Where limits are shared: in Redis as soon as there is one."""
        return "memory" if self.redis.url is None else "redis"

    @property
    def telemetry_kind(self) -> str | None:
        """Who is told of the work: nobody, or OpenTelemetry once there is where to send it."""
        return None if self.otel.endpoint is None else "otel"

    @property
    def bus_kind(self) -> str:
        """The event bus's name."""
        return self.ledger_kind if self.events.bus == "auto" else self.events.bus
