"""Priorities: urgent calls go first, and no run starves, over several workers in virtual time."""

import asyncio
import itertools
from collections import Counter

import pytest
from paceline.contracts.admission.ledger import Quota
from paceline.contracts.share import POINTS, Priority
from paceline.testing.virtual_time import virtual_time

from tests.support.quota_workers import Office, call

PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")


def reached(office: Office, since: float = 0.0) -> Counter[str]:
    """The calls of each run that reached the provider."""
    return Counter(run for when, _, run in office.provider.reached if when >= since)


@pytest.mark.parametrize("tenant", ["", "acme"])
@virtual_time
async def test_shares_follow_the_points_of_the_priorities_so_that_no_run_starves(
    tenant: str,
) -> None:
    office = Office(Quota(requests=600), workers=3)
    for worker, priority in enumerate(PRIORITIES):
        office.busy(worker, priority, callers=150, seconds=5, tenant=tenant, priority=priority)
    await asyncio.sleep(660)
    used = reached(office, since=60)
    points = sum(POINTS.values())
    for priority in PRIORITIES:
        due = used.total() * POINTS[priority] / points
        assert abs(used[priority] - due) <= 0.02 * due + 3, used
    assert used["low"] >= used.total() // points - 1
    await office.end()


@virtual_time
async def test_a_low_run_is_served_within_the_documented_bound() -> None:
    office = Office(Quota(requests=600), workers=2)
    for number in range(4):
        office.busy(number % 2, f"high-{number}", callers=150, seconds=5, priority="high")
    await asyncio.sleep(60)
    office.busy(0, "low", callers=1, seconds=1, priority="low")
    await asyncio.sleep(900)
    times = [when for when, _, run in office.provider.reached if run == "low"]
    between = [
        sum(first <= when < second for when, _, run in office.provider.reached if run != "low")
        for first, second in itertools.pairwise(times)
    ]
    assert len(times) >= 8
    assert max(between) <= 4 * POINTS["high"] + 40  # what one batch of each process may hold
    await office.end()


@virtual_time
async def test_an_urgent_call_goes_before_the_bulk_that_waits_already() -> None:
    office = Office(Quota(concurrency=1), workers=2)
    for number in range(10):
        office.busy(number % 2, f"bulk-{number}", callers=5, seconds=10, tenant="acme")
    await asyncio.sleep(100)
    asked = asyncio.get_running_loop().time()
    urgent = office.start(office.call(0, call("urgent", tenant="acme", priority="high"), seconds=1))
    await urgent
    before = [run for when, _, run in office.provider.reached if when >= asked]
    assert before.index("urgent") <= 2
    await office.end()


@virtual_time
async def test_a_priority_takes_nothing_from_another_tenant() -> None:
    office = Office(Quota(requests=600), workers=3)
    office.busy(0, "greedy", callers=150, seconds=5, tenant="greedy", priority="high")
    office.busy(1, "modest", callers=150, seconds=5, tenant="modest", priority="low")
    await asyncio.sleep(360)
    used = reached(office, since=60)
    assert abs(used["greedy"] - used["modest"]) <= 0.03 * used.total()
    await office.end()
