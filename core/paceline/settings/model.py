"""All settings, with defaults and bounds. The docstrings are the text of help and docs."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

from paceline.contracts.options import Options
from paceline.contracts.provider import NO_KEY
from paceline.contracts.sink import DeliveryKind
from paceline.contracts.storage.outbox import KINDS
from paceline.errors import SettingsError
from paceline.settings.durations import Duration
from paceline.text import unknown

NameT = TypeVar("NameT", bound=str)
#: Raw options of a plugin.
Section = dict[str, object]
Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600, allow_inf_nan=False)]


def _names(value: object) -> object:
    """Read ``"a,b"`` as ``["a", "b"]``, for the environment and the command line."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return value


def _each_once(names: list[NameT]) -> list[NameT]:
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
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or "@" in url:
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
VariableName = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
#: The model of steps that name none; ``[provider]`` unless ``[models.main]`` is set.
MAIN_MODEL = "main"


class StoreSettings(Options):
    """The database."""

    url: SecretStr = SecretStr("sqlite+aiosqlite:///paceline.db")
    """Database URL, for example ``sqlite:///paceline.db`` or ``postgresql://user@host/name``."""
    schema_name: str | None = Field(default=None, pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    """PostgreSQL schema for paceline's tables; the first of the search path if not set."""
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
    prefix: str = Field(
        default="paceline",
        min_length=1,
        max_length=100,
        pattern=r"^[\w.:-]*(\{[\w.:-]+\})?[\w.:-]*$",
    )
    """Prefix of every key and channel; arq's keys begin with ``arq:`` and contain it. In a
    cluster, put a name in braces, such as ``{paceline}``: then all keys are on one node."""
    max_connections: int = Field(default=16, ge=4, le=1000)
    """Maximum number of connections of a process; half of them are for events."""
    timeout: Seconds = 10.0
    """Seconds to wait for a connection or a response."""


class ProviderSettings(Options):
    """The LLM, if one model is enough; what ``[models.NAME]`` leaves out is taken from here."""

    name: str = "openai"
    """Name of the provider plugin."""
    base_url: BaseUrl | None = None
    """Base URL of an OpenAI-compatible API; OpenAI's own if not set."""
    api_key: SecretStr | None = None
    """API key."""
    api_key_env: VariableName | None = None
    """Name of the environment variable that contains the API key, instead of ``api_key``."""
    model: str = Field(default="gpt-4o-mini", min_length=1, max_length=200)
    """Model name."""
    language: str = Field(default="auto", min_length=2, max_length=60)
    """Language of the content; ``auto`` uses the language of the roadmap."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Sampling temperature; the model's default if not set."""
    max_tokens: int | None = Field(default=None, ge=1, le=10_000_000)
    """Longest answer that the model can write, in tokens; bounds of steps are cut to it."""
    context_window: int | None = Field(default=None, ge=256, le=100_000_000)
    """Tokens of prompt and answer together that fit the model; learned from errors if not set."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue], max_length=100)
    """More fields of each request, as the API names them, for example ``top_p`` or ``seed``."""
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
    max_connections: int | None = Field(default=None, ge=1, le=20_000)
    """Maximum number of HTTP connections of a process, within its limit of open files; if not set,
    as many as that limit allows, up to 20 000. Further calls wait, and ``status`` says so."""
    prompt_price: float | None = Field(default=None, ge=0)
    """Price of a million prompt tokens, for the cost of artifacts."""
    cached_prompt_price: float | None = Field(default=None, ge=0)
    """Price of a million prompt tokens that the provider read from its cache; ``prompt_price``
    if not set."""
    completion_price: float | None = Field(default=None, ge=0)
    """Price of a million completion tokens."""
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    """Currency of the prices: three letters of ISO 4217."""

    def cost(
        self, prompt_tokens: int, completion_tokens: int, cached_prompt_tokens: int = 0
    ) -> float | None:
        """Cost of tokens in ``currency``; ``None`` if no price is set."""
        if self.prompt_price is None or self.completion_price is None:
            return None
        cached = min(cached_prompt_tokens, prompt_tokens)
        cached_price = self.prompt_price
        if self.cached_prompt_price is not None:
            cached_price = self.cached_prompt_price
        prompts = (prompt_tokens - cached) * self.prompt_price + cached * cached_price
        return (prompts + completion_tokens * self.completion_price) / 1e6


class ModelSettings(Options):
    """One model, for the steps that name it; what is left out is taken from ``[provider]``."""

    provider: str | None = None
    """Name of the provider plugin."""
    base_url: BaseUrl | None = None
    """Base URL of the API. A model with its own base URL needs its own key: the key of
    ``[provider]`` is not sent there."""
    api_key: SecretStr | None = None
    """API key."""
    api_key_env: VariableName | None = None
    """Name of the environment variable that contains the API key, instead of ``api_key``."""
    model: str | None = Field(default=None, min_length=1, max_length=200)
    """Model name, as the API knows it."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Sampling temperature."""
    max_tokens: int | None = Field(default=None, ge=1, le=10_000_000)
    """Longest answer that the model can write, in tokens; bounds of steps are cut to it."""
    context_window: int | None = Field(default=None, ge=256, le=100_000_000)
    """Tokens of prompt and answer together that fit the model."""
    parameters: dict[str, JsonValue] | None = Field(default=None, max_length=100)
    """More fields of each request, as the API names them, for example ``top_p`` or ``seed``."""
    timeout: Seconds | None = None
    """Maximum seconds of one attempt."""
    attempts: int | None = Field(default=None, ge=1, le=20)
    """Maximum attempts of one call with temporary failures."""
    patience: Seconds | None = None
    """Maximum seconds during which the model may refuse calls, or be unreachable, before the
    next model of the chain is asked."""
    prompt_price: float | None = Field(default=None, ge=0)
    """Price of a million prompt tokens; a model with its own name takes none from
    ``[provider]``."""
    cached_prompt_price: float | None = Field(default=None, ge=0)
    """Price of a million prompt tokens that the provider read from its cache."""
    completion_price: float | None = Field(default=None, ge=0)
    """Price of a million completion tokens."""


class StepSettings(Options):
    """One step; keys that are not listed here are the step's own options."""

    model_config = ConfigDict(extra="allow")

    use: str | None = Field(default=None, min_length=1, max_length=200)
    """Registered step to use under this name; ``PLUGIN:STEP`` replaces a built-in step."""
    model: Names | None = None
    """Names of models in order of fallback; ``main`` if not set."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Sampling temperature, instead of the model's."""
    max_tokens: int | None = Field(default=None, ge=1, le=10_000_000)
    """Longest answer, in tokens, instead of the step's own."""
    prompt: Path | None = None
    """File with your own prompt template, with ``$name`` or, as ``NAME.j2``, in Jinja2."""
    needs: Annotated[list[str], BeforeValidator(_names), AfterValidator(_each_once)] | None = None
    """Names of the steps that must be made before this one; independent steps run at once."""
    checks: Annotated[list[str], BeforeValidator(_names), AfterValidator(_each_once)] = Field(
        default_factory=list[str]
    )
    """Names of the checks of the finished answer, in order."""

    def options(self) -> Mapping[str, object]:
        """The step's own options, raw."""
        return self.__pydantic_extra__ or {}


@cache
def _no_step_settings() -> StepSettings:
    return StepSettings()


class RunSettings(Options):
    """How workers process a run."""

    steps: Names = Field(default_factory=lambda: ["tutorial", "resources", "quiz"])
    """Steps of each concept, in order."""
    context_schema: Path | None = None
    """File with a JSON schema that the context of every submitted run must match."""
    failure_threshold: float = Field(default=0.5, ge=0, le=1)
    """A run fails if more than this share of its concepts failed; otherwise it is partial."""
    deadline: Seconds = 1440.0
    """Maximum seconds that a worker works on a run; then it queues the run again. Time in which
    the whole run waits for admission does not count."""
    lease: Seconds = Field(default=30.0, ge=1)
    """Seconds without a heartbeat after which a worker loses its runs."""
    grace: Seconds = 25.0
    """Seconds to wait for calls in flight when a worker stops."""
    poison_after: int = Field(default=3, ge=1, le=100)
    """A run fails after losing this many workers in a row without a new artifact."""
    parallel_steps: bool = False
    """Whether ``resources`` and ``quiz`` run at the same time, after the tutorial."""
    keep_journal: bool = False
    """Whether to keep what steps recorded with ``ctx.once`` after their artifact is saved."""
    reuse: Literal["off", "tenant"] = "off"
    """``tenant``: a new run takes over artifacts of any run of its tenant that were made from the
    same inputs."""


def _pool(keys: object) -> object:
    """Read names of environment variables, as a list or ``"A,B"``, as a table without secrets."""
    names = _names(keys)
    if not isinstance(names, list):
        return keys
    table: dict[str, None] = {}
    for name in cast("list[object]", names):
        # The error does not show the value, because it may be a misplaced secret.
        if not (isinstance(name, str) and re.fullmatch(r"[A-Z][A-Z0-9_]*", name)):
            raise PydanticCustomError(
                "credentials",
                "must be a table NAME = SECRET, or a list of names of environment variables in "
                "capital letters",
            )
        table[name] = None
    return table


#: Name of a resource or of a key in its pool. The length is apart, because a pattern that repeats
#: all letters of Unicode up to 100 times takes longer to compile than all other settings.
ResourceName = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9][\w.-]*$")]


