"""The files of the report."""

import csv
from pathlib import Path

import pytest
from paceline import UsageError
from paceline_adapters.bench.report import Constraints, render, write_report
from paceline_adapters.bench.results import Results

from tests.support.bench_results import cell_of, results_of, sample_results


def _lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_folder_contains_the_page_and_the_data(tmp_path: Path) -> None:
    results = sample_results(rounds=2)
    bounds = Constraints(max_connections=60)
    index = write_report(results, tmp_path / "new" / "out", bounds)
    assert sorted(path.name for path in index.parent.iterdir()) == [
        "index.html",
        "results.json",
        "rounds.csv",
        "summary.csv",
    ]
    assert index.read_text(encoding="utf-8") == render(results, bounds)
    text = (index.parent / "results.json").read_text(encoding="utf-8")
    assert Results.model_validate_json(text) == results


def test_rounds_csv_has_every_figure_of_every_round(tmp_path: Path) -> None:
    results = sample_results(rounds=2)
    write_report(results, tmp_path, Constraints())
    lines = iter(_lines(tmp_path / "rounds.csv"))
    for cell in results.cells:
        for measured in cell.rounds:
            line = next(lines)
            about = {"cell": cell.name, "strategy": cell.strategy, "executor": cell.executor}
            about |= {"store": cell.store, "contestant": cell.contestant}
            about |= {"round": str(measured.number), "order": str(measured.order)}
            assert {key: line.pop(key) for key in about} == about
            assert {key: float(value) for key, value in line.items() if value} == measured.figures
    assert next(lines, None) is None


def test_summary_csv_has_medians_and_quartiles_of_all_figures(tmp_path: Path) -> None:
    cell = cell_of("x", makespan=[1, 2, 3, 4, 5], of_tomorrow=[1, 1, 1, 1, 2])
    other = cell_of("y", makespan=[7])
    write_report(results_of(cell, other), tmp_path, Constraints())
    keys = ("cell", "figure", "unit", "rounds", "median", "q1", "q3")
    assert [[line[key] for key in keys] for line in _lines(tmp_path / "summary.csv")] == [
        ["x", "makespan", "s", "5", "3.0", "1.5", "4.5"],
        ["x", "of_tomorrow", "", "5", "1.0", "1.0", "1.5"],
        ["y", "makespan", "s", "1", "7.0", "7.0", "7.0"],
    ]


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1"])
def test_no_name_becomes_a_formula_in_a_spreadsheet(name: str, tmp_path: Path) -> None:
    write_report(results_of(cell_of(name, makespan=1)), tmp_path, Constraints())
    for file in ("rounds.csv", "summary.csv"):
        assert {line["cell"] for line in _lines(tmp_path / file)} == {f"'{name}"}


def test_names_with_commas_quotes_and_line_breaks_stay_one_field(tmp_path: Path) -> None:
    name = 'a,"b"\nc'
    write_report(results_of(cell_of(name, makespan=1)), tmp_path, Constraints())
    assert [line["cell"] for line in _lines(tmp_path / "rounds.csv")] == [name] * 3


def test_a_folder_that_cannot_be_created_is_an_error_with_its_name(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("mine")
    with pytest.raises(UsageError, match="file: cannot be written"):
        write_report(results_of(cell_of("x", makespan=1)), taken, Constraints())
    assert taken.read_text() == "mine"


def test_invalid_results_write_no_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_report(results_of(), tmp_path / "out", Constraints())
    assert not (tmp_path / "out").exists()
