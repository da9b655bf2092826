"""Each lease is told once, and confirmed when its holder counts on it."""

import asyncio

from paceline.admission.grant_inbox import Inbox
from paceline.contracts.ledger import Lease
from paceline.testing.virtual_time import virtual_time


def lease(number: int) -> Lease:
    """A lease with that number."""
    return Lease(f"{number}.0.0:a|run", "run", 0)


def test_what_comes_by_message_and_by_answer_is_told_once() -> None:
    inbox = Inbox()
    inbox.push([lease(1)])
    assert inbox.answered([], [lease(1), lease(2)], 2) == (lease(1), lease(2))
    inbox.push([lease(1), lease(2)])  # a message that comes late
    assert inbox.take() == ()
    assert inbox.unconfirmed() == [1, 2]
    assert inbox.answered([1, 2], [], 2) == ()
    inbox.push([lease(2)])  # and later still
    assert inbox.take() == ()


def test_what_was_not_taken_is_not_confirmed() -> None:
    inbox = Inbox()
    inbox.push([lease(1)])
    assert inbox.unconfirmed() == []
    assert inbox.take() == (lease(1),)
    assert inbox.unconfirmed() == [1]


def test_a_lost_answer_loses_no_lease() -> None:
    inbox = Inbox()
    inbox.answered([], [lease(1)], 1)
    heard = inbox.unconfirmed()  # asked, granted 2 and 3, and the answer got lost
    inbox.push([lease(4)])
    assert inbox.answered(heard, [lease(2), lease(3), lease(4)], 4) == (
        lease(4),
        lease(2),
        lease(3),
    )


@virtual_time
async def test_waiting_ends_with_a_message_a_call_or_in_time() -> None:
    inbox = Inbox()
    loop = asyncio.get_running_loop()
    loop.call_later(1, inbox.push, [lease(1)])
    assert await inbox.wait(5) == (lease(1),)
    assert loop.time() == 1
    loop.call_later(1, inbox.push, ())
    assert await inbox.wait(5) == ()
    assert loop.time() == 2
    assert await inbox.wait(5) == ()
    assert loop.time() == 7
