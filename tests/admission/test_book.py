"""Whose lease counts for how long."""

from paceline.admission.lease_table import Book
from paceline.contracts.ledger import Lease, LeaseRelease, LeaseRequest, Quota

START = 1_000_000
LEASE, CONFIRM = 30_000, 5_000
TWO = Quota(concurrency=2)


def numbers(leases: list[Lease]) -> list[int]:
    """What their names begin with."""
    return [int(lease.name.partition(".")[0]) for lease in leases]


def test_a_lease_that_ended_takes_no_other_one_of_its_holder_along() -> None:
    book = Book(lease=LEASE, confirm=CONFIRM)
    held = book.sync(START, quota=TWO, holder="a", asks=[LeaseRequest("run", [0, 0])]).leases
    assert not book.sync(START, quota=TWO, holder="b", asks=[LeaseRequest("run", [0, 0])]).leases
    one, other = (LeaseRelease(lease.name) for lease in held)
    book.sync(START + 100, quota=TWO, holder="a", settled=[one])
    later = START + 4_000
    sent = book.sync(later, quota=TWO, holder="a", settled=[other]).mail["b"]
    # The first is not heard of in time; the second is, and confirmed.
    heard = numbers(sent)
    book.sync(START + 100 + CONFIRM, quota=TWO, holder="a")
    book.sync(START + 6_000, quota=TWO, holder="b", heard=heard)
    assert book.held(later + CONFIRM) == {"b": 1}
    assert book.held(START + 6_000 + LEASE) == {}


def test_who_lets_a_lease_end_is_granted_nothing_until_it_comes_back() -> None:
    book = Book(lease=LEASE, confirm=CONFIRM)
    book.sync(START, quota=TWO, holder="a", asks=[LeaseRequest("run", [0, 0])])
    book.sync(START, quota=TWO, holder="dead", asks=[LeaseRequest("run", [0, 0])])
    later = START + LEASE
    answer = book.sync(later, quota=TWO, holder="dead")
    assert len(answer.leases) == 2, "it came before it was taken for dead"
    after = later + LEASE
    assert len(book.sync(after, quota=TWO, holder="b", asks=[LeaseRequest("run", [0])]).leases) == 1
    back = book.sync(after, quota=TWO, holder="dead", asks=[LeaseRequest("run", [0])])
    assert back.forgotten
    assert len(back.leases) == 1
