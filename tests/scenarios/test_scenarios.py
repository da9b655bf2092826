"""Every scenario stays within its expected ranges."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.figures import compared, figures, loosened
from tests.scenarios.for_real import play_for_real
from tests.scenarios.play import Seen, play
from tests.scenarios.scenario import Range, Scenario, scenario_in

FILES = sorted(Path(__file__).parent.glob("*.toml"))
PLAYED = {file.stem: scenario_in(file) for file in FILES}
REAL = [
    pytest.param(name, marks=[pytest.mark.soak] * scenario.real.soak)
    for name, scenario in PLAYED.items()
    if scenario.real is not None
]


def assert_as_expected(
    scenario: Scenario,
    seen: Seen,
    *,
    seconds: float,
    bounds_of: Callable[[str, Range], Range | None],
) -> None:
    """Check every played span against its ranges; a failure shows all figures."""
    lines = [scenario.title]
    missed = bool(seen.failed)
    for expect in scenario.expect:
        if expect.until > seconds:
            continue
        for name, value, bounds in compared(expect, figures(seen, expect.since, expect.until)):
            held = bounds_of(name, bounds)
            if held is None:
                continue
            low, high = held
            wrong = not low <= value <= high
            missed |= wrong
            lines.append(
                f"{'MISSED' if wrong else 'ok':8} {expect.since:g}-{expect.until:g} s: "
                f"{name} {value:.4g}, expected {low:g} to {high:g}"
            )
    lines += [f"failed: {why}" for why in seen.failed[:3]]
    assert len(lines) > 1, "nothing was compared"
    assert not missed, "\n".join([*lines, seen.explained])


#: Scenarios with many thousand calls.
_LONG = ("capacity-steps", "knee", "two-keys", "a-burst-of-refusals", "rpm-without-headers")


@pytest.mark.parametrize(
    "name", [pytest.param(it, marks=[pytest.mark.soak] * (it in _LONG)) for it in PLAYED]
)
def test_scenario(name: str) -> None:
    scenario = PLAYED[name]
    assert_as_expected(
        scenario, play(scenario), seconds=scenario.seconds, bounds_of=lambda _, bounds: bounds
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", REAL)
def test_scenario_for_real(name: str, tmp_path: Path) -> None:
    scenario = PLAYED[name]
    assert scenario.real is not None
    assert_as_expected(
        scenario,
        play_for_real(scenario, scenario.real, tmp_path),
        seconds=scenario.real.seconds or scenario.seconds,
        bounds_of=loosened,
    )


def test_there_are_scenarios() -> None:
    assert len(PLAYED) >= 12
    assert len(REAL) >= 4
