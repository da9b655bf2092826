"""What every ledger promises."""

import asyncio
from collections.abc import Sequence

from paceline.ledger import Ledger

from tests.ledger.places import Place


async def ask(
    ledger: Ledger,
    holder: str,
    wanted: int,
    *,
    settle: Sequence[str] = (),
    capacity: int = 4,
    limit: str = "limit",
) -> tuple[str, ...]:
    """Exchange, for the leases granted."""
    grant = await ledger.exchange(
        limit, capacity=capacity, holder=holder, wanted=wanted, settle=settle
    )
    assert len(grant.leases) <= wanted
    return grant.leases


def test_grants_what_is_wanted_up_to_the_capacity(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        first = await ask(ledger, "a", 3)
        second = await ask(ledger, "b", 3)
        assert (len(first), len(second)) == (3, 1)
        assert len({*first, *second}) == 4
        assert await ask(ledger, "c", 1) == ()
        assert await ledger.held("limit") == {"a": 3, "b": 1}

    place.run(scenario)


def test_what_is_given_back_can_be_had_in_the_same_step(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        first = await ask(ledger, "a", 4)
        assert len(await ask(ledger, "a", 2, settle=first[:2])) == 2
        assert await ledger.held("limit") == {"a": 4}

    place.run(scenario)


def test_giving_back_twice_or_what_never_was_changes_nothing(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        first = await ask(ledger, "a", 4)
        await ask(ledger, "a", 0, settle=first[:1])
        await ask(ledger, "a", 0, settle=[first[0], "nobody's:b", "a", ""])
        assert await ledger.held("limit") == {"a": 3}
        assert len(await ask(ledger, "b", 9)) == 1

    place.run(scenario)


def test_anybody_may_give_back_a_lease(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        first = await ask(ledger, "a", 4)
        assert len(await ask(ledger, "b", 9, settle=first)) == 4
        assert await ledger.held("limit") == {"b": 4}

    place.run(scenario)


def test_limits_know_nothing_of_each_other(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        names = ["openai:gpt", "openai:gpt:mini", "{x}", "ä b"]
        for name in names:
            assert len(await ask(ledger, "a", 4, limit=name)) == 4
        assert [await ledger.held(name) for name in names] == [{"a": 4}] * 4

    place.run(scenario)


def test_what_others_miss_of_their_share_is_left_for_them(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        rich = await ask(ledger, "rich", 4)
        assert await ask(ledger, "poor", 4) == ()
        assert await ask(ledger, "rich", 9, settle=rich[:1]) == ()
        assert len(await ask(ledger, "poor", 4)) == 1

    place.run(scenario)


def test_nothing_stays_free_for_who_wants_nothing_any_more(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        rich = await ask(ledger, "rich", 4)
        await ask(ledger, "poor", 4)
        await ask(ledger, "poor", 0)
        assert len(await ask(ledger, "rich", 9, settle=rich)) == 4

    place.run(scenario)


def test_holders_that_want_all_they_can_get_end_up_with_the_same(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        leases: dict[str, list[str]] = {"a": [], "b": [], "c": []}
        leases["a"] += await ask(ledger, "a", 50, capacity=20)
        for _ in range(10):
            for holder in leases:
                some = leases[holder][:5]
                leases[holder] = leases[holder][5:]
                leases[holder] += await ask(ledger, holder, 50, capacity=20, settle=some)
        assert sorted(len(held) for held in leases.values()) == [6, 6, 8]

    place.run(scenario)


def test_a_burst_that_ends_at_once_is_not_the_catch_of_one(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        burst = await ask(ledger, "a", 4)
        await ask(ledger, "b", 9)
        await ask(ledger, "c", 9)
        await ask(ledger, "a", 0, settle=burst)
        # Two want two each: whoever is faster leaves the other one's share.
        assert len(await ask(ledger, "c", 9)) == 2
        assert len(await ask(ledger, "b", 9)) == 2

    place.run(scenario)


def test_who_waits_hears_that_something_became_free(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        held = await ask(ledger, "a", 4)
        assert await ask(ledger, "b", 1) == ()
        hears = asyncio.create_task(ledger.changed("limit", holder="b", seconds=60))
        await ask(ledger, "a", 0, settle=held[:1])
        await asyncio.wait_for(hears, 10)
        assert len(await ask(ledger, "b", 1)) == 1

    place.run(scenario)


def test_what_became_free_before_one_listens_is_heard(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        held = await ask(ledger, "a", 4)
        assert await ask(ledger, "b", 1) == ()
        await ask(ledger, "a", 0, settle=held[:1])
        await asyncio.wait_for(ledger.changed("limit", holder="b", seconds=60), 10)

    place.run(scenario)


def test_everybody_whose_share_became_free_hears_of_it(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        held = await ask(ledger, "a", 4)
        others = ["b", "c", "d"]
        for other in others:
            assert await ask(ledger, other, 1) == ()
        hear = [ledger.changed("limit", holder=other, seconds=60) for other in others]
        tasks = [asyncio.create_task(one) for one in hear]
        await ask(ledger, "a", 0, settle=held)
        await asyncio.wait_for(asyncio.gather(*tasks), 10)

    place.run(scenario)


def test_a_wait_without_a_change_ends_in_time(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ask(ledger, "a", 4)
        await ask(ledger, "b", 1)
        loop = asyncio.get_running_loop()
        since = loop.time()
        await ledger.changed("limit", holder="b", seconds=0.2)
        assert loop.time() - since >= 0.19

    place.run(scenario)


def test_renewing_tells_what_is_lost(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        held = await ask(ledger, "a", 3)
        await ask(ledger, "a", 0, settle=held[:1])
        lost = await ledger.renew("limit", holder="a", leases=[*held, "never:a"])
        assert sorted(lost) == sorted([held[0], "never:a"])
        assert await ledger.held("limit") == {"a": 2}

    place.run(scenario)


def test_leases_say_how_long_they_live(place: Place) -> None:
    async def scenario(ledger: Ledger) -> float:
        return ledger.lease_seconds

    assert place.run(scenario) == 30.0
