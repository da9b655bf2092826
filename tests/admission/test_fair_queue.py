"""The order of service: shares by weight, and every waiter is served."""

from hypothesis import given
from hypothesis import strategies as st
from paceline.admission.fair_queue import FairQueue

NOW = 1_000

costs = st.integers(1, 1_000)
flows = st.lists(
    st.tuples(st.sampled_from([0.25, 1.0, 3.0]), st.lists(costs, min_size=40, max_size=40)),
    min_size=2,
    max_size=6,
)


@given(flows=flows)
def test_shares_match_the_weights_within_one_call(flows: list[tuple[float, list[int]]]) -> None:
    queue = FairQueue()
    for number, (weight, wanted) in enumerate(flows):
        queue.update(f"a|{number}", "a", tenant="", weight=weight, costs=list(wanted), now=NOW)
    used = [0.0] * len(flows)
    while all(flow.costs for flow in queue.flows.values()):
        flow = queue.first()
        assert flow is not None
        used[int(flow.key[2:])] += queue.serve(flow, NOW)
        for one, (weight, wanted) in enumerate(flows):
            for other, (heavy, longest) in enumerate(flows):
                # Golestani's bound for self-clocked queues, which is SFQ's too.
                bound = max(wanted) / weight + max(longest) / heavy
                assert abs(used[one] / weight - used[other] / heavy) <= bound


@given(
    waits=costs,
    others=st.lists(costs, min_size=1, max_size=60),
)
def test_a_waiter_is_served_after_a_bounded_use_by_later_ones(
    waits: int, others: list[int]
) -> None:
    queue = FairQueue()
    queue.update("a|first", "a", tenant="", weight=1.0, costs=[waits], now=NOW)
    for number, cost in enumerate(others):
        queue.update(f"a|{number}", "a", tenant="", weight=1.0, costs=[cost], now=NOW)
    flow = queue.first()
    assert flow is not None
    assert flow.key == "a|first", "of flows with the same tag, the older is first"


def test_a_returning_flow_has_not_saved_up_its_share() -> None:
    queue = FairQueue()
    queue.update("a|idle", "a", tenant="", weight=1.0, costs=[1], now=NOW)
    queue.update("a|busy", "a", tenant="", weight=1.0, costs=[1] * 100, now=NOW)
    for _ in range(60):
        flow = queue.first()
        assert flow is not None
        queue.serve(flow, NOW)
    queue.update("a|idle", "a", tenant="", weight=1.0, costs=[1] * 100, now=NOW)
    served = list[str]()
    for _ in range(10):
        flow = queue.first()
        assert flow is not None
        served.append(flow.key)
        queue.serve(flow, NOW)
    assert 4 <= served.count("a|idle") <= 6


@given(count=st.integers(1, 8))
def test_all_runs_of_a_tenant_get_no_more_than_one_run_of_another(count: int) -> None:
    queue = FairQueue()
    for number in range(count):
        queue.update(f"a|{number}", "a", tenant="many", weight=1.0, costs=[10] * 99, now=NOW)
    queue.update("a|one", "a", tenant="one", weight=1.0, costs=[10] * 99, now=NOW)
    served = list[str]()
    for _ in range(100):
        flow = queue.first()
        assert flow is not None
        served.append(flow.tenant)
        queue.serve(flow, NOW)
    assert abs(served.count("one") - served.count("many")) <= count + 1


tenants = st.lists(
    st.tuples(
        st.sampled_from([0.25, 1.0, 3.0]),
        st.lists(st.lists(costs, min_size=60, max_size=60), min_size=1, max_size=4),
    ),
    min_size=2,
    max_size=4,
)


@given(tenants=tenants)
def test_shares_of_tenants_match_their_weights_within_one_call_per_run(
    tenants: list[tuple[float, list[list[int]]]],
) -> None:
    queue = FairQueue()
    for tenant, (weight, runs) in enumerate(tenants):
        for run, wanted in enumerate(runs):
            queue.update(
                f"a|{tenant}.{run}",
                "a",
                tenant=f"t{tenant}",
                weight=weight,
                costs=list(wanted),
                now=NOW,
            )
    used = [0.0] * len(tenants)
    # The runs of a tenant share its weight equally.
    slack = [len(runs) * max(map(max, runs)) / weight for weight, runs in tenants]
    while all(flow.costs for flow in queue.flows.values()):
        flow = queue.first()
        assert flow is not None
        used[int(flow.tenant[1:])] += queue.serve(flow, NOW)
        for one, (weight, _) in enumerate(tenants):
            for other, (heavy, _) in enumerate(tenants):
                apart = abs(used[one] / weight - used[other] / heavy)
                assert apart <= slack[one] + slack[other]


def test_a_refunded_run_gets_its_turn_back() -> None:
    queue = FairQueue()
    for name in ("a|one", "a|two"):
        queue.update(name, "a", tenant="", weight=1.0, costs=[10] * 9, now=NOW)
    one = queue.first()
    assert one is not None
    queue.serve(one, NOW)
    queue.correct("a|one", -10)
    again = queue.first()
    assert again is one


def test_flows_without_waiters_are_forgotten_after_a_while() -> None:
    queue = FairQueue()
    queue.update("a|one", "a", tenant="t", weight=1.0, costs=[10], now=NOW)
    queue.update("a|two", "a", tenant="t", weight=1.0, costs=[10], now=NOW)
    flow = queue.first()
    assert flow is not None
    queue.serve(flow, NOW + 5)
    queue.expire_idle(NOW + 4)
    assert set(queue.flows) == {"a|one", "a|two"}
    queue.expire_idle(NOW + 5)
    assert set(queue.flows) == {"a|two"}
    assert queue.has_waiters("a")
