"""A process that is frozen and wakes up with outdated leases, in real time."""

from pathlib import Path

import pytest

from tests.scenarios.for_real import play_for_real
from tests.scenarios.scenario import Event, Load, ProviderModel, Real, Scenario

CAP = 20


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_frozen_worker_starts_no_call_on_expired_leases(tmp_path: Path) -> None:
    real = Real(speed=10, lease=6)
    scenario = Scenario(
        title="A worker is frozen for twice its lease",
        strategy=["global"],
        options={"global": {"concurrency": CAP}},
        seconds=260,
        provider=ProviderModel(capacity=CAP),
        load=(Load(),),
        event=(Event(at=80, what="worker freezes", seconds=120),),
        expect=(),
        real=real,
    )
    seen = play_for_real(scenario, real, tmp_path)
    assert not seen.refused, seen.explained
    # The limit is fully used when the process is known to be dead, and after it wakes.
    for since, until in ((150, 200), (210, 260)):
        in_flight = [calls for at, calls in seen.admitted if since <= at < until]
        assert max(in_flight) == CAP
