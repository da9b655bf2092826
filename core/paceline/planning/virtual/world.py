"""What the draws of a forecast have in common: settings, roadmaps, steps and workers."""

from collections.abc import Sequence
from dataclasses import dataclass

from paceline.calls.prices import with_price
from paceline.contracts.provider import CompletionRequest, Message
from paceline.contracts.steps.step import Step, Subject
from paceline.errors import PacelineError
from paceline.planning.inputs import Inputs
from paceline.planning.virtual.strategies import money_names
from paceline.roadmaps.model import Roadmap
from paceline.runtime.part_factory import PartFactory
from paceline.settings.model import MAIN_MODEL, ProviderSettings, Settings
from paceline.settings.steps import chain_of

#: Tokens of a prompt that cannot be made without a run.
_UNKNOWN_PROMPT = 800
#: Seconds of a worker's CPU for one call, from its admission to the saved answer: drawn.
CPU = (0.003, 0.008)
#: Seconds that a call takes besides the provider's latency, for connection and client: drawn.
#: Recorded latencies contain them.
OVERHEAD = (0.005, 0.025)
#: Seconds until a queue hands a run to a worker process: drawn.
PICKUP = (0.0, 0.6)
#: Relative standard deviation of how many calls the neighbours on the key make: drawn.
NEIGHBOURS = 0.1
#: Seconds of one commit: drawn.
COMMIT = (0.002, 0.008)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One step of each concept.

    Attributes:
        needs: steps that must be made before it.
        model: settings of the first model of its chain, with the prices.
        key: what its quota is counted for.
        request: a request of the usual length.
        calls: mean number of calls of an artifact.
    """

    name: str
    needs: frozenset[str]
    model: ProviderSettings
    key: str
    request: CompletionRequest
    calls: float


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One combination of settings and roadmaps to forecast.

    Attributes:
        factory: makes the strategies of each modelled worker.
        inputs: latencies, tokens and behaviour of the provider.
        processes: number of worker processes.
        concurrency: roadmaps that each process works on at once.
        distributed: whether the workers are processes of their own.
        connections: most connections of a process to the store's server; ``None`` if the store is
            no server.
        sources: what the forecast rests on, as lines.
        unknown: what the model leaves out for these settings, as sentences.
    """

    factory: PartFactory
    roadmaps: Sequence[Roadmap]
    inputs: Inputs
    steps: Sequence[PlannedStep]
    processes: int
    concurrency: int
    distributed: bool
    connections: int | None = None
    sources: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def settings(self) -> Settings:
        """The settings to forecast."""
        return self.factory.settings

    @property
    def concepts(self) -> int:
        """Number of concepts of all roadmaps."""
        return sum(roadmap.concept_count() for roadmap in self.roadmaps)

    @property
    def server(self) -> bool:
        """Whether the store is a server with connections and transactions to count."""
        return self.connections is not None


def world(
    factory: PartFactory,
    roadmaps: Sequence[Roadmap],
    inputs: Inputs,
    *,
    workers: int = 1,
    connections: int | None = None,
) -> World:
    """Prepare the draws: check settings and steps, and measure the prompts.

    Args:
        factory: the settings, and what makes the parts that they name.
        roadmaps: the roadmaps to generate.
        inputs: what the forecast rests on.
        workers: number of ``paceline worker`` commands, for a distributed executor.
        connections: as in ``World``.

    Raises:
        PluginError: a plugin cannot be made.
        SettingsError: a setting is wrong.
    """
    settings = factory.settings
    executor = factory.executor()
    graph = factory.step_graph()
    chains = {name: chain_of(settings, name) for name, _ in graph.steps}
    unknown: list[str] = list(inputs.unknown)
    prices: dict[str, None] = {}
    steps: list[PlannedStep] = []
    for name, step in graph.steps:
        model, key, origin = _model(factory, chains[name][0])
        if origin:
            prices[f"prices of {model.model}: {origin}"] = None
        prompt = inputs.prompts.get(name) or _prompt_tokens(step, roadmaps)
        if prompt is None:
            prompt = _UNKNOWN_PROMPT
            unknown.append(f"{name}: its prompt needs a run, taken as {prompt} tokens")
        if type(step).make is not Step.make and name not in inputs.calls:
            unknown.append(f"{name}: it makes its own calls, taken as one")
        steps.append(
            PlannedStep(
                name=name,
                needs=graph.needs[name],
                model=model,
                key=key,
                request=CompletionRequest(
                    messages=(Message("user", "word" * prompt),),
                    step=name,
                    max_tokens=settings.step(name).max_tokens or step.max_tokens,
                ),
                calls=inputs.calls.get(name, 1.0),
            )
        )
    if any(len(chain) > 1 for chain in chains.values()):
        unknown.append("fallback to other models")
    if settings.resources:
        unknown.append("waits for resources with a quota of their own")
    unknown += [f"the limits of strategy {name}: no run is paused" for name in money_names(factory)]
    return World(
        factory=factory,
        roadmaps=roadmaps,
        inputs=inputs,
        steps=steps,
        processes=workers * executor.processes if executor.distributed else 1,
        concurrency=executor.concurrency,
        distributed=executor.distributed,
        connections=connections,
        sources=(*inputs.sources, *prices),
        unknown=tuple(unknown),
    )


def _model(factory: PartFactory, name: str) -> tuple[ProviderSettings, str, str | None]:
    """A model with its prices, what its quota is counted for, and where the prices come from."""
    settings, ready = factory.settings.model(name), factory.ready.provider
    if ready is not None and name == MAIN_MODEL:
        return settings, ready.key, None  # as in a run, which has the prices of the settings
    priced, origin = with_price(settings)
    return priced, f"{priced.name}:{priced.model}", origin


def _prompt_tokens(step: Step, roadmaps: Sequence[Roadmap]) -> int | None:
    """Mean tokens of a step's prompts for the first concept of each roadmap."""
    found: list[int] = []
    for roadmap in roadmaps[:8]:
        names = {concept.concept_id: concept.name for _, _, concept in roadmap.concepts()}
        stage, module, concept = next(iter(roadmap.concepts()))
        subject = Subject(
            roadmap_id=roadmap.roadmap_id,
            roadmap_title=roadmap.title,
            stage=stage.name,
            module=module.name,
            concept=concept,
            prerequisites=[names.get(one, one) for one in concept.prerequisites],
        )
        try:
            messages = step.prompt(subject)
        except (PacelineError, NotImplementedError, LookupError, ValueError, TypeError):
            return None
        request = CompletionRequest(messages=tuple(messages), step="")
        found.append(request.estimated_prompt_tokens())
    return round(sum(found) / len(found)) if found else None
