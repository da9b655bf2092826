"""The whole page: all sections in order, with inline style and script and no external files."""

from importlib import resources
from string import Template

from paceline_adapters.bench.report.contestants import contestants
from paceline_adapters.bench.report.formatting import number
from paceline_adapters.bench.report.heatmap import heatmaps
from paceline_adapters.bench.report.html import Markup, el, join, named, text
from paceline_adapters.bench.report.pareto_chart import pareto_chart
from paceline_adapters.bench.report.ranking import Ranking
from paceline_adapters.bench.report.ranking_table import ranking_table
from paceline_adapters.bench.report.recommendation import recommendation
from paceline_adapters.bench.report.tables import glossary, tables
from paceline_adapters.bench.report.timelines import timelines
from paceline_adapters.bench.results import Results

_CONTENTS = {
    "ranking": "Ranking",
    "matrix": "Matrix",
    "pareto": "Database",
    "time": "Timelines",
    "by-hand": "Hand-written programs",
    "figures": "All figures",
    "measured": "Method",
    "limits": "Limitations",
    "meaning": "Definitions",
}


def page(results: Results, ranking: Ranking) -> str:
    """The document."""
    body = join(
        _masthead(results),
        el(
            "main",
            recommendation(results, ranking),
            ranking_table(results, ranking),
            heatmaps(results),
            pareto_chart(results, ranking),
            timelines(results, ranking),
            contestants(results),
            tables(results, ranking),
            _measured(results),
            Markup(_template("limits.html")),
            glossary(results),
        ),
    )
    return Template(_template("page.html")).substitute(
        title="paceline benchmark",
        style=_template("page.css"),
        script=_template("page.js"),
        body=body,
    )


def _template(name: str) -> str:
    return (resources.files("paceline_adapters.bench.report") / "templates" / name).read_text(
        encoding="utf-8"
    )


def _masthead(results: Results) -> Markup:
    work = results.workload
    concepts = sum(work.roadmaps.values())
    rounds = [len(cell.rounds) for cell in results.cells]
    summary = (
        f"{_count(concepts, 'concept')} in {_count(len(work.roadmaps), 'roadmap')}, "
        f"{_count(len(results.cells), 'cell')}, {_rounds(min(rounds), max(rounds))} each, "
        f"interleaved; {results.made_at}"
    )
    links = [el("a", title, href=f"#{anchor}") for anchor, title in _CONTENTS.items()]
    theme = el("button", "Theme: system", type="button", id="theme", class_="js")
    return el(
        "header",
        el("div", el("h1", "Which strategy, executor and limits?"), theme, class_="top"),
        el("p", summary, class_="note"),
        el("nav", *links, aria_label="Sections"),
    )


def _measured(results: Results) -> Markup:
    machine, work = results.machine, results.workload
    versions = ", ".join(f"{name} {version}" for name, version in sorted(machine.versions.items()))
    roadmaps = [
        part
        for title, concepts in work.roadmaps.items()
        for part in ("; ", named(title), f" ({_count(concepts, 'concept')})")
    ][1:]
    latency = "; ".join(
        f"{step} {number(low)}–{number(high)} s" for step, (low, high) in work.latency.items()
    )
    quotas = [
        f"{number(quota)} {what} per minute"
        for quota, what in ((work.rpm, "requests"), (work.tpm, "tokens"))
        if quota is not None
    ]
    rows: dict[str, list[str]] = {
        "Command": [el("code", results.command)],
        "Date": [results.made_at],
        "paceline": [results.paceline],
        "Machine": [
            f"{_count(machine.cores, 'core')}, {number(machine.memory_gib)} GiB, "
            f"{machine.system}, Python {machine.python}"
        ],
        "Versions": [versions or "not recorded"],
        "Workload": [work.name, f", seed {work.seed}: ", *roadmaps],
        "Latencies": [latency or "not recorded", f", divided by {number(work.speed)}"],
        "Provider's quota": [" and ".join(quotas) or "none"],
    }
    entries = [part for term, parts in rows.items() for part in (el("dt", term), el("dd", *parts))]
    data = el("p", "Data files in the same folder: ", *_files(), class_="note")
    return el(
        "section", el("h2", "Method"), el("dl", *entries, class_="facts"), data, id="measured"
    )


def _files() -> list[str]:
    links = [el("a", name, href=name) for name in ("results.json", "rounds.csv", "summary.csv")]
    return [links[0], ", ", links[1], ", ", links[2], text(".")]


def _count(number_of: int, what: str) -> str:
    return f"{number(number_of)} {what}" if number_of == 1 else f"{number(number_of)} {what}s"


def _rounds(fewest: int, most: int) -> str:
    return _count(most, "round") if fewest == most else f"{fewest} to {most} rounds"
