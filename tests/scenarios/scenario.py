"""The model of a scenario file."""

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from paceline.testing.models import ModelProvider, Others, Steps
from pydantic import BaseModel, ConfigDict, Field, model_validator

Range = tuple[float, float]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Change(_Part):
    """A change of the provider at a time; fields that are not named stay."""

    at: float
    capacity: int | None = None
    rpm: int | None = None
    tpm: int | None = None


class Foreign(_Part):
    """Another client uses the key for a while."""

    since: float
    until: float
    rpm: float
    """Calls a minute, evenly."""


class ProviderModel(_Part):
    """How the provider behaves."""

    latency: dict[str, Range] = Field(
        default_factory=lambda: {
            "tutorial": (6.0, 9.0),
            "resources": (4.0, 6.0),
            "quiz": (3.0, 5.0),
        }
    )
    """Seconds of an unloaded server by step, lowest and highest."""
    spread: float = 0.0
    """Answers vary by a lognormal factor of this sigma too."""
    capacity: int | None = None
    """Calls in flight; one more is refused."""
    knee: int | None = None
    """Calls in flight beyond which all only take longer, in proportion."""
    slope: float = 0.0
    """How much longer calls take at the knee than alone, as a part."""
    rpm: int | None = None
    tpm: int | None = None
    headers: bool = True
    retry_after: bool = True
    charged: float = 1.0
    """Tokens that a call is charged ÷ what it was estimated to cost."""
    change: tuple[Change, ...] = ()
    foreign: tuple[Foreign, ...] = ()

    def model(self, *, key: str, seed: int) -> ModelProvider:
        """It, in virtual time."""
        return ModelProvider(
            ranges=self.latency,
            spread=self.spread,
            concurrency=self._steps("capacity"),
            requests=self._steps("rpm"),
            tokens=self._steps("tpm"),
            charged=self.charged,
            others=[Others(since=f.since, until=f.until, requests=f.rpm) for f in self.foreign],
            headers=self.headers,
            retry_after=self.retry_after,
            knee=self.knee,
            slope=self.slope,
            seed=seed,
            key=key,
        )

    def _steps(self, name: str) -> Steps | None:
        first: int | None = getattr(self, name)
        if first is None:
            return None
        changes = ((change.at, getattr(change, name)) for change in self.change)
        return Steps([(0.0, first), *((at, to) for at, to in changes if to is not None)])


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
