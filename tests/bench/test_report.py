"""The HTML page: its texts, escaping of names, and no external files."""

import json
import re
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from paceline import App, UsageError
from paceline_adapters.bench.cells import matrix
from paceline_adapters.bench.figures import FIGURES
from paceline_adapters.bench.report import Constraints, render
from paceline_adapters.bench.report.formatting import short
from paceline_adapters.bench.report.snippet import snippet
from paceline_adapters.bench.results import CellResults, Results

from tests.support.bench_results import cell_of, results_of, sample_results

HOSTILE = "</script><script>alert(1)</script><img src=x onerror='a()'>\"&\u202e\x00${body}"
_VOID = {"meta", "link", "br", "wbr", "hr", "input"}


class _Page(HTMLParser):
    """Parses a page; refuses elements that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def text(self) -> str:
        shown = "".join(data for tag, data in self.texts if tag not in {"script", "style"})
        return re.sub(r"[\s\u202f]+", " ", shown)

    def code(self) -> str:
        """The first snippet."""
        return next(data for tag, data in self.texts if tag == "code" and "strategy = " in data)


def _page(results: Results, **bounds: int) -> _Page:
    return _Page(render(results, Constraints(**bounds)))


def _without(results: Results, *figures: str) -> Results:
    text = results.model_dump()
    for cell in text["cells"]:
        for found in cell["rounds"]:
            for figure in figures:
                found["figures"].pop(figure, None)
    return Results.model_validate(text)


def test_the_page_starts_with_the_recommendation_and_its_figures() -> None:
    quick = cell_of("quick", makespan=10, over_bound=1.02, connections_peak=80)
    fit = cell_of("fit", makespan=20, over_bound=1.05, connections_peak=24)
    text = _page(results_of(quick, fit), max_connections=60).text()
    assert "with at most 60 database connections" in text
    assert "Use fit with in-process on PostgreSQL." in text
    assert "1.05 × the lower bound" in text
    assert "24 of 60 connections" in text
    assert (
        "Outside the bounds, quick / in-process takes 0.50 × the time of the recommended setting, "
        "with 80 connections"
    ) in text


def test_the_page_names_tied_settings_and_what_decided() -> None:
    results = results_of(
        cell_of("one", makespan=[10, 11, 10], connections_peak=30),
        cell_of("two", makespan=[10, 11, 10], connections_peak=7),
    )
    text = _page(results).text()
    assert "Use two" in text
    assert "Tie in makespan: one and two." in text
    assert "Decided by connections, peak: 7 against 30 or more (two)." in text


def test_the_page_says_that_settings_tie_if_nothing_decides() -> None:
    def tied(name: str, memory: float, executor: str) -> CellResults:
        cell = cell_of(name, "sqlite", makespan=10, rss_peak=memory)
        settings = {"strategy": name, "executor": executor}
        return cell.model_copy(update={"settings": settings, "redis": executor != "in-process"})

    queued, small = tied("queued", 50, "arq"), tied("small", 96.9, "in-process")
    assert "Without Redis: small." in _page(results_of(queued, small)).text()
    alike = tied("alike", 96.6, "in-process")
    text = _page(results_of(small, alike)).text()
    assert "Tie of 2 settings. The first by name: use alike" in text
    assert "no criterion separates alike and small by more than the spread" in text
    assert "96.9" not in text.partition("The ranking")[0]


def test_the_goal_of_the_page_is_what_the_user_prefers() -> None:
    quick = cell_of("quick", makespan=10, unfairness=2.0)
    fair = cell_of("fair", makespan=20, unfairness=1.0)
    text = _Page(render(results_of(quick, fair), Constraints(), "fairness")).text()
    assert "Goal: the fairest share of small and large roadmaps, without bounds." in text
    assert "Use fair" in text
    assert "Decided by unfairness by size" in text


def test_if_no_setting_fits_the_page_shows_the_closest_and_its_excess() -> None:
    far = cell_of("far", makespan=10, connections_peak=80)
    near = cell_of("near", makespan=20, connections_peak=36)
    page = _page(results_of(far, near), max_connections=30)
    assert "No measured setting meets all bounds." in page.text()
    assert "near / in-process (PostgreSQL) is the closest of 2 settings" in page.text()
    assert "36 connections, 6 above the bound of 30 (20%)" in page.text()
    assert "Use " not in page.text().partition("The ranking")[0]


@pytest.mark.parametrize("store", ["postgresql", "sqlite"])
@pytest.mark.parametrize("executor", ["in-process:concurrency=4", "celery:pool=threads", "arq"])
@pytest.mark.parametrize("strategy", ["unbounded", "per-roadmap:limit=5+global:concurrency=64"])
def test_the_snippet_can_be_loaded_and_equals_the_measured_cell(
    store: str, executor: str, strategy: str, tmp_path: Path
) -> None:
    (cell,) = matrix([strategy], [executor], [store])
    results = sample_results(
        strategies=[strategy], executors=[executor], stores=[store], contestants=(), rounds=1
    )
    file = tmp_path / "paceline.toml"
    file.write_text(_page(results).code(), encoding="utf-8")
    settings = App.load(file, environ={}).settings
    assert settings.strategy == [part.name for part in cell.strategy]
    assert settings.executor == cell.executor.name
    assert settings.store_kind == store
    expected = {p.name: {k: str(v) for k, v in p.options} for p in cell.strategy if p.options}
    found = {name: {k: str(v) for k, v in o.items()} for name, o in settings.strategies.items()}
    assert found == expected
    assert (settings.redis.url is not None) == (cell.executor.name in {"celery", "arq"})


def test_the_snippet_has_an_address_of_redis_for_an_executor_of_a_plugin_that_needs_it() -> None:
    settings = {"strategy": "unbounded", "executor": "theirs"}
    cell = cell_of("x", makespan=1).model_copy(update={"settings": settings, "redis": True})
    assert "[redis]" in _page(results_of(cell)).code()


def test_the_snippet_omits_the_benchmarks_servers_and_quotes_special_characters() -> None:
    cell = cell_of("x", makespan=1).model_copy(
        update={
            "settings": {
                "strategy": 'a"b,c',
                "executor": HOSTILE,
                "store.url": "postgresql+asyncpg://user:secret@127.0.0.1:5000/bench",
                "redis.url": "redis://127.0.0.1:5001",
                "provider.base_url": "http://127.0.0.1:5002",
                "store.pool_size": "5",
                "strategies.dotted.na me.key]\n": "text\x7f",
                "strategies.c.version": "007",
                "strategies.c.share": "0.5",
                "strategies.c.strict": "true",
            }
        }
    )
    text = snippet(cell)
    assert "secret" not in text
    assert "127.0.0.1" not in text
    read = tomllib.loads(text)
    assert read["strategy"] == ['a"b', "c"]
    assert read["executor"] == HOSTILE
    assert read["store"]["pool_size"] == 5
    assert read["strategies"]["dotted.na me"] == {"key]\n": "text\x7f"}
    assert read["strategies"]["c"] == {"version": "007", "share": 0.5, "strict": True}


def test_names_are_always_escaped() -> None:
    results = sample_results(rounds=2, strategies=["unbounded"], executors=["celery"])
    changed = results.model_dump()
    for number, cell in enumerate(changed["cells"]):
        cell["name"] = f"{HOSTILE}{number}"
        cell["strategy"] = cell["executor"] = HOSTILE
        cell["settings"] = {"strategy": HOSTILE, "executor": HOSTILE}
        if cell["contestant"]:
            cell["contestant"] = HOSTILE
    changed["command"] = changed["made_at"] = changed["paceline"] = HOSTILE
    changed["workload"] |= {"name": HOSTILE, "roadmaps": {HOSTILE: 3}, "latency": {HOSTILE: [1, 2]}}
    changed["machine"] |= {"system": HOSTILE, "python": HOSTILE, "versions": {HOSTILE: HOSTILE}}
    plain, page = _page(results), _page(Results.model_validate(changed))
    assert [tag for tag, _ in page.elements if tag in {"script", "img"}] == ["script", "script"]
    assert {name for _, attributes in page.elements for name in attributes} <= {
        name for _, attributes in plain.elements for name in attributes
    }
    assert "</script><script>alert(1)</script>" in page.text()
    text = "".join(data for _, data in page.texts)
    assert "\u202e" not in text.replace(_data(page), "")
    assert "\x00" not in text
    assert "${body}" in text
    assert json.loads(_data(page))[0]["name"].startswith(HOSTILE)


def _data(page: _Page) -> str:
    return next(data for tag, data in page.texts if tag == "script" and data.startswith("[{"))


def _addresses(page: _Page) -> Iterator[str]:
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            if name in attributes:
                yield attributes[name] or ""


def test_the_page_loads_no_external_files() -> None:
    html = render(sample_results(), Constraints(max_connections=60))
    page = _Page(html)
    own = {"data:,", "results.json", "rounds.csv", "summary.csv"}
    anchors = {address for address in _addresses(page) if address not in own}
    assert anchors
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert all(address[0] == "#" and address[1:] in ids for address in anchors)
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp|import\(", html)


def test_ids_are_unique_and_every_chart_has_a_text() -> None:
    page = _page(sample_results(), max_connections=60)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    pictures = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert pictures
    assert all(one.get("aria-label") or one.get("aria-hidden") == "true" for one in pictures)


def test_every_figure_has_a_heatmap_a_column_and_a_definition() -> None:
    page = _page(sample_results())
    maps = [a["data-figure"] for _, a in page.elements if a.get("class") == "map"]
    assert set(maps) == set(FIGURES)
    columns = {a["data-figure"] for _, a in page.elements if a.get("class") == "ratio"}
    assert columns == set(FIGURES)
    text = page.text()
    assert all(figure.meaning in text for figure in FIGURES.values())


def test_the_spread_of_a_cell_is_available_to_screen_readers() -> None:
    results = results_of(cell_of("x", makespan=[1, 2, 4]), cell_of("y", makespan=[5, 5, 5]))
    assert "2, median of 3 rounds, lowest and highest 1 s to 4 s" in _page(results).text()


def test_ratios_are_computed_round_by_round() -> None:
    base = cell_of("base", makespan=[10, 20, 40])
    other = cell_of("other", makespan=[20, 40, 60])
    assert "× 2.00" in _page(results_of(base, other)).text(), "the median of 2, 2 and 1.5"


def test_hand_written_programs_are_compared_with_paceline() -> None:
    script = cell_of("script", makespan=10).model_copy(update={"contestant": "bare gather"})
    ours = cell_of("ours", makespan=12)
    text = _page(results_of(ours, script)).text()
    expected = "ours / in-process, takes 1.20 × the time of the fastest hand-written program, bare"
    assert expected in text
    assert "No hand-written program was measured" in _page(results_of(ours)).text()


def _results_of_every_kind() -> dict[str, Results]:
    full = sample_results(rounds=2)
    script = cell_of("script", makespan=10).model_copy(update={"contestant": "script"})
    return {
        "one cell, one round, one figure": results_of(cell_of("x", makespan=[3])),
        "SQLite alone": sample_results(stores=["sqlite"], contestants=(), rounds=2),
        "no events": _without(full, *(n for n, f in FIGURES.items() if f.group == "events")),
        "no connections": _without(full, "connections_peak"),
        "only by hand": results_of(script),
        "all alike": results_of(
            cell_of("x", makespan=5, rss_peak=0), cell_of("y", makespan=5, rss_peak=0)
        ),
        "another number of rounds": results_of(
            cell_of("x", makespan=[1, 2, 3]), cell_of("y", makespan=[4])
        ),
        "thirty cells": sample_results(
            strategies=[f"per-roadmap:limit={n}" for n in range(1, 11)], stores=["postgresql"]
        ),
    }


@pytest.mark.parametrize("kind", sorted(_results_of_every_kind()))
def test_the_page_can_be_rendered_for(kind: str) -> None:
    results = _results_of_every_kind()[kind]
    for bounds in (
        Constraints(),
        Constraints(max_connections=20, max_events=50, rpm=500, tpm=9),
        Constraints(max_connections=1),
    ):
        page = _Page(render(results, bounds))
        assert all(cell.name in _data(page) for cell in results.cells)
        assert all(short(cell) in page.text() for cell in results.cells)
        assert "nan" not in page.text().split()


def _broken_results() -> dict[str, Results]:
    cell = cell_of("x", makespan=1)
    return {
        "no cell": results_of(),
        "x: at least one round": results_of(cell.model_copy(update={"rounds": []})),
        "2 times": results_of(cell, cell),
        "round 1: makespan must be above 0": results_of(cell_of("x", rss_peak=1)),
        "round 2: makespan must be above 0": results_of(cell_of("x", makespan=[1, 0, 1])),
        "rss_peak must be finite, got nan": results_of(
            cell_of("x", makespan=1, rss_peak=float("nan"))
        ),
    }


@pytest.mark.parametrize("message", sorted(_broken_results()))
def test_invalid_results_are_refused_with_the_reason(message: str) -> None:
    with pytest.raises(UsageError, match=message):
        render(_broken_results()[message], Constraints())


def test_compressed_time_and_unchecked_bounds_are_noted_at_the_start() -> None:
    results = sample_results(rounds=2)
    start = _page(results, tpm=1000, rpm=100_000).text().partition("The ranking")[0]
    assert "Latencies were divided by 5" in start
    assert "2 rounds per cell: too few" in start
    assert "tokens per minute was not checked" in start
    assert "provider had no quota" in start
