"""Every scenario keeps within what it expects."""

from pathlib import Path

import pytest

from tests.scenarios.figures import compared, figures
from tests.scenarios.play import play
from tests.scenarios.scenario import scenario_in

FILES = sorted(Path(__file__).parent.glob("*.toml"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_scenario(file: Path) -> None:
    scenario = scenario_in(file)
    seen = play(scenario)
    lines = [scenario.title]
    missed = bool(seen.failed)
    for expect in scenario.expect:
        for name, value, (low, high) in compared(expect, figures(seen, expect.since, expect.until)):
            wrong = not low <= value <= high
            missed |= wrong
            lines.append(
                f"{'MISSED' if wrong else 'ok':8} {expect.since:g}-{expect.until:g} s: "
                f"{name} {value:.4g}, expected {low:g} to {high:g}"
            )
    lines += [f"failed: {why}" for why in seen.failed[:3]]
    assert not missed, "\n".join([*lines, seen.explained])


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 12