#: Name of a sink.
SinkName = ResourceName


class ResourceSettings(Options):
    """A service with a quota besides the LLM, for example a search API."""

    requests_per_minute: int | None = Field(default=None, ge=1, le=10_000_000)
    """Requests that all workers together start in any minute, for each of ``keys``."""
    concurrency: int | None = Field(default=None, ge=1, le=100_000)
    """Uses that all workers together have in flight, for each of ``keys``."""
    keys: Annotated[dict[ResourceName, SecretStr | None], BeforeValidator(_pool)] = Field(
        default_factory=dict[str, SecretStr | None], max_length=1000
    )
    """API keys with a quota each: a table of names and secrets, or a list of names of environment
    variables that hold the secrets."""
    patience: Seconds = 300.0
    """Maximum seconds during which the service may refuse a step's uses before the step fails."""

    @model_validator(mode="after")
    def _limited(self) -> Self:
        if self.requests_per_minute is None and self.concurrency is None:
            raise PydanticCustomError(
                "unlimited", "must set requests_per_minute or concurrency, or both"
            )
        return self


class SinkSettings(Options):
    """One sink; keys that are not listed here are the sink's own options."""

    model_config = ConfigDict(extra="allow")

    use: str | None = Field(default=None, min_length=1, max_length=200)
    """Registered sink to use under this name; the name itself if not set."""
    kinds: Annotated[list[DeliveryKind], BeforeValidator(_names), AfterValidator(_each_once)] = (
        Field(default_factory=lambda: list(KINDS), min_length=1)
    )
    """What it receives: ``artifact`` for each version of an artifact, ``run`` for ended runs."""
    steps: Names | None = None
    """Receive only the artifacts of these steps; of all if not set."""
    batch: int | None = Field(default=None, ge=1, le=1000)
    """Maximum number of deliveries at once; the sink's own number if not set."""
    timeout: Seconds = 30.0
    """Seconds after which a batch without an answer is cut off. It is delivered again."""
    attempts: int = Field(default=8, ge=1, le=100)
    """A delivery that the sink rejects this many times becomes a dead letter."""

    def options(self) -> Mapping[str, object]:
        """The sink's own options, raw."""
        return self.__pydantic_extra__ or {}


