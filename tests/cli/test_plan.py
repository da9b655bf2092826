"""`paceline plan`, and `paceline run --plan`."""

import io
import sys
from pathlib import Path

import pytest

from tests.support.cli_processes import simulator
from tests.support.cli_terminal import Terminal, a_roadmap


@pytest.fixture(autouse=True)
def roadmap(paceline: Terminal) -> None:
    """A roadmap of four concepts in the working directory."""
    Path("r.json").write_text(a_roadmap("r", *"abcd").to_json())


def test_a_forecast_says_what_it_rests_on_and_what_it_leaves_out(paceline: Terminal) -> None:
    said = paceline("plan", "r.json", "--draws", "3").out
    assert "4 concepts with per-roadmap on in-process, 1 x 8 roadmaps" in said
    assert "makespan" in said
    assert "Used latencies: documented defaults (no data)." in said
    assert "Left out: content that exists already." in said
    assert not Path("paceline.db").exists(), "nothing is started"


def test_a_forecast_fits_a_narrow_terminal(paceline: Terminal) -> None:
    for line in paceline("plan", "r.json", "--draws", "2").out.splitlines():
        assert len(line) <= 80, line


def test_a_forecast_as_json_has_seconds(paceline: Terminal) -> None:
    found = paceline("plan", "r.json", "--draws", "2", "--json").json
    assert set(found["makespan"]) == {"median", "p10", "p90"}
    assert 45 < found["makespan"]["median"] < 75
    assert 0 < found["cost"]["median"] < 1, "in the currency of the settings"


def test_a_search_recommends_settings_that_keep_the_constraints(paceline: Terminal) -> None:
    search = ("plan", "r.json", "--search", "--draws", "2")
    found = paceline(*search, "--within", "5m", "--json").json
    kept = {one["name"]: one["breaks"] for one in found["choices"]}
    assert kept[found["recommended"]["name"]] == []
    assert "No setting keeps the constraints." in paceline(*search, "--within", "1s").out


def test_compared_settings_are_listed_with_their_picture(paceline: Terminal) -> None:
    compare = ("--compare", "strategy=unbounded", "--compare", "strategy=global:concurrency=1")
    said = paceline("plan", "r.json", "--draws", "2", *compare).out
    assert "A  unbounded" in said
    assert "B  global:concurrency=1" in said
    assert 'strategy = ["unbounded"]' in said


def test_constraints_without_alternatives_are_rejected(paceline: Terminal) -> None:
    assert "need --compare or --search" in paceline("plan", "r.json", "--budget", "5", code=2).err


def test_without_roadmaps_it_says_what_to_give(paceline: Terminal) -> None:
    assert "give roadmap files" in paceline("plan", code=2).err


def test_a_workload_file_may_name_synthetic_roadmaps(paceline: Terminal) -> None:
    Path("work.toml").write_text("roadmaps = 2\nconcepts = 3\n[latency]\ntutorial = '1-2'\n")
    said = paceline("plan", "--workload", "work.toml", "--draws", "2").out
    assert "6 concepts" in said
    assert "Used latencies: the workload file." in said


def test_a_run_that_is_not_confirmed_starts_nothing(paceline: Terminal) -> None:
    paceline.monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    said = paceline("run", "r.json", "--plan", code=0)
    assert "makespan" in said.out
    assert not Path("paceline.db").exists()


def test_a_planned_run_starts_if_it_is_confirmed(paceline: Terminal) -> None:
    with simulator("--speed", "200") as llm:
        paceline.setenv(OPENAI_BASE_URL=llm.base_url)
        said = paceline("run", "r.json", "--plan", "--yes").out
    assert "makespan" in said
    assert "completed, 4/4 concepts" in said


def test_a_comparison_is_also_written_as_a_page(paceline: Terminal) -> None:
    hostile = "run.context_schema=<script>"
    paceline(
        *("plan", "r.json", "--draws", "2", "--html", "page.html"),
        *("--compare", "strategy=per-roadmap:limit=1", "--compare", "strategy=unbounded"),
        *("--compare", hostile),
    )
    page = Path("page.html").read_text()
    assert "<h2>Time, cost and calls in flight</h2>" in page
    assert page.count("<circle") == 3
    assert 'role="img"' in page
    assert "strategy = [&quot;unbounded&quot;]" in page
    assert "documented defaults (no data)" in page
    assert "content that exists already" in page
    assert "<script>," not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http://www.w3.org", ""), "nothing is loaded"


def test_a_page_needs_a_comparison_and_a_file_that_can_be_written(paceline: Terminal) -> None:
    assert (
        "--html needs --compare or --search"
        in paceline("plan", "r.json", "--html", "x", code=2).err
    )
    compare = ("--compare", "strategy=unbounded", "--draws", "2")
    said = paceline("plan", "r.json", *compare, "--html", "none/page.html", code=2).err
    assert "none/page.html: cannot be written: No such file or directory" in said
