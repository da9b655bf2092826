"""Group commit with writers, cancellations, faults and closed stores in any order."""

import itertools
from typing import cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from paceline_adapters.sql import group_commit

from tests.support.commit_machine import BATCH, Commits
from tests.support.databases import PostgresPlace, SqlitePlace, SqlPlace


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "BATCH", BATCH)


def in_any_order(place: SqlPlace, *, examples: int, steps: int) -> None:
    names = (f"any-order-{number}" for number in itertools.count())
    run_state_machine_as_test(
        cast("type[Commits]", lambda: Commits(place, next(names))),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            # No shrinking: each example with a stuck writer would take a minute.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_acknowledged_saves_are_durable_exactly_once_on_sqlite(sqlite_place: SqlitePlace) -> None:
    in_any_order(sqlite_place, examples=8, steps=20)


def test_acknowledged_saves_are_durable_exactly_once_on_postgresql(
    postgres_place: PostgresPlace,
) -> None:
    in_any_order(postgres_place, examples=8, steps=15)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("examples", [200])
def test_acknowledged_saves_are_durable_exactly_once_in_long_runs(
    sql_place: SqlPlace, examples: int
) -> None:
    in_any_order(sql_place, examples=examples, steps=50)
