"""Shared counters: the sums of several ledgers, the same in Redis as in a process."""

import asyncio
import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from paceline.admission.shared_counters import InProcessCounters
from paceline.contracts.admission.ledger import SharedCounters
from paceline.testing.servers import Valkey
from paceline.testing.virtual_time import real_time

from tests.support.redis_ledgers import redis_ledger, redis_ledgers

#: Amounts with exact sums in any order.
amounts = st.integers(-8_000, 8_000).map(lambda number: number / 8)
notes = st.dictionaries(st.sampled_from(["taken", "0 seconds quiz", "ä b:+"]), amounts)
#: Either what one of two holders counts, or how old the version of its conclusion is.
moves = st.lists(st.tuples(st.integers(0, 1), notes | st.integers(0, 2)), max_size=12)


def without_times(counters: SharedCounters) -> SharedCounters:
    """All that a counters says but of time."""
    return replace(counters, seconds=0.0, now=0.0)


def test_redis_counts_the_same_as_a_process(redis_url: str) -> None:
    numbers = itertools.count()

    @settings(max_examples=25, deadline=None)
    @given(moves=moves)
    def same(moves: list[tuple[int, dict[str, float] | int]]) -> None:
        asyncio.run(compare(moves, f"counters:{next(numbers)}"))

    async def compare(moves: list[tuple[int, dict[str, float] | int]], limit: str) -> None:
        model, version = InProcessCounters(0.0), 0
        async with redis_ledgers(redis_url, 2) as ledgers:
            for step, (who, move) in enumerate(moves):
                if isinstance(move, int):
                    old = max(0, version - move)
                    theirs = await ledgers[who].commit_decision(
                        limit, version=old, state=f"état {step}"
                    )
                    assert theirs == model.commit_decision(0.0, version=old, state=f"état {step}")
                else:
                    counters = await ledgers[who].add_counts(limit, move)
                    assert without_times(counters) == without_times(model.add_counts(0.0, move))
                    version = counters.version

    same()


@real_time
async def test_of_many_concurrent_decisions_one_is_written(redis_url: str) -> None:
    async with redis_ledgers(redis_url, 4) as ledgers:
        for version in range(5):
            counters_of_all = [await one.add_counts("at once", {"calls": 1.0}) for one in ledgers]
            assert {counters.version for counters in counters_of_all} == {version}
            written = await asyncio.gather(
                *(
                    one.commit_decision("at once", version=version, state=f"{version} {number}")
                    for number, one in enumerate(ledgers)
                )
            )
            assert sum(written) == 1
            counters = await ledgers[0].add_counts("at once", {})
            assert counters.state == f"{version} {written.index(True)}"


@real_time
async def test_counters_start_again_after_the_server_lost_them(
    redis_url: str, valkey_server: Valkey
) -> None:
    ledger = redis_ledger(redis_url)
    await ledger.add_counts("lost", {"calls": 1.0})
    assert await ledger.commit_decision("lost", version=0, state="found")
    valkey_server.command("FLUSHDB", database=int(redis_url.rpartition("/")[2]))
    counters = await ledger.add_counts("lost", {"calls": 2.0})
    assert (counters.version, counters.state, counters.totals) == (0, "", {"calls": 2.0})
    await ledger.close()
