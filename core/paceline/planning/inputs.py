"""What a forecast rests on: latencies, tokens and failure rates, and where they come from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, pstdev

from paceline.contracts.storage.records import Artifact, RunStatus
from paceline.contracts.storage.store import Store
from paceline.planning.provider_model import Bounds, ProviderModel
from paceline.planning.workload_file import WorkloadFile, parse_latencies
from paceline.settings.model import Settings
from paceline.settings.steps import chain_of
from paceline.text import count

#: Seconds of a call and tokens of its answer by step, if nothing else is known: those of a real
#: service.
DEFAULT_LATENCY: Mapping[str, Bounds] = {
    "tutorial": (20.0, 30.0),
    "resources": (15.0, 20.0),
    "quiz": (10.0, 15.0),
}
DEFAULT_ANSWERS: Mapping[str, Bounds] = {
    "tutorial": (1500.0, 2500.0),
    "resources": (300.0, 600.0),
    "quiz": (600.0, 1200.0),
}
#: The same for all other steps.
OTHER_LATENCY: Bounds = (10.0, 30.0)
OTHER_ANSWERS: Bounds = (500.0, 2000.0)
#: Relative standard deviation of the level of latencies and tokens: of defaults, and of numbers
#: that the user gave or that were recorded. Each draw draws one level.
UNKNOWN_LEVEL, GIVEN_LEVEL = 0.10, 0.02

#: The same of the recorded numbers of a single run: other roadmaps may differ.
SINGLE_RUN_LEVEL = 0.05

#: Runs and artifacts that are read, newest first.
_RUNS, _ARTIFACTS = 50, 20_000
_WITH_ARTIFACTS: Sequence[RunStatus] = ("running", "paused", "completed", "partial", "failed")

_Steps = Mapping[str, Sequence[Artifact]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Latencies, tokens and behaviour of the provider.

    Attributes:
        provider: quotas, knee, neighbours, failures; and ranges of latencies and answers by step.
        seconds: recorded seconds of a call by step; they replace the range.
        answers: recorded tokens of an answer by step; they replace the range.
        prompts: recorded mean tokens of a prompt by step; else the prompts are measured.
        calls: mean number of calls of an artifact by step; 1 if it is not known.
        latency_level: relative uncertainty of all latencies together.
        token_level: relative uncertainty of all answers' tokens together.
        sources: what was used, and how much data it rests on, as sentences.
        unknown: what the data does not tell, as sentences.
    """

    provider: ProviderModel = field(default_factory=ProviderModel)
    seconds: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
    answers: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])
    prompts: Mapping[str, int] = field(default_factory=dict[str, int])
    calls: Mapping[str, float] = field(default_factory=dict[str, float])
    latency_level: float = UNKNOWN_LEVEL
    token_level: float = UNKNOWN_LEVEL
    sources: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def latency_of(self, step: str) -> Bounds:
        """The range of a step's latencies."""
        return self.provider.latency.get(step) or DEFAULT_LATENCY.get(step, OTHER_LATENCY)

    def answers_of(self, step: str) -> Bounds:
        """The range of a step's answers in tokens."""
        return self.provider.answers.get(step) or DEFAULT_ANSWERS.get(step, OTHER_ANSWERS)


def given(workload: WorkloadFile | None = None, model: Path | None = None) -> Inputs:
    """Inputs from files, or the defaults; the file of the provider wins over the workload.

    Raises:
        SettingsError: a file cannot be read, or a key or value is wrong.
    """
    found = Inputs()
    provider, sources = ProviderModel(), list[str]()
    if workload is not None:
        speed = workload.speed or 1.0
        latency = {
            step: (low / speed, high / speed)
            for step, (low, high) in parse_latencies(workload.latency).items()
        }
        provider = ProviderModel(
            latency=latency, rpm=workload.rpm, tpm=workload.tpm, minute=60.0 / speed
        )
        sources.append("the workload file")
    if model is not None:
        own = ProviderModel.read(model)
        named = {name: getattr(own, name) for name in own.model_fields_set}
        named["latency"] = {**provider.latency, **own.latency}
        provider = provider.model_copy(update=named)
        sources.append(f"the provider model {model.name}")
    latencies = ", ".join(sources) if provider.latency else "documented defaults (no data)"
    tokens = ", ".join(sources) if provider.answers else "documented defaults (no data)"
    quotas = ", ".join(sources) if sources else "none: it takes what the strategy lets through"
    return replace(
        found,
        provider=provider,
        latency_level=GIVEN_LEVEL if provider.latency else UNKNOWN_LEVEL,
        token_level=GIVEN_LEVEL if provider.answers else UNKNOWN_LEVEL,
        sources=(f"latencies: {latencies}", f"tokens: {tokens}", f"limits of provider: {quotas}"),
    )


