"""The benchmark of ended runs, with tiny numbers."""

import json
from pathlib import Path

from click.testing import CliRunner

from benchmarks.ended_runs import main


def test_the_benchmark_measures_every_action_beside_few_and_many_runs(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    sizes = ["--few", "10", "--many", "12", "--concepts", "2", "--turns", "2"]
    result = CliRunner().invoke(main, [*sizes, "--kind", "sqlite", "--json", str(report)])
    assert result.exit_code in (0, 1), result.output  # tiny numbers decide nothing
    targets = json.loads(report.read_text())["targets"]
    names = ("claim", "save a run", "list", "revise", "restore", "look for old runs", "purge")
    assert [one["name"] for one in targets] == [f"sqlite: {name}" for name in names]
    assert result.exit_code == (0 if all(one["met"] for one in targets) else 1)
