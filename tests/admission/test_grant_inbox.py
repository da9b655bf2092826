"""Each lease is returned once, and confirmed after its holder took it."""

import asyncio

from paceline.admission.grant_inbox import GrantInbox
from paceline.contracts.admission.ledger import Lease
from paceline.testing.virtual_time import virtual_time


def lease(number: int) -> Lease:
    """A lease with that number."""
    return Lease(f"{number}.0.0:a|run", "run", 0)


def test_a_lease_received_by_notification_and_reply_is_returned_once() -> None:
    inbox = GrantInbox()
    inbox.notify([lease(1)])
    assert inbox.merge_reply([], [lease(1), lease(2)], 2) == (lease(1), lease(2))
    inbox.notify([lease(1), lease(2)])  # a late notification
    assert inbox.take() == ()
    assert inbox.unconfirmed() == [1, 2]
    assert inbox.merge_reply([1, 2], [], 2) == ()
    inbox.notify([lease(2)])  # and a later one
    assert inbox.take() == ()


def test_leases_that_were_not_taken_are_not_confirmed() -> None:
    inbox = GrantInbox()
    inbox.notify([lease(1)])
    assert inbox.unconfirmed() == []
    assert inbox.take() == (lease(1),)
    assert inbox.unconfirmed() == [1]


def test_a_lost_reply_loses_no_lease() -> None:
    inbox = GrantInbox()
    inbox.merge_reply([], [lease(1)], 1)
    confirmed = inbox.unconfirmed()  # a sync that granted 2 and 3; its reply is lost
    inbox.notify([lease(4)])
    assert inbox.merge_reply(confirmed, [lease(2), lease(3), lease(4)], 4) == (
        lease(4),
        lease(2),
        lease(3),
    )


@virtual_time
async def test_waiting_ends_with_a_notification_or_in_time() -> None:
    inbox = GrantInbox()
    loop = asyncio.get_running_loop()
    loop.call_later(1, inbox.notify, [lease(1)])
    assert await inbox.wait(5) == (lease(1),)
    assert loop.time() == 1
    loop.call_later(1, inbox.notify, ())
    assert await inbox.wait(5) == ()
    assert loop.time() == 2
    assert await inbox.wait(5) == ()
    assert loop.time() == 7
