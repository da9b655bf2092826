"""What every ledger promises: never more leases than the capacity, and fair shares."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

from paceline.ledger import Ledger
from paceline.testing.contracts.contract import Contract, when

T = TypeVar("T")


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


class LedgerContract(Contract):
    """Inherit it, and make a ledger.

    Declare:
        lease: the lease time of the ledger that you make, in seconds.
        expires: whether leases end when they are not renewed; make the lease short where time
            is real.
    """

    lease: ClassVar[float] = 30.0
    expires: ClassVar[bool] = True

    def ledger(self) -> Ledger:
        """Make your ledger, empty; called on the event loop."""
        raise NotImplementedError(f"{type(self).__name__}.ledger() makes the ledger to test")

    def on_a_ledger(self, scenario: Callable[[Ledger], Coroutine[Any, Any, T]]) -> T:
        """Run a scenario on a new ledger, closed in the end."""

        async def with_ledger() -> T:
            ledger = self.ledger()
            self.opened.push_async_callback(ledger.close)
            return await scenario(ledger)

        return self.play(with_ledger())

    @when("expires")
    def test_leases_that_nobody_renews_end(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            await ask(ledger, "dead", 4)
            waits = await ledger.exchange("limit", capacity=4, holder="b", wanted=1, settle=[])
            assert not waits.leases
            assert waits.expires_in is not None, "say when to ask again, in `Grant.expires_in`"
            await asyncio.sleep(1.2 * self.lease)
            assert await ask(ledger, "b", 4), "a lease must end when its holder does not renew it"

        self.on_a_ledger(scenario)

    def test_grants_what_is_wanted_up_to_the_capacity(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            first = await ask(ledger, "a", 3)
            second = await ask(ledger, "b", 3)
            assert (len(first), len(second)) == (3, 1)
            assert len({*first, *second}) == 4
            assert await ask(ledger, "c", 1) == ()
            assert await ledger.held("limit") == {"a": 3, "b": 1}

        self.on_a_ledger(scenario)

    def test_what_is_given_back_can_be_had_in_the_same_step(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            first = await ask(ledger, "a", 4)
            assert len(await ask(ledger, "a", 2, settle=first[:2])) == 2
            assert await ledger.held("limit") == {"a": 4}

        self.on_a_ledger(scenario)

    def test_giving_back_twice_or_what_never_was_changes_nothing(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            first = await ask(ledger, "a", 4)
            await ask(ledger, "a", 0, settle=first[:1])
            await ask(ledger, "a", 0, settle=[first[0], "nobody's:b", "a", ""])
            assert await ledger.held("limit") == {"a": 3}
            assert len(await ask(ledger, "b", 9)) == 1

        self.on_a_ledger(scenario)

    def test_anybody_may_give_back_a_lease(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            first = await ask(ledger, "a", 4)
            assert len(await ask(ledger, "b", 9, settle=first)) == 4
            assert await ledger.held("limit") == {"b": 4}

        self.on_a_ledger(scenario)

    def test_limits_know_nothing_of_each_other(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            names = ["openai:gpt", "openai:gpt:mini", "{x}", "ä b"]
            for name in names:
                assert len(await ask(ledger, "a", 4, limit=name)) == 4
            assert [await ledger.held(name) for name in names] == [{"a": 4}] * 4

        self.on_a_ledger(scenario)

    def test_what_others_miss_of_their_share_is_left_for_them(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            rich = await ask(ledger, "rich", 4)
            assert await ask(ledger, "poor", 4) == ()
            assert await ask(ledger, "rich", 9, settle=rich[:1]) == ()
            assert len(await ask(ledger, "poor", 4)) == 1

        self.on_a_ledger(scenario)

    def test_nothing_stays_free_for_who_wants_nothing_any_more(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            rich = await ask(ledger, "rich", 4)
            await ask(ledger, "poor", 4)
            await ask(ledger, "poor", 0)
            assert len(await ask(ledger, "rich", 9, settle=rich)) == 4

        self.on_a_ledger(scenario)

    def test_holders_that_want_all_they_can_get_end_up_with_the_same(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            leases: dict[str, list[str]] = {"a": [], "b": [], "c": []}
            leases["a"] += await ask(ledger, "a", 50, capacity=20)
            for _ in range(10):
                for holder in leases:
                    some = leases[holder][:5]
                    leases[holder] = leases[holder][5:]
                    leases[holder] += await ask(ledger, holder, 50, capacity=20, settle=some)
            assert sorted(len(held) for held in leases.values()) == [6, 6, 8]

        self.on_a_ledger(scenario)

    def test_a_burst_that_ends_at_once_is_not_the_catch_of_one(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            burst = await ask(ledger, "a", 4)
            await ask(ledger, "b", 9)
            await ask(ledger, "c", 9)
            await ask(ledger, "a", 0, settle=burst)
            # Two want two each: whoever is faster leaves the other one's share.
            assert len(await ask(ledger, "c", 9)) == 2
            assert len(await ask(ledger, "b", 9)) == 2

        self.on_a_ledger(scenario)

    def test_who_waits_hears_that_something_became_free(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            held = await ask(ledger, "a", 4)
            assert await ask(ledger, "b", 1) == ()
            hears = asyncio.create_task(ledger.changed("limit", holder="b", seconds=60))
            await ask(ledger, "a", 0, settle=held[:1])
            await asyncio.wait_for(hears, 10)
            assert len(await ask(ledger, "b", 1)) == 1

        self.on_a_ledger(scenario)

    def test_what_became_free_before_one_listens_is_heard(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            held = await ask(ledger, "a", 4)
            assert await ask(ledger, "b", 1) == ()
            await ask(ledger, "a", 0, settle=held[:1])
            await asyncio.wait_for(ledger.changed("limit", holder="b", seconds=60), 10)

        self.on_a_ledger(scenario)

    def test_everybody_whose_share_became_free_hears_of_it(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            held = await ask(ledger, "a", 4)
            others = ["b", "c", "d"]
            for other in others:
                assert await ask(ledger, other, 1) == ()
            hear = [ledger.changed("limit", holder=other, seconds=60) for other in others]
            tasks = [asyncio.create_task(one) for one in hear]
            await ask(ledger, "a", 0, settle=held)
            await asyncio.wait_for(asyncio.gather(*tasks), 10)

        self.on_a_ledger(scenario)

    def test_a_wait_without_a_change_ends_in_time(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            await ask(ledger, "a", 4)
            await ask(ledger, "b", 1)
            loop = asyncio.get_running_loop()
            since = loop.time()
            await ledger.changed("limit", holder="b", seconds=0.2)
            assert loop.time() - since >= 0.19

        self.on_a_ledger(scenario)

    def test_renewing_tells_what_is_lost(self) -> None:
        async def scenario(ledger: Ledger) -> None:
            held = await ask(ledger, "a", 3)
            await ask(ledger, "a", 0, settle=held[:1])
            lost = await ledger.renew("limit", holder="a", leases=[*held, "never:a"])
            assert sorted(lost) == sorted([held[0], "never:a"])
            assert await ledger.held("limit") == {"a": 2}

        self.on_a_ledger(scenario)

    def test_leases_say_how_long_they_live(self) -> None:
        async def scenario(ledger: Ledger) -> float:
            return ledger.lease_seconds

        assert self.on_a_ledger(scenario) == self.lease
