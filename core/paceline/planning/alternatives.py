"""Other settings to forecast: given by the user, or searched on a grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from paceline.errors import SettingsError
from paceline.planning.forecast import Forecast
from paceline.planning.stacks import Part, parse_stack
from paceline.planning.toml_text import toml_text
from paceline.settings.load import folded
from paceline.settings.model import Settings
from paceline.settings.paths import path_of
from paceline.validation import describe

#: What the search tries.
CALLS = (4, 8, 16, 32, 64, 128)
CONCEPTS = (2, 5, 10, 20)
WORKERS = (1, 2, 4)
#: A setting that is slower than the fastest one by at most this share counts as equally fast.
_ALIKE = 0.03


@dataclass(frozen=True, slots=True)
class Alternative:
    """Settings that differ from those of the app.

    Attributes:
        name: how the user wrote it.
        strategy: the stack, outer first; empty for that of the app.
        values: further settings by dotted key.
        workers: number of workers; ``None`` for the given number.
    """

    name: str
    strategy: tuple[Part, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict[str, str])
    workers: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Alternative":
        """Read ``strategy=STACK``, ``workers=N`` or ``KEY=VALUE``, separated by spaces.

        Raises:
            SettingsError: the text has another form.
        """
        strategy: tuple[Part, ...] = ()
        values: dict[str, str] = {}
        workers: int | None = None
        for item in text.split():
            key, equals, value = item.partition("=")
            if not (key and equals and value):
                raise SettingsError(
                    "--compare must be KEY=VALUE, such as strategy=global:concurrency=32 or "
                    f'"strategy=per-roadmap workers=2", got {text!r}'
                )
            if key == "strategy":
                strategy = parse_stack(value)
            elif key == "workers":
                if not (value.isdecimal() and int(value) >= 1):
                    raise SettingsError(f"--compare: workers must be at least 1, got {value!r}")
                workers = int(value)
            else:
                values[key] = value
        if not (strategy or values or workers):
            raise SettingsError("--compare must name at least one setting")
        return cls(text, strategy, values, workers)

    def settings(self) -> Mapping[str, str | Sequence[str]]:
        """The settings that differ, by dotted key."""
        found: dict[str, str | Sequence[str]] = {}
        if self.strategy:
            found["strategy"] = [part.name for part in self.strategy]
        found |= self.values
        for part in self.strategy:
            found |= {f"strategies.{part.name}.{key}": value for key, value in part.options}
        return found

    def applied(self, settings: Settings) -> Settings:
        """The settings of the app with those of this alternative.

        Raises:
            SettingsError: a value is wrong.
        """
        changed = settings.model_dump()
        for key, value in self.settings().items():
            *tables, last = folded(path_of(key))
            table = changed
            for name in tables:
                table = table.setdefault(name, {})
            table[last] = value
        try:
            return Settings.model_validate(changed)
        except ValidationError as error:
            raise SettingsError(f"{self.name}: {'; '.join(describe(error))}") from None


@dataclass(frozen=True, slots=True)
class Choice:
    """An alternative and its forecast."""

    alternative: Alternative
    forecast: Forecast

    @property
    def load(self) -> float:
        """What it takes from others: connections to the server, or else calls in flight."""
        connections = self.forecast.connections_peak
        return (connections or self.forecast.calls_peak).median

    @property
    def price(self) -> float:
        """The median cost; 0 if a price is unknown."""
        return self.forecast.cost.median if self.forecast.cost is not None else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What a recommended setting must keep, in at least nine of ten draws.

    Attributes:
        max_connections: most connections to the database server.
        budget: highest cost, in the currency of the settings.
        within: seconds until all roadmaps have ended.
    """

    max_connections: int | None = None
    budget: float | None = None
    within: float | None = None

    def broken_by(self, found: Forecast) -> list[str]:
        """The constraints that a forecast does not keep, as words."""
        broken: list[str] = []
        if self.within is not None and found.makespan.p90 > self.within:
            broken.append("too slow")
        if self.budget is not None and (found.cost is None or found.cost.p90 > self.budget):
            broken.append("price unknown" if found.cost is None else "too expensive")
        connections = found.connections_peak
        if (
            self.max_connections is not None
            and connections is not None
            and connections.p90 > self.max_connections
        ):
            broken.append("too many connections")
        if found.failed.p90 > 0:
            broken.append("concepts fail")
        return broken


def grid(*, distributed: bool) -> list[Alternative]:
    """The alternatives of a search: concurrency, per-roadmap limit and workers."""
    stacks = [f"per-roadmap:limit={limit}" for limit in CONCEPTS]
    stacks += [f"global:concurrency={calls}" for calls in CALLS]
    if not distributed:
        return [Alternative.parse(f"strategy={stack}") for stack in stacks]
    return [
        Alternative.parse(f"strategy={stack} workers={workers}")
        for workers in WORKERS
        for stack in stacks
    ]


def pareto(choices: Sequence[Choice]) -> list[Choice]:
    """The choices that no other one beats in time, cost and load at once, fastest first."""
    front = [
        one
        for one in choices
        if not any(_beats(other, one) for other in choices if other is not one)
    ]
    return sorted(front, key=lambda one: one.forecast.makespan.median)


def _beats(left: Choice, right: Choice) -> bool:
    ours = (left.forecast.makespan.median, left.price, left.load)
    theirs = (right.forecast.makespan.median, right.price, right.load)
    return all(a <= b for a, b in zip(ours, theirs, strict=True)) and ours != theirs


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One choice, the reason for it, and its settings as a ``paceline.toml``."""

    choice: Choice
    reason: str
    snippet: str


def recommend(choices: Sequence[Choice], constraints: Constraints) -> Recommendation | None:
    """The lightest of the fastest choices that keep the constraints; ``None`` if none does."""
    kept = [one for one in choices if not constraints.broken_by(one.forecast)]
    if not kept:
        return None
    fastest = min(one.forecast.makespan.median for one in kept)
    alike = [one for one in kept if one.forecast.makespan.median <= fastest * (1 + _ALIKE)]
    best = min(
        alike,
        key=lambda one: (
            one.forecast.refusals.median,
            one.load,
            one.forecast.calls_peak.median,
            one.alternative.workers or 1,
            one.forecast.makespan.median,
        ),
    )
    left_out = len(choices) - len(kept)
    reason = f"the fastest of {len(choices)} settings"
    if left_out:
        reason += f", of which {left_out} break a constraint"
    if len(alike) > 1:
        reason += (
            f"; {len(alike)} are as fast within {_ALIKE:.0%}, and this one loads provider and "
            "database least"
        )
    comment = ""
    if best.alternative.workers is not None:
        comment = f"# with {best.alternative.workers} x `paceline worker`\n"
    return Recommendation(best, reason, comment + toml_text(best.alternative.settings()))
