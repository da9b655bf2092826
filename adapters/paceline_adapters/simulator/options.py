"""The options of the simulator."""

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self, cast

from paceline.contracts.latency_range import LatencyRange, checked, parse_range
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from paceline_adapters.simulator.faults import check_rates
from paceline_adapters.simulator.latency import DEFAULT_LATENCY

Positive = Annotated[int, Field(ge=1)]


class SimulatorOptions(BaseModel):
    """Options of the simulator."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on; an address beyond loopback requires `api_key`."""
    port: int = Field(default=0, ge=0, le=65535)
    """Port to listen on; 0 picks a free port."""
    seed: int = 0
    """Seed of latencies, contents and faults."""
    speed: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Factor by which latencies are divided; quotas are not changed."""
    models: tuple[str, ...] = ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini", "gpt-5-mini", "simulated")
    """Available models; requests for others get 404."""
    api_key: SecretStr | None = None
    """The required key; if it is not set, any key is accepted."""
    latency: dict[str, LatencyRange] = Field(
        default_factory=lambda: dict(DEFAULT_LATENCY), validate_default=True
    )
    """Seconds by step, such as `20-30` or `(20, 30)`; other steps keep their defaults."""
    rpm: Positive | None = None
    """Limit of requests per window."""
    tpm: Positive | None = None
    """Limit of tokens per window: the prompt plus the maximum length of the answer."""
    quota_window: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Length of the window, in seconds of real time."""
    max_concurrency: Positive | None = None
    """Limit of calls in flight."""
    knee: Positive | None = None
    """Calls in flight above which each new call takes longer, in proportion."""
    default_max_tokens: Positive = 4096
    """Tokens charged for the answer if a request sets no maximum."""
    faults: dict[str, float] = Field(default_factory=dict)
    """Rate of each fault, from 0 to 1; a call has at most one fault."""
    fault_first: int | None = Field(default=None, ge=0)
    """Number of first attempts at a prompt that can have faults; repairs count as attempts."""
    schema_support: bool = True
    """Whether `response_format` of type `json_schema` is accepted."""
    log: Path | None = None
    """File to which one line of JSON is appended per request."""

    @field_validator("latency", mode="before")
    @classmethod
    def _over_defaults(cls, given: object) -> object:
        if not isinstance(given, Mapping):
            return given
        ranges = {
            step: parse_range(value) if isinstance(value, str) else value
            for step, value in cast("Mapping[str, object]", given).items()
        }
        return {**DEFAULT_LATENCY, **ranges}

    @field_validator("latency")
    @classmethod
    def _real_ranges(cls, given: dict[str, LatencyRange]) -> dict[str, LatencyRange]:
        for found in given.values():
            checked(found)
        return given

    @field_validator("faults")
    @classmethod
    def _known_faults(cls, given: dict[str, float]) -> dict[str, float]:
        check_rates(given)
        return given

    @field_validator("models")
    @classmethod
    def _some_models(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if not given or not all(given):
            raise ValueError("give at least one model; a name must not be empty")
        return given

    @model_validator(mode="after")
    def _key_beyond_loopback(self) -> Self:
        key = self.api_key.get_secret_value() if self.api_key else ""
        if not key and not _is_loopback(self.host):
            raise ValueError(f"host {self.host} can be reached from other machines: set an API key")
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
