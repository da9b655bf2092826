"""``paceline show RUN [CONCEPT [STEP]]``."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import click

from paceline.cli.runs import find_run
from paceline.client.cluster_status import run_to_json
from paceline.client.render import Reader, artifact_to_json, concept_to_json, in_order
from paceline.client.terminal.app_options import console, echo_json, echo_table, harmless
from paceline.contracts.records import Artifact, ConceptState, Run
from paceline.contracts.store import Store
from paceline.errors import UsageError
from paceline.runtime.parts import PartFactory
from paceline.settings.model import Settings
from paceline.text import count, nearest, plain

#: Concepts that an error lists as allowed.
MOST_NAMED = 50
#: Characters of a last answer that stand beside its concept.
MOST_SHOWN = 100


async def show_run(store: Store, settings: Settings, given: str, *, as_json: bool) -> None:
    """Print a run, its concepts, and what it cost.

    Raises:
        RunNotFound: there is no such run.
    """
    run = await find_run(store, given)
    states = await store.concepts(run.run_id)
    steps = {
        concept_id: in_order(settings, found)
        for concept_id, found in (await store.artifact_steps(run.run_id)).items()
    }
    names = await _names(store, run)
    prompts, completions, cost = await store.totals(run.run_id)
    if as_json:
        echo_json(
            {
                **run_to_json(run),
                "prompt_tokens": prompts,
                "completion_tokens": completions,
                "cost": cost,
                "seconds": _seconds(run),
                "concepts": [
                    {
                        **concept_to_json(one, names, steps.get(one.concept_id, ())),
                        "last_answer": one.last_answer,
                    }
                    for one in states
                ],
            }
        )
        return
    for line in _head(run, prompts + completions, cost):
        click.echo(harmless(line))
    click.echo()
    _print_concepts(states, steps, names)
    _print_dead_letters(run, states)


async def show_concept(
    store: Store,
    factory: PartFactory,
    place: tuple[str, str, str | None],
    *,
    as_json: bool,
) -> None:
    """Print what was generated for a concept.

    Args:
        store: where it is kept.
        factory: makes the steps.
        place: run, concept, and step or ``None`` for all.
        as_json: print JSON.

    Raises:
        RunNotFound: there is no such run.
        UsageError: it has no such concept, or the concept no such artifact.
    """
    given, concept_id, step = place
    run = await find_run(store, given)
    names = await _names(store, run)
    if concept_id not in names:
        hint = nearest(concept_id, list(names)) if len(names) <= MOST_NAMED else ""
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
    if str(run.share):
        lines.append(str(run.share))
    if run.owner is not None:
        lines.append(f"{run.executor}, worked on by {run.owner}")
    return lines


def _print_concepts(
    states: Sequence[ConceptState],
    steps: Mapping[str, Sequence[str]],
    names: Mapping[str, str],
) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("concept", "status", "artifacts", "attempts", "name", "reason"):
        table.add_column(title, justify="right" if title == "attempts" else "left")
    for one in states:
        table.add_row(
            Text(harmless(one.concept_id)),
            one.status,
            Text(harmless(", ".join(steps.get(one.concept_id, ())) or "-")),
            str(one.attempts),
            Text(harmless(names.get(one.concept_id, ""))),
            Text(harmless(one.reason or "")),
        )
    echo_table(table)


def _print_dead_letters(run: Run, states: Sequence[ConceptState]) -> None:
    """What failed for good, each with what it last heard, and what can be done."""
    letters = [one for one in states if one.status == "failed"]
    if not letters:
        return
    click.echo("\nDead letters:")
    for one in letters:
        attempts = "1 attempt" if one.attempts == 1 else f"{one.attempts} attempts"
        click.echo(harmless(f"  {one.concept_id}: {one.reason or 'no reason'} ({attempts})"))
        if one.last_answer:
            line = " ".join(one.last_answer[: 4 * MOST_SHOWN].split())
            cut = line[:MOST_SHOWN] + ("…" if len(line) > MOST_SHOWN else "")
            click.echo(harmless(f"    last answer: {cut}"))
    click.echo(
        harmless(
            f"`paceline retry {run.run_id}` gives them another chance; "
            f"`paceline show {run.run_id} CONCEPT` shows a last answer whole"
        )
    )


def _print_concept(
    state: ConceptState, name: str, artifacts: Sequence[Artifact], reader: Reader
) -> None:
    from rich.markdown import Markdown

    on_terminal = console().is_terminal
    attempts = "1 attempt" if state.attempts == 1 else f"{state.attempts} attempts"
    parts = [f"# {plain(name)}", f"*{state.concept_id}: {state.status}, {attempts}*"]
    if state.reason:
        parts.append(state.reason)
    if state.last_answer:
        # A fence of its own, longer than any within: it is a failed answer, not Markdown.
        parts.append(f"Its last answer:\n\n``````text\n{state.last_answer}\n``````")
    parts += [reader.markdown(one) for one in artifacts] or ["Nothing is generated yet."]
    text = harmless("\n\n".join(parts))
    if on_terminal:
        # Without hyperlinks: an address that a model made up is shown before it is opened.
        console().print(Markdown(text, hyperlinks=False))
    else:
        click.echo(text)
