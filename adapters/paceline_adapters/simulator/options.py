"""Everything that can be set about the simulator."""

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from paceline_adapters.simulator.faults import check_rates
from paceline_adapters.simulator.latency import (
    DEFAULT_LATENCY,
    LatencyRange,
    checked,
    parse_range,
)

Positive = Annotated[int, Field(ge=1)]


class SimulatorOptions(BaseModel):
    """What the simulator is like."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on; beyond loopback only together with `api_key`."""
    port: int = Field(default=0, ge=0, le=65535)
    """Port to listen on; 0 picks a free one."""
    seed: int = 0
    """Everything drawn follows from it: latencies, contents, faults."""
    speed: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Latencies are divided by it; quotas are not."""
    models: tuple[str, ...] = ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini", "gpt-5-mini", "simulated")
    """Models it knows; any other is answered 404."""
    api_key: SecretStr | None = None
    """The only key that it takes; without it, any."""
    latency: dict[str, LatencyRange] = Field(
        default_factory=lambda: dict(DEFAULT_LATENCY), validate_default=True
    )
    """Seconds by step, as `20-30` or `(20, 30)`; steps that are not named keep theirs."""
    rpm: Positive | None = None
    """Requests per window."""
    tpm: Positive | None = None
    """Tokens per window: of the prompt, and the most that the answer may have."""
    quota_window: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Length of the window, in seconds of real time."""
    max_concurrency: Positive | None = None
    """Calls in flight."""
    default_max_tokens: Positive = 4096
    """What is charged for an answer whose request names no most."""
    faults: dict[str, float] = Field(default_factory=dict)
    """Rate of each fault, from 0 to 1; at most one hits a call."""
    fault_first: int | None = Field(default=None, ge=0)
    """Faults hit only the first so many attempts at a prompt; repairs count as attempts."""
    schema_support: bool = True
    """Whether it knows `response_format` of type `json_schema`."""
    log: Path | None = None
    """File that gets one line of JSON for each request."""

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
            raise ValueError("name at least one model, and none of them empty")
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
