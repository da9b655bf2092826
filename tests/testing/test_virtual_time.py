"""Virtual time is exact and deterministic, and rejects everything outside of the loop."""

import asyncio
import contextlib
import inspect
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paceline.testing.virtual_time import (
    Deadlock,
    LeftVirtualTime,
    OutOfTime,
    VirtualLoop,
    real_time,
    run_virtual,
    virtual_time,
)


def now() -> float:
    return asyncio.get_running_loop().time()


async def sleep_and_tell(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return now()


def test_a_day_passes_in_an_instant() -> None:
    before = time.monotonic()
    assert run_virtual(sleep_and_tell(86_400 * 3)) == 86_400 * 3
    assert time.monotonic() - before < 5


def test_sleeps_in_parallel_take_as_long_as_the_longest() -> None:
    async def scenario() -> float:
        await asyncio.gather(*(asyncio.sleep(second) for second in range(50)))
        return now()

    assert run_virtual(scenario()) == 49


def test_each_run_begins_at_zero() -> None:
    assert run_virtual(sleep_and_tell(1)) == run_virtual(sleep_and_tell(1)) == 1


def test_a_timeout_fires_at_its_exact_time() -> None:
    async def scenario() -> float:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.sleep(60)
        return now()

    assert run_virtual(scenario()) == 2.5


def test_an_exception_of_the_coroutine_is_raised() -> None:
    async def scenario() -> None:
        await asyncio.sleep(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_virtual(scenario())


def test_tasks_that_are_left_behind_are_cancelled() -> None:
    ended: list[float] = []

    async def background() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(now())

    async def scenario() -> None:
        background_task.append(asyncio.create_task(background()))
        await asyncio.sleep(1)

    background_task: list[asyncio.Task[None]] = []
    run_virtual(scenario())
    assert ended == [1]


def test_a_deadlock_raises_an_error_that_lists_the_waiting_tasks() -> None:
    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        await asyncio.sleep(7)
        async with asyncio.TaskGroup() as group:
            group.create_task(waits_for_ever(), name="philosopher")

    with pytest.raises(Deadlock) as caught:
        run_virtual(scenario())
    text = str(caught.value)
    assert "after 7 virtual seconds" in text
    assert "philosopher: " in text
    assert "waits_for_ever > Event.wait" in text


def test_a_run_beyond_its_limit_raises_an_error_that_names_it() -> None:
    async def scenario() -> None:
        await asyncio.sleep(3600)

    with pytest.raises(OutOfTime, match="not over after 60 virtual seconds"):
        run_virtual(scenario(), limit=60)


def test_a_run_may_end_at_its_limit() -> None:
    assert run_virtual(sleep_and_tell(60), limit=60) == 60


def test_time_without_a_limit_ends_before_floats_lose_precision() -> None:
    with pytest.raises(OutOfTime, match="1e\\+07"):
        run_virtual(sleep_and_tell(1e12))


def test_tasks_can_clean_up_after_the_limit() -> None:
    ended: list[float] = []

    async def scenario() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(5)
            ended.append(now())

    with pytest.raises(OutOfTime):
        run_virtual(scenario(), limit=10)
    assert ended == [5]


async def order_of_ten() -> list[int]:
    order: list[int] = []

    async def one(number: int) -> None:
        await asyncio.sleep(1)
        order.append(number)

    await asyncio.gather(*(one(number) for number in range(10)))
    return order


def test_without_a_seed_the_first_to_wait_is_the_first_to_wake() -> None:
    assert run_virtual(order_of_ten()) == list(range(10))


def test_a_seed_gives_the_same_order_again() -> None:
    assert run_virtual(order_of_ten(), seed=5) == run_virtual(order_of_ten(), seed=5)


def test_seeds_give_many_orders() -> None:
    orders = {tuple(run_virtual(order_of_ten(), seed=seed)) for seed in range(20)}
    assert len(orders) > 15


def test_a_seed_decides_between_timers_of_the_same_moment() -> None:
    async def scenario() -> str:
        order: list[str] = []
        for name in ("first", "second", "third"):
            asyncio.get_running_loop().call_at(1, order.append, name)
        await asyncio.sleep(2)
        return order[0]

    assert run_virtual(scenario()) == "first"
    seen = {run_virtual(scenario(), seed=seed) for seed in range(40)}
    assert seen == {"first", "second", "third"}


def test_a_seed_does_not_change_times() -> None:
    for seed in range(5):
        assert run_virtual(sleep_and_tell(0.1), seed=seed) == 0.1


def test_a_cancelled_callback_does_not_run_under_a_seed() -> None:
    async def scenario() -> list[str]:
        called: list[str] = []
        asyncio.get_running_loop().call_soon(called.append, "cancelled").cancel()
        asyncio.get_running_loop().call_soon(called.append, "kept")
        await asyncio.sleep(1)
        return called

    assert run_virtual(scenario(), seed=1) == ["kept"]


async def start_a_thread() -> None:
    done = threading.Event()
    threading.Thread(target=done.wait, args=(5,), name="mine", daemon=True).start()
    try:
        await asyncio.sleep(1)
    finally:
        done.set()


async def use_a_warm_thread() -> None:
    await asyncio.to_thread(int)


async def make_a_socket() -> None:
    socket.socket().close()


async def use_an_old_socket() -> None:
    await asyncio.get_running_loop().sock_recv(OLD[0], 1)


async def watch_an_old_socket() -> None:
    asyncio.get_running_loop().add_reader(OLD[0], int)


async def connect() -> None:
    await asyncio.open_connection("localhost", 9)


async def serve() -> None:
    await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)


async def start_a_subprocess() -> None:
    await asyncio.create_subprocess_exec(sys.executable, "-V")


async def run_a_subprocess() -> None:
    subprocess.run([sys.executable, "-V"], check=True)  # noqa: ASYNC221


#: Made before the time was virtual.
OLD: list[socket.socket] = []


@pytest.fixture(autouse=True, scope="module")
def _an_old_socket() -> Iterator[None]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as old:
        OLD[:] = [old]
        yield


@pytest.mark.parametrize(
    "leave",
    [
        start_a_thread,
        use_a_warm_thread,
        make_a_socket,
        use_an_old_socket,
        watch_an_old_socket,
        connect,
        serve,
        start_a_subprocess,
        run_a_subprocess,
    ],
)
def test_threads_sockets_and_subprocesses_are_rejected(
    leave: Callable[[], Awaitable[None]],
) -> None:
    async def scenario() -> None:
        await leave()

    with pytest.raises(LeftVirtualTime, match="under virtual time"):
        run_virtual(scenario())


def test_a_rejection_that_was_caught_still_fails_the_run() -> None:
    async def scenario() -> None:
        with contextlib.suppress(Exception):
            socket.socket()

    with pytest.raises(LeftVirtualTime, match="a socket"):
        run_virtual(scenario())


def test_a_call_from_another_thread_is_rejected_there_and_fails_the_run() -> None:
    begin, refused = threading.Event(), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    def other_thread() -> None:
        begin.wait(10)
        try:
            loops[0].call_soon_threadsafe(int)
        except LeftVirtualTime:
            refused.set()

    thread = threading.Thread(target=other_thread, name="outsider")
    thread.start()

    async def scenario() -> None:
        loops.append(asyncio.get_running_loop())
        begin.set()
        refused.wait(10)

    with pytest.raises(LeftVirtualTime, match="'outsider'"):
        run_virtual(scenario())
    thread.join()
    assert refused.is_set()


def test_sockets_and_threads_work_outside_of_virtual_time() -> None:
    run_virtual(sleep_and_tell(1))
    socket.socket().close()

    async def scenario() -> int:
        return await asyncio.to_thread(int)

    assert asyncio.run(scenario()) == 0


def test_the_loop_can_be_used_without_run_virtual() -> None:
    loop = VirtualLoop()
    try:
        assert loop.run_until_complete(sleep_and_tell(3)) == 3
        assert loop.time() == 3
    finally:
        loop.close()


# -- the decorators ----------------------------------------------------------------------


@virtual_time
async def test_a_decorated_test_begins_at_zero_and_waits_for_nothing() -> None:
    before = time.monotonic()
    assert now() == 0
    await asyncio.sleep(86_400)
    assert now() == 86_400
    assert time.monotonic() - before < 5


@virtual_time
async def sleep_an_hour() -> str:
    """Sleep."""
    await asyncio.sleep(3600)
    return "rested"


def test_a_decorated_function_is_a_plain_one_that_returns_the_result() -> None:
    assert sleep_an_hour() == "rested"
    assert sleep_an_hour.__doc__ == "Sleep."
    assert not inspect.iscoroutinefunction(sleep_an_hour)


def test_a_decorated_test_fails_as_its_body_does() -> None:
    @virtual_time
    async def fails() -> None:
        await asyncio.sleep(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fails()


def test_a_decorated_test_beyond_its_limit_is_out_of_time() -> None:
    @virtual_time(limit=60)
    async def sleeps(seconds: float) -> None:
        await asyncio.sleep(seconds)

    sleeps(60)
    with pytest.raises(OutOfTime, match="not over after 60 virtual seconds"):
        sleeps(61)


def test_a_seed_of_the_decorator_decides_the_order() -> None:
    @virtual_time(seed=5)
    async def seeded() -> list[int]:
        return await order_of_ten()

    assert seeded() == run_virtual(order_of_ten(), seed=5) != list(range(10))


def test_a_socket_is_rejected_in_a_decorated_test() -> None:
    with pytest.raises(LeftVirtualTime, match="a socket"):
        virtual_time(make_a_socket)()


@pytest.fixture
def seconds() -> float:
    return 7.0


@pytest.mark.parametrize("times", [1, 3])
@virtual_time
async def test_a_decorated_test_takes_fixtures_and_parameters(
    seconds: float, tmp_path: Path, *, times: int
) -> None:
    for _ in range(times):
        await asyncio.sleep(seconds)
    assert now() == times * seconds
    assert tmp_path.name.startswith("test_a_decorated_test")


@settings(max_examples=20)
@given(pause=st.integers(0, 1000))
@virtual_time(limit=1000)
async def test_each_example_of_hypothesis_begins_at_zero(pause: int) -> None:
    assert now() == 0
    await asyncio.sleep(pause)
    assert now() == pause


class TestMethods:
    seconds = 7.0

    @virtual_time
    async def test_a_method_may_be_decorated(self) -> None:
        await asyncio.sleep(self.seconds)
        assert now() == self.seconds

    @real_time
    async def test_a_method_may_run_in_real_time(self) -> None:
        assert await asyncio.to_thread(lambda: self.seconds) == 7.0


@pytest.mark.parametrize("number", [1, 2])
@real_time
async def test_real_time_has_sockets_and_threads(seconds: float, number: int) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    server.close()
    assert await asyncio.to_thread(lambda: number * seconds) == 7.0 * number


def test_real_time_beyond_its_limit_is_a_timeout() -> None:
    @real_time(limit=0.01)
    async def hangs() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        hangs()
