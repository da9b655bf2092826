"""The results of runs: a table, a JSON object and an exit code."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from paceline.client.client import Client, Submitted
from paceline.client.render import run_brief, spending_to_json, spent_words
from paceline.client.terminal.output import Cell, console, note, table_of, terminal_safe
from paceline.contracts.share import DEFAULT_SHARE, Share
from paceline.contracts.storage.records import RESUMABLE, ConceptState, Run, RunStatus
from paceline.contracts.storage.spending import RunSpending
from paceline.text import count

#: Maximum number of failure reasons shown per run.
SHOWN_REASONS = 3
#: Reason of a run that is paused because its command was interrupted.
INTERRUPTED = "interrupted"
#: Characters of a title that a narrow terminal still shows in one line.
_TITLE = 36

_EXIT: dict[RunStatus, int] = {
    "completed": 0,
    "partial": 3,
    "paused": 3,
    "failed": 1,
    "cancelled": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run at the end of a command, with its failed concepts and what it cost."""

    run: Run
    submitted: Submitted
    failures: Sequence[ConceptState]
    spending: RunSpending
    currency: str

    def to_json(self) -> dict[str, object]:
        """The result for ``--json``."""
        return {
            **run_brief(self.run),
            "title": self.run.title,
            "reason": self.run.reason,
            "submitted": self.submitted,
            "total": self.run.total,
            "completed": self.run.completed,
            "failed": self.run.failed,
            "failures": [
                {"concept_id": one.concept_id, "reason": one.reason, "attempts": one.attempts}
                for one in self.failures
            ],
            **spending_to_json(self.spending, self.currency),
            "seconds": round(self.run.seconds, 3),
        }


async def result_of(client: Client, run_id: str, submitted: Submitted) -> Result:
    """Read the result of a run."""
    store = client.store
    run = await store.run(run_id)
    failures: list[ConceptState] = []
    if run.failed:
        failures = [*await store.concepts(run_id, status=["failed"])]
    return Result(
        run=run,
        submitted=submitted,
        failures=failures,
        spending=await store.spending(run_id),
        currency=client.settings.provider.currency,
    )


def exit_code(statuses: Sequence[RunStatus]) -> int:
    """The worst of 1 (failed), 3 (partial or paused) and 0 (completed)."""
    codes = {_EXIT.get(status, 1) for status in statuses}
    return next((code for code in (1, 3) if code in codes), 0)


def print_table(results: Sequence[Result]) -> None:
    """Print one row per run, then the reasons of failures."""
    figures = ("concepts", "failed", "tokens", "cost", "time")
    rows: list[Sequence[Cell]] = [
        (
            result.run.title,
            (result.run.status, _STYLES.get(result.run.status, "")),
            f"{result.run.completed}/{result.run.total}",
            str(result.run.failed),
            *spent_words(result.spending.total, result.currency),
            f"{result.run.seconds:.1f} s",
            result.run.run_id,
        )
        for result in results
    ]
    titles = ["roadmap", "status", *figures, "run"]
    target = console()
    for least in ("run", "failed", "tokens"):
        if target.is_terminal and _too_wide(titles, rows, target.width):
            rows, titles = _without(least, titles, rows)
    target.print(table_of(titles, rows, right=figures, whole=titles[1:]))
    for result in results:
        for line in _reasons(result):
            click.echo(line)
    if any(result.run.status in RESUMABLE for result in results):
        click.echo("Run the same command again to generate what is missing.")


def _too_wide(titles: Sequence[str], rows: Sequence[Sequence[Cell]], width: int) -> bool:
    """Whether the columns leave no room for the titles of the roadmaps."""
    texts = [[cell if isinstance(cell, str) else str(cell[0]) for cell in row] for row in rows]
    columns = list(zip(titles, *texts, strict=True))
    widths = [max(len(text) for text in column) + 1 for column in columns]
    return sum(widths[1:]) + min(widths[0], _TITLE) > width


def _without(
    title: str, titles: list[str], rows: Sequence[Sequence[Cell]]
) -> tuple[list[Sequence[Cell]], list[str]]:
    """The table without a column."""
    place = titles.index(title)
    kept = [[*row[:place], *row[place + 1 :]] for row in rows]
    return list(kept), [one for one in titles if one != title]


_STYLES: dict[RunStatus, str] = {
    "completed": "green",
    "partial": "yellow",
    "paused": "yellow",
    "failed": "red",
    "cancelled": "yellow",
}


def _reasons(result: Result) -> list[str]:
    run = result.run
    # If the command was interrupted, it says so once for all runs.
    reason = None if run.reason == INTERRUPTED else run.reason
    lines = [f"{run.title}: {reason}"] if reason else []
    if result.failures and not lines:
        lines = [f"{run.title}:"]
    by_reason: dict[str | None, list[str]] = {}
    for failure in result.failures:
        by_reason.setdefault(failure.reason, []).append(failure.concept_id)
    for reason, concepts in list(by_reason.items())[:SHOWN_REASONS]:
        others = f" and {len(concepts) - 1} more" if len(concepts) > 1 else ""
        lines.append(f"  {concepts[0]}{others}: {reason}")
    if len(by_reason) > SHOWN_REASONS:
        more = len(by_reason) - SHOWN_REASONS
        lines.append(f"  … and {count(more, 'more reason')}: paceline show {run.run_id}")
    return [terminal_safe(line) for line in lines]


def note_kept(run: Run, share: Share) -> None:
    """Note that an existing run keeps a weight other than the requested one."""
    if share.weight not in (DEFAULT_SHARE.weight, run.share.weight):
        note(f"{run.title}: run {run.run_id} keeps its own weight: {run.share.weight:g}")
