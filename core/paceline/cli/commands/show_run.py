"""``paceline show RUN [CONCEPT [STEP]]``."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import click

from paceline.cli.runs import find_run
from paceline.client.cluster_status import run_to_json
from paceline.client.render import Reader, artifact_to_json, concept_to_json, in_order
from paceline.client.terminal.output import (
    console,
    echo_json,
    echo_table,
    table_of,
    terminal_safe,
)
from paceline.contracts.records import Artifact, ConceptState, Run
from paceline.contracts.store import Store
from paceline.errors import UsageError
from paceline.runtime.parts import PartFactory
from paceline.settings.model import Settings
from paceline.text import count, nearest, plain

#: Maximum number of concepts that an error lists as allowed.
MAX_NAMED = 50
#: Maximum characters of a last answer in the list of dead letters.
MAX_SHOWN = 100


async def show_run(store: Store, settings: Settings, name: str, *, as_json: bool) -> None:
    """Print a run, its concepts and its cost.

    Raises:
        RunNotFound: the run does not exist.
    """
    run = await find_run(store, name)
    states = await store.concepts(run.run_id)
    steps = {
        concept_id: in_order(settings, found)
        for concept_id, found in (await store.artifact_steps(run.run_id)).items()
    }
    names = await _names(store, run)
    prompts, completions, cost = await store.totals(run.run_id)
    if as_json:
        concepts = [
            {
                **concept_to_json(one, names, steps.get(one.concept_id, ())),
                "last_answer": one.last_answer,
            }
            for one in states
        ]
        spent = {"prompt_tokens": prompts, "completion_tokens": completions, "cost": cost}
        echo_json({**run_to_json(run), **spent, "seconds": _seconds(run), "concepts": concepts})
        return
    for line in _head(run, prompts + completions, cost):
        click.echo(terminal_safe(line))
    click.echo()
    _print_concepts(states, steps, names)
    _print_dead_letters(run, states)


async def show_concept(
    store: Store, factory: PartFactory, place: tuple[str, str, str | None], *, as_json: bool
) -> None:
    """Print the content of a concept.

    ``place`` is the run, the concept, and a step or ``None`` for all steps.

    Raises:
        RunNotFound: the run does not exist.
        UsageError: the run has no such concept, or the concept has no such artifact.
    """
    name, concept_id, step = place
    run = await find_run(store, name)
    names = await _names(store, run)
    if concept_id not in names:
        hint = nearest(concept_id, list(names)) if len(names) <= MAX_NAMED else ""
        raise UsageError(f"run {run.run_id} has no concept {concept_id!r}{hint}")
    state = next(one for one in await store.concepts(run.run_id) if one.concept_id == concept_id)
    reader = Reader(factory)
    found = reader.ordered(await store.artifacts(run.run_id, concept_id=concept_id, step=step))
    if step is not None and not found:
        existing = (await store.artifact_steps(run.run_id)).get(concept_id, frozenset())
        raise UsageError(
            f"concept {concept_id!r} has no artifact {step!r}{nearest(step, sorted(existing))}"
        )
    if as_json:
        described = concept_to_json(state, names, [one.step for one in found])
        echo_json(
            {
                "run_id": run.run_id,
                "roadmap_id": run.roadmap_id,
                **described,
                "last_answer": state.last_answer,
                "artifacts": [artifact_to_json(one) for one in found],
            }
        )
        return
    _print_concept(state, names[concept_id], found, reader)


async def _names(store: Store, run: Run) -> Mapping[str, str]:
    roadmap = await store.roadmap(run.run_id)
    return {concept.concept_id: concept.name for _, _, concept in roadmap.concepts()}


def _seconds(run: Run) -> float | None:
    if run.started_at is None:
        return None
    return ((run.finished_at or datetime.now(UTC)) - run.started_at).total_seconds()


def _head(run: Run, tokens: int, cost: float | None) -> list[str]:
    seconds = _seconds(run)
    facts = [
        f"{run.finished} of {count(run.total, 'concept')}",
        f"{run.failed} failed",
        count(tokens, "token"),
    ]
    if cost is not None:
        facts.append(f"cost {cost:.4f}")
    if seconds is not None:
        facts.append(f"{seconds:.1f} s")
    lines = [
        f"{run.title} ({run.roadmap_id})",
        f"run {run.run_id}: {run.status}" + (f": {run.reason}" if run.reason else ""),
        ", ".join(facts),
    ]
    if run.share.describe():
        lines.append(run.share.describe())
    if run.owner is not None:
        lines.append(f"executor {run.executor}, worker {run.owner}")
    return lines


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


def _print_concept(
    state: ConceptState, name: str, artifacts: Sequence[Artifact], reader: Reader
) -> None:
    from rich.markdown import Markdown

    on_terminal = console().is_terminal
    attempts = count(state.attempts, "attempt")
    parts = [f"# {plain(name)}", f"*{state.concept_id}: {state.status}, {attempts}*"]
    if state.reason:
        parts.append(state.reason)
    if state.last_answer:
        # A long fence, because a failed answer may contain fences of its own.
        parts.append(f"Last answer:\n\n``````text\n{state.last_answer}\n``````")
    parts += [reader.markdown(one) for one in artifacts] or ["No content yet."]
    text = terminal_safe("\n\n".join(parts))
    if on_terminal:
        # Without hyperlinks, so that a made-up address is visible before it is opened.
        console().print(Markdown(text, hyperlinks=False))
    else:
        click.echo(text)
