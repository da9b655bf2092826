"""What ``adaptive`` finds by itself beside the best limit: ``python -m benchmarks.adaptive``.

Five models of a provider, each with four workers that want more than it takes: one that refuses
calls above so many at once; a quota of requests a minute, one of tokens that its headers tell of;
a server that only gets slower, as vLLM's does; one whose capacity changes. The strategies, the
limits' arithmetic and the ledger are the real ones, in virtual time: 15 minutes of a provider
take seconds, and what is measured is how much is answered, not how fast this machine is.

Beside ``adaptive`` there are ``unbounded`` and ``global`` with each of several limits, and with
the quota itself where there is one. A minute that brings 90 % of what the best of these brings
on average is where ``adaptive`` has converged; the throughput includes the time before.

What it does not show: a provider that is none of the five.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import starmap
from pathlib import Path
from statistics import median

import click
from paceline.contracts.ledger import Ledger, Quota
from paceline.contracts.strategy import Strategy
from paceline.testing.demand import demand
from paceline.testing.lease_ledger import LeaseLedger
from paceline.testing.models import ModelProvider, Steps, always
from paceline.testing.virtual_time import run_virtual
from paceline_adapters.bench.spread import told
from paceline_strategies.adaptive import AdaptiveLimit, AdaptiveOptions
from paceline_strategies.global_limit import GlobalLimit
from paceline_strategies.unbounded import Unbounded

from benchmarks.targets import Target, conclude, table

WORKERS, CALLERS = 4, 60
MINUTE, MINUTES = 60.0, 15
#: Most tokens of a call; they differ, down to half of it.
TOKENS = 2_000
REQUEST_QUOTA, TOKEN_QUOTA = 240, 400_000
FIXED = (8, 16, 24, 32, 40, 48, 64, 96, 128)

#: A provider by name, from a seed.
MODELS: Mapping[str, Callable[[int], ModelProvider]] = {
    "refuses above 40 at once": lambda seed: ModelProvider(
        seconds=8.0, concurrency=always(40), seed=seed
    ),
    f"{REQUEST_QUOTA} requests a minute": lambda seed: ModelProvider(
        seconds=8.0, requests=always(REQUEST_QUOTA), seed=seed
    ),
    f"{TOKEN_QUOTA} tokens a minute, told": lambda seed: ModelProvider(
        seconds=8.0, tokens=always(TOKEN_QUOTA), headers=True, retry_after=True, seed=seed
    ),
    "slower above 48 at once": lambda seed: ModelProvider(
        seconds=8.0, knee=48, slope=0.4, waste=0.15, seed=seed
    ),
    "refuses above 40, 16, 64 at once": lambda seed: ModelProvider(
        seconds=8.0, concurrency=Steps([(0.0, 40), (300.0, 16), (600.0, 64)]), seed=seed
    ),
}
#: What is set where a quota is known.
QUOTAS = {
    f"{REQUEST_QUOTA} requests a minute": Quota(requests=REQUEST_QUOTA),
    f"{TOKEN_QUOTA} tokens a minute, told": Quota(tokens=TOKEN_QUOTA),
}
ADAPTIVE, UNBOUNDED, EXACT = "adaptive", "unbounded", "the quota"


@dataclass(frozen=True, slots=True)
class Round:
    """One setting on one model, once.

    Attributes:
        model: the provider.
        setting: what was set.
        answered: when each call was answered, in seconds from the start.
        refused: when each was refused.
    """

    model: str
    setting: str
    answered: Sequence[float]
    refused: Sequence[float]

    @property
    def rate(self) -> float:
        """Calls answered a minute."""
        return len(self.answered) / MINUTES

    def converged(self, rate: float) -> float:
        """Where the first minute begins that brings that much; the end if none does."""
        for begins in range(0, int((MINUTES - 1) * MINUTE) + 1, 5):
            if sum(begins < at <= begins + MINUTE for at in self.answered) >= rate:
                return float(begins)
        return MINUTES * MINUTE

    def share_refused(self, since: float) -> float:
        """Refused calls of all, from then on."""
        refused = sum(at > since for at in self.refused)
        return refused / max(1, refused + sum(at > since for at in self.answered))


def settings_of(model: str) -> list[str]:
    """What is tried on a model."""
    exact = [EXACT] if model in QUOTAS else []
    return [ADAPTIVE, UNBOUNDED, *exact, *map(str, FIXED)]


def strategy_of(model: str, setting: str, ledger: Ledger, holder: str) -> Strategy:
    """The strategy of one worker."""
    if setting == ADAPTIVE:
        return AdaptiveLimit(AdaptiveOptions(), ledger, holder=holder)
    if setting == UNBOUNDED:
        return Unbounded()
    quota = QUOTAS[model] if setting == EXACT else Quota(concurrency=int(setting))
    return GlobalLimit(quota, ledger, holder=holder)


def measure(model: str, setting: str, seed: int) -> Round:
    """Let the workers work."""
    provider = MODELS[model](seed)

    async def work() -> None:
        ledger = LeaseLedger()
        workers = [strategy_of(model, setting, ledger, f"worker-{n}") for n in range(WORKERS)]
        await demand(
            workers,
            provider,
            callers=CALLERS,
            seconds=MINUTES * MINUTE,
            tokens=TOKENS,
            seed=seed,
        )

    run_virtual(work(), seed=seed)
    return Round(model, setting, provider.answered, provider.refused)


class Found:
    """All rounds of one model.

    Args:
        model: which one.
        rounds: of all models.
    """

    def __init__(self, model: str, rounds: Sequence[Round]) -> None:
        self.model = model
        self._rounds = {
            setting: [one for one in rounds if (one.model, one.setting) == (model, setting)]
            for setting in settings_of(model)
        }
        fixed = [setting for setting in self._rounds if setting not in {ADAPTIVE, UNBOUNDED}]
        self.best = max(fixed, key=self._rate)
        self.worst = min(fixed, key=self._rate)

    def _rate(self, setting: str) -> float:
        return median(one.rate for one in self._rounds[setting])

    def shares(self, setting: str) -> list[float]:
        """What a setting answered ÷ what the best one did, seed by seed."""
        pairs = zip(self._rounds[setting], self._rounds[self.best], strict=True)
        return [one.rate / best.rate for one, best in pairs]

    def converged(self, setting: str) -> list[float]:
        """Seconds until 90 % of the best one's rate."""
        return [one.converged(0.9 * self._rate(self.best)) for one in self._rounds[setting]]

    def refused(self, setting: str) -> list[float]:
        """Percent refused after that."""
        pairs = zip(self._rounds[setting], self.converged(setting), strict=True)
        return [100 * one.share_refused(since) for one, since in pairs]

    def rows(self) -> list[list[str]]:
        """What is shown."""
        shown = {
            ADAPTIVE: ADAPTIVE,
            UNBOUNDED: UNBOUNDED,
            self.best: f"best: {_called(self.best)}",
            self.worst: f"worst: {_called(self.worst)}",
        }
        return [[self.model, "", "", "", ""], *starmap(self._row, shown.items())]

    def _row(self, setting: str, name: str) -> list[str]:
        took = self.converged(setting)
        never = median(took) >= MINUTES * MINUTE
        return [
            f"  {name}",
            told([one.rate for one in self._rounds[setting]], 0),
            told(self.shares(setting)),
            "never" if never else told(took, 0),
            "" if never else told(self.refused(setting), 1),
        ]

    def targets(self) -> list[Target]:
        """What has to be reached."""
        share, refused = median(self.shares(ADAPTIVE)), median(self.refused(ADAPTIVE))
        return [
            Target(f"of the best fixed setting's throughput ({self.model})", share, least=0.9),
            Target(f"percent refused after convergence ({self.model})", refused, most=2),
        ]


def _called(setting: str) -> str:
    return setting if setting == EXACT else f"{setting} at once"


@click.command(help=__doc__)
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all rounds."
)
def main(seeds: int, processes: int, json_file: Path | None) -> None:
    """See the module."""
    cells = [
        (model, setting, seed)
        for model in MODELS
        for setting in settings_of(model)
        for seed in range(seeds)
    ]
    with ProcessPoolExecutor(processes) as pool:
        jobs = [pool.submit(partial(measure, *cell)) for cell in cells]
        with click.progressbar(jobs, label="rounds", file=sys.stderr) as under_way:
            rounds = [job.result() for job in under_way]
    found = [Found(model, rounds) for model in MODELS]
    click.echo(f"{WORKERS} workers, {MINUTES} virtual minutes, {seeds} seeds\n")
    head = ["", "calls/min", "of the best", "converges in s", "% refused then"]
    click.echo(table(head, [row for one in found for row in one.rows()]))
    told_of = [
        {**asdict(one), "answered": len(one.answered), "refused": len(one.refused)}
        for one in rounds
    ]
    targets = [target for one in found for target in one.targets()]
    sys.exit(conclude(targets, {"rounds": told_of}, json_file))


if __name__ == "__main__":
    main()
