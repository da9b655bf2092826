"""``paceline show RUN [CONCEPT [STEP]]``."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import click

from paceline.cli.place import Place
from paceline.cli.runs import find_run
from paceline.client.cluster_status import run_with_context, why_run_waits
from paceline.client.content.revising import version_of
from paceline.client.render import (
    Reader,
    artifact_to_json,
    concept_to_json,
    fallback_words,
    in_order,
    spending_to_json,
    spent_words,
    steps_of,
)
from paceline.client.terminal.output import (
    console,
    duration,
    echo_json,
    echo_table,
    json_text,
    note,
    table_of,
    terminal_safe,
)
from paceline.contracts.storage.records import Artifact, ConceptState, Run
from paceline.contracts.storage.spending import RunSpending, Spent
from paceline.contracts.storage.store import Store
from paceline.errors import UsageError
from paceline.planning.estimator import estimate
from paceline.runtime.part_factory import PartFactory
from paceline.text import count, item, nearest, plain

#: Maximum number of concepts that an error lists as allowed.
MAX_NAMED = 50
#: Maximum characters of a last answer in the list of dead letters.
MAX_SHOWN = 100


async def show_run(
    store: Store, factory: PartFactory, name: str, *, as_json: bool, verbose: bool = False
) -> None:
    """Print a run, its concepts and its cost; ``verbose`` adds what of it led to no artifact.

    Raises:
        RunNotFound: the run does not exist.
    """
    settings, run = factory.settings, await find_run(store, name)
    states = await store.concepts(run.run_id)
    eta = (await estimate(factory, store, [run])).get(run.run_id)
    marks = {one.place: one for one in await store.marks(run.run_id)}
    steps = {
        concept_id: in_order(settings, [step for _, step in found])
        for concept_id, found in groupby(marks, key=lambda place: place[0])
    }
    stale = [place for place, mark in marks.items() if mark.stale]
    names = await _names(store, run)
    waits = why_run_waits(run, await store.controls())
    spending, currency = await store.spending(run.run_id), settings.provider.currency
    if as_json:
        concepts = [
            {
                **concept_to_json(one, names, steps.get(one.concept_id, ())),
                "last_answer": one.last_answer,
                "stale": [step for concept_id, step in stale if concept_id == one.concept_id],
            }
            for one in states
        ]
        spent = spending_to_json(spending, currency)
        counts = {
            "artifacts": len(marks),
            "artifacts_total": run.total * len(steps_of(settings, run)),
        }
        described = {**run_with_context(run, eta), "waits": waits, **counts, **spent}
        echo_json({**described, "concepts": concepts})
        return
    for line in _head(run, spending, currency, eta, verbose=verbose):
        click.echo(terminal_safe(line))
    if waits is not None:
        click.echo(terminal_safe(f"waits: {waits}"))
    click.echo()
    marked = {
        concept_id: [f"{step} (stale)" if (concept_id, step) in stale else step for step in found]
        for concept_id, found in steps.items()
    }
    _print_concepts(states, marked, names)
    if stale:
        note(
            f"{count(len(stale), 'artifact')} stale: `paceline revise {run.run_id} --where stale` "
            "makes them again"
        )
    _print_dead_letters(run, states)


async def show_concept(
    store: Store,
    factory: PartFactory,
    place: Place,
    version: int | None = None,
    *,
    as_json: bool,
) -> None:
    """Print the content of a concept; ``version`` is that of a step, instead of the current one.

    Raises:
        RunNotFound: the run does not exist.
        UsageError: the run has no such concept, or the concept has no such artifact.
    """
    concept_id, step = place.concept_id, place.step
    run = await find_run(store, place.run)
    names = await _names(store, run)
    if concept_id not in names:
        hint = nearest(concept_id, list(names)) if len(names) <= MAX_NAMED else ""
        raise UsageError(f"run {run.run_id} has no concept {concept_id!r}{hint}")
    state = await store.concept(run.run_id, concept_id)
    if state is None:
        raise UsageError(
            f"run {run.run_id} does not generate concept {concept_id!r}: its scope is "
            f"{', '.join(run.only)}"
        )
    reader = Reader(factory)
    found = reader.ordered(await store.artifacts(run.run_id, concept_id=concept_id, step=step))
    if step is not None and not found:
        existing = (await store.artifact_steps(run.run_id)).get(concept_id, frozenset())
        raise UsageError(
            f"concept {concept_id!r} has no artifact {step!r}{nearest(step, sorted(existing))}"
        )
    if step is not None and version is not None:
        versions = await store.versions(run.run_id, concept_id, step)
        found = [version_of(versions, version)]
    if as_json:
        currency = factory.settings.provider.currency
        described = concept_to_json(state, names, [one.step for one in found])
        echo_json(
            {
                "run_id": run.run_id,
                "roadmap_id": run.roadmap_id,
                **described,
                "last_answer": state.last_answer,
                "artifacts": [artifact_to_json(one, currency) for one in found],
            }
        )
        return
    _print_concept(state, names[concept_id], found, reader)


async def _names(store: Store, run: Run) -> Mapping[str, str]:
    roadmap = await store.roadmap(run.run_id)
    return {concept.concept_id: concept.name for _, _, concept in roadmap.concepts()}


def _head(
    run: Run, spending: RunSpending, currency: str, eta: float | None, *, verbose: bool
) -> list[str]:
    facts = [f"{run.completed} of {count(run.total, 'concept')} completed"]
    if run.failed:
        facts.append(f"{run.failed} failed")
    facts += _spent(spending.total, currency)
    if run.started_at is not None:
        facts.append(f"{run.seconds:.1f} s without pauses")
    if eta is not None:
        facts.append(f"about {duration(eta)} left")
    lines = [
        f"{run.title} ({run.roadmap_id})",
        f"run {run.run_id}: {run.status}" + (f": {run.reason}" if run.reason else ""),
        ", ".join(facts),
    ]
    if run.steps is not None:
        lines.append(f"steps: {', '.join(run.steps)}")
    if run.only:
        lines.append(f"only: {', '.join(run.only)}")
    if verbose and run.context:
        lines.append(f"context: {json_text(dict(run.context))}")
    if verbose:
        for label, spent in (
            ("paid without an artifact", spending.unsaved),
            ("duplicates paid", spending.duplicates),
        ):
            lines.append(f"  {label}: {', '.join(_spent(spent, currency))}")
    if run.share.describe():
        lines.append(run.share.describe())
    if run.owner is not None:
        lines.append(f"executor {run.executor}, worker {run.owner}")
    return lines


def _spent(spent: Spent, currency: str) -> list[str]:
    tokens, cost = spent_words(spent, currency)
    facts = [count(spent.attempts, "attempt"), f"{tokens} tokens"]
    return [*facts, f"cost {cost}"] if cost else facts


def _print_concepts(
    states: Sequence[ConceptState], steps: Mapping[str, Sequence[str]], names: Mapping[str, str]
) -> None:
    titles = ("concept", "status", "artifacts", "attempts", "name", "reason")
    rows = [
        (
            one.concept_id,
            one.status,
            ", ".join(steps.get(one.concept_id, ())) or "-",
            str(one.attempts),
            names.get(one.concept_id, ""),
            one.reason or "",
        )
        for one in states
    ]
    echo_table(table_of(titles, rows, right=("attempts",)))


def _print_dead_letters(run: Run, states: Sequence[ConceptState]) -> None:
    """List the failed concepts with their last answers, and how to retry them."""
    failed = [one for one in states if one.status == "failed"]
    if not failed:
        return
    click.echo("\nDead letters:")
    for one in failed:
        attempts = count(one.attempts, "attempt")
        click.echo(terminal_safe(f"  {one.concept_id}: {one.reason or 'no reason'} ({attempts})"))
        if one.last_answer:
            line = " ".join(one.last_answer[: 4 * MAX_SHOWN].split())
            cut = line[:MAX_SHOWN] + ("…" if len(line) > MAX_SHOWN else "")
            click.echo(terminal_safe(f"    last answer: {cut}"))
    click.echo(
        terminal_safe(
            f"Retry them: paceline resume {run.run_id} --failed-only\n"
            f"Show a complete last answer: paceline show {run.run_id} CONCEPT"
        )
    )


def _written(artifact: Artifact) -> str:
    """Which model wrote an artifact, and why not the preferred one."""
    return fallback_words(artifact) or f"{artifact.step} by {artifact.model}"


def _print_concept(
    state: ConceptState, name: str, artifacts: Sequence[Artifact], reader: Reader
) -> None:
    from rich.markdown import Markdown

    on_terminal = console().is_terminal
    attempts = count(state.attempts, "attempt")
    parts = [f"# {plain(name)}", f"*{state.concept_id}: {state.status}, {attempts}*"]
    if state.reason:
        parts.append(state.reason)
    written = [item(plain(_written(one))) for one in artifacts if one.model or one.fallback]
    if written:
        parts.append("\n".join(written))
    if state.last_answer:
        # A long fence, because a failed answer may contain fences of its own.
        parts.append(f"Last answer:\n\n``````text\n{state.last_answer}\n``````")
    parts.append(reader.markdown(artifacts) or "No content yet.")
    text = terminal_safe("\n\n".join(parts))
    if on_terminal:
        # Without hyperlinks, so that a made-up address is visible before it is opened.
        console().print(Markdown(text, hyperlinks=False))
    else:
        click.echo(text)
