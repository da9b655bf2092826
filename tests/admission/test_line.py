"""Who is next: shares by weight, and nobody is passed over for ever."""

from hypothesis import given
from hypothesis import strategies as st
from paceline.admission.fair_queue import Line

NOW = 1_000

costs = st.integers(1, 1_000)
flows = st.lists(
    st.tuples(st.sampled_from([0.25, 1.0, 3.0]), st.lists(costs, min_size=40, max_size=40)),
    min_size=2,
    max_size=6,
)


@given(flows=flows)
def test_shares_are_within_one_call_of_the_weights(flows: list[tuple[float, list[int]]]) -> None:
    line = Line()
    for number, (weight, wanted) in enumerate(flows):
        line.ask(f"a|{number}", "a", tenant="", weight=weight, costs=list(wanted), now=NOW)
    used = [0.0] * len(flows)
    while all(flow.costs for flow in line.flows.values()):
        flow = line.first()
        assert flow is not None
        used[int(flow.key[2:])] += line.serve(flow, NOW)
        for one, (weight, wanted) in enumerate(flows):
            for other, (heavy, longest) in enumerate(flows):
                # Golestani's bound for self-clocked queues, which is SFQ's too.
                bound = max(wanted) / weight + max(longest) / heavy
                assert abs(used[one] / weight - used[other] / heavy) <= bound


@given(
    waits=costs,
    others=st.lists(costs, min_size=1, max_size=60),
)
def test_whatever_comes_later_a_waiter_is_served_after_a_bounded_use_by_others(
    waits: int, others: list[int]
) -> None:
    line = Line()
    line.ask("a|first", "a", tenant="", weight=1.0, costs=[waits], now=NOW)
    for number, cost in enumerate(others):
        line.ask(f"a|{number}", "a", tenant="", weight=1.0, costs=[cost], now=NOW)
    flow = line.first()
    assert flow is not None
    assert flow.key == "a|first", "of those with the same right, who came first is first"


def test_who_comes_back_has_saved_nothing_up() -> None:
    line = Line()
    line.ask("a|away", "a", tenant="", weight=1.0, costs=[1], now=NOW)
    line.ask("a|busy", "a", tenant="", weight=1.0, costs=[1] * 100, now=NOW)
    for _ in range(60):
        flow = line.first()
        assert flow is not None
        line.serve(flow, NOW)
    line.ask("a|away", "a", tenant="", weight=1.0, costs=[1] * 100, now=NOW)
    served = list[str]()
    for _ in range(10):
        flow = line.first()
        assert flow is not None
        served.append(flow.key)
        line.serve(flow, NOW)
    assert 4 <= served.count("a|away") <= 6


@given(count=st.integers(1, 8))
def test_a_tenants_runs_get_no_more_than_one_run_of_another(count: int) -> None:
    line = Line()
    for number in range(count):
        line.ask(f"a|{number}", "a", tenant="many", weight=1.0, costs=[10] * 99, now=NOW)
    line.ask("a|one", "a", tenant="one", weight=1.0, costs=[10] * 99, now=NOW)
    served = list[str]()
    for _ in range(100):
        flow = line.first()
        assert flow is not None
        served.append(flow.tenant)
        line.serve(flow, NOW)
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
def test_shares_of_tenants_are_within_one_call_of_each_run_of_their_weights(
    tenants: list[tuple[float, list[list[int]]]],
) -> None:
    line = Line()
    for tenant, (weight, runs) in enumerate(tenants):
        for run, wanted in enumerate(runs):
            line.ask(
                f"a|{tenant}.{run}",
                "a",
                tenant=f"t{tenant}",
                weight=weight,
                costs=list(wanted),
                now=NOW,
            )
    used = [0.0] * len(tenants)
    # A run of a tenant weighs its part of the tenant's weight.
    slack = [len(runs) * max(map(max, runs)) / weight for weight, runs in tenants]
    while all(flow.costs for flow in line.flows.values()):
        flow = line.first()
        assert flow is not None
        used[int(flow.tenant[1:])] += line.serve(flow, NOW)
        for one, (weight, _) in enumerate(tenants):
            for other, (heavy, _) in enumerate(tenants):
                apart = abs(used[one] / weight - used[other] / heavy)
                assert apart <= slack[one] + slack[other]


def test_a_run_that_was_refunded_has_its_place_back() -> None:
    line = Line()
    for name in ("a|one", "a|two"):
        line.ask(name, "a", tenant="", weight=1.0, costs=[10] * 9, now=NOW)
    one = line.first()
    assert one is not None
    line.serve(one, NOW)
    line.correct("a|one", -10)
    again = line.first()
    assert again is one


def test_flows_are_forgotten_when_nobody_waits_in_them_for_long() -> None:
    line = Line()
    line.ask("a|one", "a", tenant="t", weight=1.0, costs=[10], now=NOW)
    line.ask("a|two", "a", tenant="t", weight=1.0, costs=[10], now=NOW)
    flow = line.first()
    assert flow is not None
    line.serve(flow, NOW + 5)
    line.lapse(NOW + 4)
    assert set(line.flows) == {"a|one", "a|two"}
    line.lapse(NOW + 5)
    assert set(line.flows) == {"a|two"}
    assert line.waits("a")