async def recorded(base: Inputs, store: Store, settings: Settings, *, runs: int = _RUNS) -> Inputs:
    """The inputs with latencies, tokens and attempts of the artifacts of past runs, by step.

    Artifacts of a step's first model count; those of other models only if there are none. Steps
    without artifacts keep what they have. ``runs`` is the maximum number of runs, newest first.
    """
    chosen = {
        name: settings.model(chain_of(settings, name)[0]).model for name in settings.run.steps
    }
    # Artifacts of each step: of its model now, and of other models.
    own: dict[str, list[Artifact]] = {}
    others: dict[str, list[Artifact]] = {}
    by_run: list[_Steps] = []
    total = 0
    for run in await store.runs(status=_WITH_ARTIFACTS, limit=runs):
        if total >= _ARTIFACTS:
            break
        made = [
            one
            for one in await store.artifacts(run.run_id)
            if one.step in chosen and one.attempts  # neither adopted nor imported
        ]
        for one in made:
            # A provider may report a dated name, such as gpt-4o-mini-2024-07-18.
            same = one.model.startswith(chosen[one.step])
            (own if same else others).setdefault(one.step, []).append(one)
        if made:
            by_run.append({step: [one for one in made if one.step == step] for step in chosen})
        total += len(made)
    found = {**others, **own}
    seconds, answers = _seconds(found), _answers(found)
    missing = [step for step in chosen if step not in seconds]
    unknown = list(base.unknown)
    if missing:
        unknown.append(f"no past artifact of {', '.join(missing)}: their latencies are defaults")
    if total:
        unknown.append("past times include waits for admission, if a strategy limited these runs")
    used = sum(map(len, found.values()))
    unknown += [
        f"{step}: past artifacts are of another model than {chosen[step]}"
        for step in sorted(others.keys() - own.keys())
    ]
    source = f"{count(used, 'artifact')} of {count(len(by_run), 'past run')}"
    return replace(
        base,
        seconds=seconds,
        answers=answers,
        prompts={
            step: round(fmean(one.prompt_tokens / one.attempts for one in ones))
            for step, ones in found.items()
        },
        calls={step: fmean(one.attempts for one in ones) for step, ones in found.items()},
        latency_level=base.latency_level if missing else _level(map(_seconds, by_run)),
        token_level=base.token_level if missing else _level(map(_answers, by_run)),
        sources=(f"latencies: {source}", f"tokens: {source}", base.sources[-1]),
        unknown=tuple(unknown),
    )


def _seconds(steps: _Steps) -> dict[str, list[float]]:
    """Seconds of a call, by step."""
    return {
        step: [one.seconds / one.attempts for one in ones] for step, ones in steps.items() if ones
    }


def _answers(steps: _Steps) -> dict[str, list[int]]:
    """Tokens of an answer, by step."""
    return {
        step: [one.completion_tokens // one.attempts for one in ones]
        for step, ones in steps.items()
        if ones
    }


def _level(found: Iterable[Mapping[str, Sequence[float]]]) -> float:
    """How much the means of runs differ: the largest relative deviation of a step.

    Args:
        found: numbers by step, of each run.
    """
    means: dict[str, list[float]] = {}
    for run in found:
        for step, values in run.items():
            means.setdefault(step, []).append(fmean(values))
    spread = [
        pstdev(ones) / (fmean(ones) or 1.0) if len(ones) > 1 else SINGLE_RUN_LEVEL
        for ones in means.values()
    ]
    return max(GIVEN_LEVEL, *spread)