class EventSettings(Options):
    """Progress events."""

    bus: str = "auto"
    """Name of the event bus; ``auto`` is ``redis`` if ``redis.url`` is set, else ``memory``."""
    max_length: int = Field(default=10_000, ge=100, le=10_000_000)
    """Maximum number of events kept per run."""
    keep: Seconds = 86_400.0
    """Seconds to keep a run's events after its last event."""


class RetentionSettings(Options):
    """What workers delete by themselves."""

    ended_runs: Annotated[Duration, Field(ge=3600, allow_inf_nan=False)] | None = None
    """Purge runs that ended longer ago than this: seconds, or a text such as ``12h`` or ``90d``.
    If not set, runs are kept."""


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
    scope: Literal["read", "write", "operator"] = "write"
    """``read`` allows reading; ``write`` also allows submitting, cancelling, resuming and
    deleting; ``operator`` also allows pausing everything, changing limits and draining workers."""


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
    telemetry: str = "auto"
    """Name of the telemetry plugin; ``auto`` is ``otel`` if ``otel.endpoint`` is set; ``none``
    records nothing."""
    store: StoreSettings = Field(default_factory=StoreSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    provider: ProviderSettings = Field(default_factory=ProviderSettings)
    run: RunSettings = Field(default_factory=RunSettings)
    events: EventSettings = Field(default_factory=EventSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    otel: OtelSettings = Field(default_factory=OtelSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    web: WebSettings = Field(default_factory=WebSettings)
    models: dict[str, ModelSettings] = Field(default_factory=dict[str, ModelSettings])
    """Models by name, for ``steps.NAME.model``."""
    steps: dict[str, StepSettings] = Field(default_factory=dict[str, StepSettings])
    """Settings of steps, by name."""
    resources: dict[ResourceName, ResourceSettings] = Field(
        default_factory=dict[str, ResourceSettings]
    )
    """Services with a quota that steps use, by name."""
    sinks: dict[SinkName, SinkSettings] = Field(default_factory=dict[str, SinkSettings])
    """Where finished artifacts and ended runs are delivered, by name."""
    prompts: dict[str, Path] = Field(default_factory=dict[str, Path])
    """Files with your own prompt templates, by step name; ``steps.NAME.prompt`` is the same."""
    strategies: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of strategies, by name."""
    executors: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of executors, by name."""
    providers: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of providers, by name."""
    checks: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of checks, by name."""
    stores: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of stores, by name: the scheme of ``store.url``."""
    event_buses: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of event buses, by name."""
    ledgers: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of ledgers, by name."""
    exporters: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of export formats, by name."""
    telemetries: dict[str, Section] = Field(default_factory=dict[str, Section])
    """Options of telemetry, by name."""

    def step(self, name: str) -> StepSettings:
        """The settings of a step."""
        found = self.steps.get(name.replace("_", "-")) if self.steps else None
        return found or _no_step_settings()

    def model(self, name: str) -> ProviderSettings:
        """The settings of a model, with what it takes from ``[provider]``.

        Raises:
            SettingsError: there is no such model.
        """
        name = name.replace("_", "-")
        if name not in self.models:
            if name == MAIN_MODEL:
                return self.provider
            known = sorted({MAIN_MODEL, *self.models})
            raise SettingsError(unknown(f"model {name!r}", name, known))
        own = {key: value for key, value in dict(self.models[name]).items() if value is not None}
        if "provider" in own:
            own["name"] = own.pop("provider")
        common = dict(self.provider)
        if "api_key" in own or "api_key_env" in own:
            common |= {"api_key": None, "api_key_env": None}
        elif "base_url" in own:
            # Not the key of `[provider]`, nor OPENAI_API_KEY: it belongs to another server.
            common |= {"api_key": SecretStr(NO_KEY), "api_key_env": None}
        if "model" in own or "base_url" in own:
            common |= dict.fromkeys(
                (
                    "prompt_price",
                    "cached_prompt_price",
                    "completion_price",
                    "max_tokens",
                    "context_window",
                )
            )
        return ProviderSettings.model_validate(common | own)

    @property
    def store_kind(self) -> str:
        """Name of the store plugin: the scheme of ``store.url``."""
        kind = self.store.url.get_secret_value().partition(":")[0].partition("+")[0]
        return "postgresql" if kind == "postgres" else kind  # libpq knows both

    @property
    def ledger_kind(self) -> str:
        """Name of the ledger plugin: ``redis`` if ``redis.url`` is set, else ``memory``."""
        return "memory" if self.redis.url is None else "redis"

    @property
    def telemetry_kind(self) -> str | None:
        """Name of the telemetry plugin; ``None`` if nothing is recorded."""
        if self.telemetry == "auto":
            return None if self.otel.endpoint is None else "otel"
        return None if self.telemetry == "none" else self.telemetry

    @property
    def bus_kind(self) -> str:
        """Name of the event bus plugin."""
        return self.ledger_kind if self.events.bus == "auto" else self.events.bus
