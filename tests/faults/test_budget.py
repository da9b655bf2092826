"""Budgets through `kill -9` and a flushed Redis: the provider's own bill stays within them."""

import random
from collections.abc import Callable, Iterator

import pytest
from paceline import load_roadmap

from tests.support.cli_processes import Simulator, simulator
from tests.support.demo_roadmaps import ROADMAPS
from tests.support.eventually import eventually
from tests.support.soak_report import in_vain
from tests.support.worker_pair import FOUR_AT_ONCE, Fleet
from tests.support.worker_processes import PATIENCE, Site

WORKERS = 4
#: Price of a million tokens: the whole workload costs about twice the budget.
PROMPT_PRICE, ANSWER_PRICE = 1.0, 4.0
BUDGET = 1.0
#: What the most expensive call of the simulator costs at most.
DEAREST = 0.01


@pytest.fixture(scope="module")
def llm() -> Iterator[Simulator]:
    """A simulated LLM with calls of about a second."""
    with simulator("--speed", "20") as server:
        yield server


@pytest.fixture
def site_settings() -> dict[str, str]:
    """Workers that share one budget per day."""
    return {
        "PACELINE_RUN__LEASE": "2",
        "PACELINE_RUN__POISON_AFTER": "100",
        "PACELINE_RUN__GRACE": "5",
        "PACELINE_STRATEGY": "budget,per-roadmap,global",
        "PACELINE_STRATEGIES__BUDGET__PER_DAY": str(BUDGET),
        "PACELINE_PROVIDER__PROMPT_PRICE": str(PROMPT_PRICE),
        "PACELINE_PROVIDER__COMPLETION_PRICE": str(ANSWER_PRICE),
        **FOUR_AT_ONCE,
    }


def bill(llm: Simulator) -> float:
    """What the simulator billed, in units of the currency."""
    figures = llm.figures()
    prompts, answers = figures["prompt_tokens"], figures["completion_tokens"]
    return float((prompts * PROMPT_PRICE + answers * ANSWER_PRICE) / 1e6)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("executor", "store", "kills", "budget"),
    [
        pytest.param("in-process", "sqlite", 3, 0.2),
        pytest.param("in-process", "postgresql", 20, BUDGET, marks=pytest.mark.soak),
        pytest.param("in-process", "sqlite", 20, BUDGET, marks=pytest.mark.soak),
        pytest.param("arq", "postgresql", 20, BUDGET, marks=pytest.mark.soak),
    ],
)
def test_the_bill_of_killed_workers_stays_within_the_budget_and_a_larger_one_continues(
    site: Site, kills: int, budget: float, record_property: Callable[[str, object], None]
) -> None:
    names = ROADMAPS if budget == BUDGET else ROADMAPS[:2]
    roadmaps = [load_roadmap(path) for path in names]
    site.home.environment["PACELINE_STRATEGIES__BUDGET__PER_DAY"] = str(budget)
    fleet = Fleet(site, random.Random(7))
    try:
        for _ in range(WORKERS):
            fleet.add()
        fleet.ready()
        site.submit(*roadmaps)
        for number in range(kills):
            if number == kills // 2:
                site.redis.flushall()
            fleet.kill()
        eventually(lambda: site.count("runs", "status <> 'paused'") == 0, PATIENCE)
        eventually(lambda: site.llm.figures()["in_flight"] == 0, PATIENCE)
        eventually(lambda: site.count("budget_reservations") == 0, PATIENCE)
    finally:
        fleet.stop()
    billed, spent = bill(site.llm), spent_of(site)
    record_property("billed", billed)
    print(f"billed {billed:.4f}, counted {spent:.4f}, {fleet.deaths}")  # noqa: T201
    # Reservations are learned: an answer may cost more than its call had reserved.
    assert billed <= budget + WORKERS * DEAREST
    assert site.count("runs", "reason NOT LIKE 'budget: %'") == 0
    # The budget binds in the middle, and what was spent is not forgotten.
    assert spent >= 0.8 * budget
    made = site.count("artifacts")
    assert 0 < made < 3 * sum(one.concept_count() for one in roadmaps)

    site.home.environment["PACELINE_STRATEGIES__BUDGET__PER_DAY"] = "100"
    with site.worker():
        eventually(lambda: site.count("runs", "status <> 'completed'") == 0, 300.0)
    assert site.count("artifacts") == 3 * sum(one.concept_count() for one in roadmaps)
    figures = site.llm.figures()
    assert figures["paid_again"] <= fleet.deaths.in_flight + in_vain(site)


def spent_of(site: Site) -> float:
    """What the account of the day says."""
    return int(site.sql("SELECT sum(spent) FROM budget_accounts WHERE run_id IS NULL")) / 1e9
