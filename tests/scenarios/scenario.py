"""The model of a scenario file."""

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from paceline.planning import provider_model as planning
from paceline.testing.models import ModelProvider
from pydantic import BaseModel, ConfigDict, Field, model_validator

Range = tuple[float, float]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ProviderModel(planning.ProviderModel):
    """How the provider behaves; faster than the one of the defaults."""

    latency: dict[str, Range] = Field(
        default_factory=lambda: {
            "tutorial": (6.0, 9.0),
            "resources": (4.0, 6.0),
            "quiz": (3.0, 5.0),
        }
    )

    def model(self, *, key: str, seed: int) -> ModelProvider:
        """It, in virtual time."""
        return ModelProvider(**self.arguments(), seed=seed, key=key)


class Load(_Part):
    """Runs that are submitted."""

    name: str = "load"
    runs: int = 4
    concepts: int = 100_000
    """Of each run; by default more than the scenario lasts."""
    at: float = 0.0
    every: float = 0.0
    """Seconds between the runs' arrivals."""
    key: str = "provider:model"
    tenant: str = ""


class Event(_Part):
    """An event."""

    at: float
    what: Literal["worker dies", "worker freezes", "ledger away", "clock jumps"]
    """A worker can freeze for real only."""
    seconds: float = 0.0
    """How long the worker is frozen or the ledger away, or how far the clock jumps."""


class Expect(_Part):
    """Ranges of the figures of a span of time; see ``Figures`` for what they are."""

    since: float = 0.0
    until: float
    answered: Range | None = None
    refused: Range | None = None
    peak: Range | None = None
    settled: Range | None = None
    minute: Range | None = None
    share: dict[str, Range] = Field(default_factory=dict[str, Range])


class Real(_Part):
    """How a scenario is played with real processes, too."""

    speed: float = 1.0
    """All times of the file are divided by it; not those of ours, as how often a worker looks."""
    seconds: float | None = None
    """Only the beginning is played, so many seconds of the file."""
    lease: float = 30.0
    """Seconds of real time."""
    concepts: int = 400
    """Of each run that has more."""
    soak: bool = True
    """Whether it is left to the long suites."""


class Scenario(_Part):
    """One file."""

    title: str
    strategy: list[str]
    options: dict[str, dict[str, Any]] = Field(default_factory=dict[str, dict[str, Any]])
    seconds: float
    workers: int = 4
    lease: float = 30.0
    provider: ProviderModel = ProviderModel()
    load: tuple[Load, ...] = (Load(),)
    event: tuple[Event, ...] = ()
    expect: tuple[Expect, ...]
    real: Real | None = None

    @model_validator(mode="after")
    def _can_be_real(self) -> Self:
        """Reject events that the simulator cannot simulate or speed up."""
        model = self.provider
        if self.real is not None:
            virtual = model.knee or model.spread or model.foreign or model.tpm
            virtual = virtual or model.charged != 1 or not (model.headers and model.retry_after)
            if virtual or any(event.what == "clock jumps" for event in self.event):
                raise ValueError("the simulator is no such provider")
            if model.rpm and self.real.speed != 1:
                raise ValueError("a minute of the ledger is a minute: real.speed must be 1")
        return self


def scenario_in(file: Path) -> Scenario:
    """Read a file."""
    return Scenario.model_validate(tomllib.loads(file.read_text()))
