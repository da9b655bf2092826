"""How long leases count."""

from paceline.admission.lease_table import LeaseTable
from paceline.contracts.admission.ledger import Lease, LeaseRelease, LeaseRequest, Quota

START = 1_000_000
LEASE, CONFIRM = 30_000, 5_000
TWO = Quota(concurrency=2)


def numbers(leases: list[Lease]) -> list[int]:
    """The numbers of leases."""
    return [int(lease.name.partition(".")[0]) for lease in leases]


def test_an_expired_lease_does_not_end_others_of_its_holder() -> None:
    table = LeaseTable(lease=LEASE, confirm=CONFIRM)
    held = table.sync(START, quota=TWO, holder="a", requests=[LeaseRequest("run", [0, 0])]).leases
    assert not table.sync(
        START, quota=TWO, holder="b", requests=[LeaseRequest("run", [0, 0])]
    ).leases
    one, other = (LeaseRelease(lease.name) for lease in held)
    table.sync(START + 100, quota=TWO, holder="a", releases=[one])
    later = START + 4_000
    sent = table.sync(later, quota=TWO, holder="a", releases=[other]).notifications["b"]
    # The first is not confirmed of in time; the second is, and confirmed.
    confirmed = numbers(sent)
    table.sync(START + 100 + CONFIRM, quota=TWO, holder="a")
    table.sync(START + 6_000, quota=TWO, holder="b", confirmed=confirmed)
    assert table.held(later + CONFIRM) == {"b": 1}
    assert table.held(START + 6_000 + LEASE) == {}


def test_a_holder_with_an_expired_lease_is_granted_nothing_until_its_next_sync() -> None:
    table = LeaseTable(lease=LEASE, confirm=CONFIRM)
    table.sync(START, quota=TWO, holder="a", requests=[LeaseRequest("run", [0, 0])])
    table.sync(START, quota=TWO, holder="dead", requests=[LeaseRequest("run", [0, 0])])
    later = START + LEASE
    answer = table.sync(later, quota=TWO, holder="dead")
    assert len(answer.leases) == 2, "it synced before it counted as dead"
    after = later + LEASE
    assert (
        len(table.sync(after, quota=TWO, holder="b", requests=[LeaseRequest("run", [0])]).leases)
        == 1
    )
    back = table.sync(after, quota=TWO, holder="dead", requests=[LeaseRequest("run", [0])])
    assert back.unknown_holder
    assert len(back.leases) == 1
