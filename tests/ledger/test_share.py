"""The arithmetic of a fair share."""

from hypothesis import given
from hypothesis import strategies as st
from paceline.ledger import Demand, share

demands = st.builds(Demand, held=st.integers(0, 30), wanted=st.integers(0, 30))
waiting = st.builds(Demand, held=st.integers(0, 30), wanted=st.integers(1, 30))
holders = st.lists(demands, max_size=8)
waiters = st.lists(waiting, max_size=8)


@given(capacity=st.integers(1, 100), mine=demands, older=waiters, younger=holders)
def test_nobody_gets_more_than_is_wanted_or_free(
    capacity: int, mine: Demand, older: list[Demand], younger: list[Demand]
) -> None:
    granted = share(capacity, mine=mine, older=older, younger=younger)
    out = mine.held + sum(other.held for other in (*older, *younger))
    assert 0 <= granted <= mine.wanted
    assert granted <= max(0, capacity - out)


@given(capacity=st.integers(1, 100), mine=waiting, younger=holders)
def test_who_waits_longest_takes_what_is_free_up_to_the_even_share(
    capacity: int, mine: Demand, younger: list[Demand]
) -> None:
    others = sum(1 for other in younger if other.held or other.wanted)
    free = max(0, capacity - mine.held - sum(other.held for other in younger))
    missing = max(0, max(1, capacity // (1 + others)) - mine.held)
    granted = share(capacity, mine=mine, older=[], younger=younger)
    assert granted >= min(mine.wanted, free, missing)


@given(capacity=st.integers(1, 100), mine=waiting, content=st.lists(st.integers(0, 30)))
def test_who_alone_waits_takes_all_that_is_free(
    capacity: int, mine: Demand, content: list[int]
) -> None:
    others = [Demand(held, 0) for held in content]
    free = max(0, capacity - mine.held - sum(content))
    assert share(capacity, mine=mine, older=[], younger=others) == min(mine.wanted, free)


@given(capacity=st.integers(1, 100), wants=st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_when_all_ask_in_turn_nothing_stays_free_that_somebody_wants(
    capacity: int, wants: list[int]
) -> None:
    queue = [Demand(0, wanted) for wanted in wants]
    for place in [*range(len(queue))] * 2:  # once up to the shares, once for the rest
        mine = queue[place]
        granted = share(capacity, mine=mine, older=queue[:place], younger=queue[place + 1 :])
        queue[place] = Demand(mine.held + granted, mine.wanted - granted)
    assert sum(one.held for one in queue) == min(capacity, sum(wants))


def test_a_small_wish_is_served_from_the_even_share() -> None:
    older = [Demand(held=0, wanted=2)]
    assert share(10, mine=Demand(0, 99), older=older, younger=[]) == 8


def test_a_share_is_at_least_one_however_many_there_are() -> None:
    older = [Demand(held=0, wanted=5) for _ in range(3)]
    assert share(4, mine=Demand(0, 5), older=older, younger=[Demand(0, 5)] * 20) == 1
