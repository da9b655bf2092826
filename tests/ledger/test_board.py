"""Boards: what several ledgers count together, and the same in Redis as in a process."""

import asyncio
import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from paceline.admission.shared_counters import InProcessBoard
from paceline.contracts.ledger import Board
from paceline.testing.servers import Valkey
from paceline.testing.virtual_time import real_time

from tests.ledger.places import redis_ledger, redis_ledgers

#: What adds up exactly, whatever the order.
amounts = st.integers(-8_000, 8_000).map(lambda number: number / 8)
notes = st.dictionaries(st.sampled_from(["taken", "0 seconds quiz", "ä b:+"]), amounts)
#: Either what one of two holders counts, or how old the serial of its conclusion is.
moves = st.lists(st.tuples(st.integers(0, 1), notes | st.integers(0, 2)), max_size=12)


def said(board: Board) -> Board:
    """All that a board says but of time."""
    return replace(board, seconds=0.0, now=0.0)


def test_redis_and_the_board_of_a_process_say_the_same(redis_url: str) -> None:
    numbers = itertools.count()

    @settings(max_examples=25, deadline=None)
    @given(moves=moves)
    def same(moves: list[tuple[int, dict[str, float] | int]]) -> None:
        asyncio.run(compare(moves, f"board:{next(numbers)}"))

    async def compare(moves: list[tuple[int, dict[str, float] | int]], limit: str) -> None:
        model, serial = InProcessBoard(0.0), 0
        async with redis_ledgers(redis_url, 2) as ledgers:
            for step, (who, move) in enumerate(moves):
                if isinstance(move, int):
                    old = max(0, serial - move)
                    theirs = await ledgers[who].conclude(limit, serial=old, state=f"état {step}")
                    assert theirs == model.conclude(0.0, serial=old, state=f"état {step}")
                else:
                    board = await ledgers[who].note(limit, move)
                    assert said(board) == said(model.note(0.0, move))
                    serial = board.serial

    same()


@real_time
async def test_of_many_who_conclude_at_once_one_does(redis_url: str) -> None:
    async with redis_ledgers(redis_url, 4) as ledgers:
        for serial in range(5):
            boards = [await one.note("at once", {"calls": 1.0}) for one in ledgers]
            assert {board.serial for board in boards} == {serial}
            written = await asyncio.gather(
                *(
                    one.conclude("at once", serial=serial, state=f"{serial} {number}")
                    for number, one in enumerate(ledgers)
                )
            )
            assert sum(written) == 1
            board = await ledgers[0].note("at once", {})
            assert board.state == f"{serial} {written.index(True)}"


@real_time
async def test_a_board_is_lost_with_its_server_and_begun_anew(
    redis_url: str, valkey_server: Valkey
) -> None:
    ledger = redis_ledger(redis_url)
    await ledger.note("lost", {"calls": 1.0})
    assert await ledger.conclude("lost", serial=0, state="found")
    valkey_server.command("FLUSHDB", database=int(redis_url.rpartition("/")[2]))
    board = await ledger.note("lost", {"calls": 2.0})
    assert (board.serial, board.state, board.totals) == (0, "", {"calls": 2.0})
    await ledger.close()
