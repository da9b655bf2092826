"""Coroutines that a stop signal cancels instead of interrupting the event loop."""

import asyncio
import signal
import threading
from collections.abc import Iterator

import pytest
from paceline.process.stop_signals import exit_on_stop_signals
from paceline.process.stoppable import run_stoppable, signals_handled


@pytest.fixture(autouse=True)
def _hangup_not_ignored() -> Iterator[None]:
    """The tests may run under ``nohup``, which ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_the_coroutine_and_its_cleanup_completes(number: signal.Signals) -> None:
    cleaned: list[str] = []

    async def main() -> None:
        signal.raise_signal(number)
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            cleaned.append("closed")

    with exit_on_stop_signals(), pytest.raises(SystemExit) as ended:
        run_stoppable(main())
    assert (ended.value.code, cleaned) == (128 + number, ["closed"])


def test_ctrl_c_is_a_keyboard_interrupt() -> None:
    async def main() -> None:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(3600)

    with pytest.raises(KeyboardInterrupt):
        run_stoppable(main())


def test_a_second_signal_ends_a_cleanup_that_hangs() -> None:
    async def main() -> None:
        signal.raise_signal(signal.SIGTERM)
        try:
            await asyncio.sleep(3600)
        finally:
            asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGTERM)
            await asyncio.sleep(0.01)

    with exit_on_stop_signals(), pytest.raises(SystemExit) as ended:
        run_stoppable(main())
    assert ended.value.code == 128 + signal.SIGTERM


def test_an_inner_handler_is_replaced_by_the_outer_one_afterwards() -> None:
    received: list[int] = []

    async def main() -> None:
        with signals_handled(received.append):
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.01)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(3600)

    with exit_on_stop_signals(), pytest.raises(SystemExit):
        run_stoppable(main())
    assert received == [signal.SIGTERM]


def test_a_coroutine_runs_in_other_threads_and_returns_its_result() -> None:
    results: list[int] = []

    async def main() -> int:
        return 7

    thread = threading.Thread(target=lambda: results.append(run_stoppable(main())))
    thread.start()
    thread.join()
    assert [*results, run_stoppable(main())] == [7, 7]
