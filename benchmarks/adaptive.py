"""Compares ``adaptive`` with the best fixed limit: ``python -m benchmarks.adaptive``.

Four workers overload one of five simulated providers. They have a limit of concurrent calls, a
quota of requests per minute, a quota of tokens per minute with rate limit headers, latency that
rises with load (like vLLM), or a capacity that changes. The strategies, limits and ledger are the
real ones, in virtual time. The throughput therefore does not depend on the speed of this machine.

``adaptive`` is compared with ``unbounded``, with several fixed limits of ``global``, and with the
exact quota if there is one. ``adaptive`` has converged at the first minute with 90 % of the mean
throughput of the best fixed setting. Its throughput includes the time before.

Other kinds of providers are not measured.
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
from paceline import Ledger, Quota, Strategy
from paceline.testing.demand import demand
from paceline.testing.lease_ledger import LeaseLedger
from paceline.testing.models import ModelProvider, Steps, always
from paceline.testing.virtual_time import run_virtual
from paceline_adapters.bench.quantiles import median_text
from paceline_strategies.adaptive import AdaptiveLimit, AdaptiveOptions
from paceline_strategies.global_limit import GlobalLimit
from paceline_strategies.unbounded import Unbounded

from benchmarks.targets import Target, conclude, table

WORKERS, CALLERS = 4, 60
MINUTE, MINUTES = 60.0, 15
#: Maximum number of tokens of a call; calls have between half of it and all of it.
TOKENS = 2_000
REQUEST_QUOTA, TOKEN_QUOTA = 240, 400_000
FIXED = (8, 16, 24, 32, 40, 48, 64, 96, 128)

#: Providers by name; each is made from a seed.
MODELS: Mapping[str, Callable[[int], ModelProvider]] = {
    "at most 40 at once": lambda seed: ModelProvider(
        seconds=8.0, concurrency=always(40), seed=seed
    ),
    f"{REQUEST_QUOTA} requests per minute": lambda seed: ModelProvider(
        seconds=8.0, requests=always(REQUEST_QUOTA), seed=seed
    ),
    f"{TOKEN_QUOTA} tokens per minute, with headers": lambda seed: ModelProvider(
        seconds=8.0, tokens=always(TOKEN_QUOTA), headers=True, retry_after=True, seed=seed
    ),
    "slower above 48 at once": lambda seed: ModelProvider(
        seconds=8.0, knee=48, slope=0.4, waste=0.15, seed=seed
    ),
    "at most 40, 16, then 64 at once": lambda seed: ModelProvider(
        seconds=8.0, concurrency=Steps([(0.0, 40), (300.0, 16), (600.0, 64)]), seed=seed
    ),
}
#: Exact quotas of the providers that have one.
QUOTAS = {
    f"{REQUEST_QUOTA} requests per minute": Quota(requests=REQUEST_QUOTA),
    f"{TOKEN_QUOTA} tokens per minute, with headers": Quota(tokens=TOKEN_QUOTA),
}
ADAPTIVE, UNBOUNDED, EXACT = "adaptive", "unbounded", "the quota"


@dataclass(frozen=True, slots=True)
class Round:
    """One setting with one provider, measured once.

    Attributes:
        model: the provider.
        setting: the setting.
        answered: times of answered calls, in seconds from the start.
        refused: times of rejected calls, in seconds from the start.
    """

    model: str
    setting: str
    answered: Sequence[float]
    refused: Sequence[float]

    @property
    def rate(self) -> float:
        """Calls answered per minute."""
        return len(self.answered) / MINUTES

    def converged(self, rate: float) -> float:
        """Start of the first minute with at least this rate; the end if there is no such minute."""
        for start in range(0, int((MINUTES - 1) * MINUTE) + 1, 5):
            if sum(start < at <= start + MINUTE for at in self.answered) >= rate:
                return float(start)
        return MINUTES * MINUTE

    def share_refused(self, since: float) -> float:
        """Share of rejected calls from this time on."""
        refused = sum(at > since for at in self.refused)
        return refused / max(1, refused + sum(at > since for at in self.answered))


def settings_of(model: str) -> list[str]:
    """Settings to measure with a provider."""
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
    """Run the workers with one setting."""
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


class ModelResults:
    """All rounds of one provider.

    Args:
        model: the provider.
        rounds: the rounds of all providers.
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
        """Throughput of a setting ÷ that of the best one, seed by seed."""
        pairs = zip(self._rounds[setting], self._rounds[self.best], strict=True)
        return [one.rate / best.rate for one, best in pairs]

    def converged(self, setting: str) -> list[float]:
        """Seconds until 90 % of the best setting's rate."""
        return [one.converged(0.9 * self._rate(self.best)) for one in self._rounds[setting]]

    def refused(self, setting: str) -> list[float]:
        """Percentage of calls rejected after that."""
        pairs = zip(self._rounds[setting], self.converged(setting), strict=True)
        return [100 * one.share_refused(since) for one, since in pairs]

    def rows(self) -> list[list[str]]:
        """Rows of the table."""
        shown = {
            ADAPTIVE: ADAPTIVE,
            UNBOUNDED: UNBOUNDED,
            self.best: f"best: {_title(self.best)}",
            self.worst: f"worst: {_title(self.worst)}",
        }
        return [[self.model, "", "", "", ""], *starmap(self._row, shown.items())]

    def _row(self, setting: str, name: str) -> list[str]:
        took = self.converged(setting)
        never = median(took) >= MINUTES * MINUTE
        return [
            f"  {name}",
            median_text([one.rate for one in self._rounds[setting]], 0),
            median_text(self.shares(setting)),
            "never" if never else median_text(took, 0),
            "" if never else median_text(self.refused(setting), 1),
        ]

    def targets(self) -> list[Target]:
        """The targets."""
        share, refused = median(self.shares(ADAPTIVE)), median(self.refused(ADAPTIVE))
        return [
            Target(f"share of the best fixed throughput ({self.model})", share, least=0.9),
            Target(f"percentage rejected after convergence ({self.model})", refused, most=2),
        ]


def _title(setting: str) -> str:
    return setting if setting == EXACT else f"{setting} at once"


@click.command(help=__doc__)
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all rounds."
)
def main(seeds: int, processes: int, json_file: Path | None) -> None:
    """Run the benchmark."""
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
    found = [ModelResults(model, rounds) for model in MODELS]
    click.echo(f"{WORKERS} workers, {MINUTES} virtual minutes, {seeds} seeds\n")
    head = ["", "calls/min", "share of best", "converges in s", "% rejected then"]
    click.echo(table(head, [row for one in found for row in one.rows()]))
    records = [
        {**asdict(one), "answered": len(one.answered), "refused": len(one.refused)}
        for one in rounds
    ]
    targets = [target for one in found for target in one.targets()]
    sys.exit(conclude(targets, {"rounds": records}, json_file))


if __name__ == "__main__":
    main()
