"""The page as a whole: its sections in order, its style and script inline, nothing from outside."""

from importlib import resources
from string import Template

from paceline_adapters.bench.report.answer import answer
from paceline_adapters.bench.report.contestants import contestants
from paceline_adapters.bench.report.front import front
from paceline_adapters.bench.report.heatmap import heatmaps
from paceline_adapters.bench.report.html import Markup, el, join, named, text
from paceline_adapters.bench.report.ranked import ranked
from paceline_adapters.bench.report.ranking import Ranking
from paceline_adapters.bench.report.tables import glossary, tables
from paceline_adapters.bench.report.timelines import timelines
from paceline_adapters.bench.report.words import number
from paceline_adapters.bench.results import Results

_CONTENTS = {
    "ranking": "Ranking",
    "matrix": "Matrix",
    "front": "Database",
    "time": "Over time",
    "by-hand": "By hand",
    "figures": "All figures",
    "measured": "How measured",
    "limits": "What this does not show",
    "meaning": "Meanings",
}


def page(results: Results, ranking: Ranking) -> str:
    """The document."""
    body = join(
        _masthead(results),
        el(
            "main",
            answer(results, ranking),
            ranked(results, ranking),
            heatmaps(results),
            front(results, ranking),
            timelines(results, ranking),
            contestants(results),
            tables(results, ranking),
            _measured(results),
            Markup(_template("limits.html")),
            glossary(results),
        ),
    )
    return Template(_template("page.html")).substitute(
        style=_template("page.css"), script=_template("page.js"), body=body
    )


def _template(name: str) -> str:
    return (resources.files("paceline_adapters.bench.report") / "templates" / name).read_text(
        encoding="utf-8"
    )


def _masthead(results: Results) -> Markup:
    work = results.workload
    concepts = sum(work.roadmaps.values())
    rounds = [len(cell.rounds) for cell in results.cells]
    said = (
        f"{_count(concepts, 'concept')} in {_count(len(work.roadmaps), 'roadmap')}, "
        f"{_count(len(results.cells), 'cell')}, {_rounds(min(rounds), max(rounds))} each, "
        f"interleaved; {results.made_at}"
    )
    links = [el("a", title, href=f"#{anchor}") for anchor, title in _CONTENTS.items()]
    theme = el("button", "Theme: system", type="button", id="theme", class_="js")
    return el(
        "header",
        el("div", el("h1", "Which strategy, which executor, which numbers?"), theme, class_="top"),
        el("p", said, class_="note"),
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
        f"{number(quota)} {what} a minute"
        for quota, what in ((work.rpm, "requests"), (work.tpm, "tokens"))
        if quota is not None
    ]
    rows: dict[str, list[str]] = {
        "Command": [el("code", results.command)],
        "When": [results.made_at],
        "paceline": [results.paceline],
        "Machine": [
            f"{_count(machine.cores, 'core')}, {number(machine.memory_gib)} GiB, "
            f"{machine.system}, Python {machine.python}"
        ],
        "Versions": [versions or "none noted"],
        "Workload": [work.name, f", seed {work.seed}: ", *roadmaps],
        "Latencies": [latency or "none noted", f", divided by {number(work.speed)}"],
        "Provider's quota": [" and ".join(quotas) or "none"],
    }
    entries = [part for term, told in rows.items() for part in (el("dt", term), el("dd", *told))]
    data = el("p", "The data lies beside this page: ", *_files(), class_="note")
    return el(
        "section",
        el("h2", "How it was measured"),
        el("dl", *entries, class_="facts"),
        data,
        id="measured",
    )


def _files() -> list[str]:
    links = [el("a", name, href=name) for name in ("results.json", "rounds.csv", "summary.csv")]
    return [links[0], ", ", links[1], ", ", links[2], text(".")]


def _count(number_of: int, what: str) -> str:
    return f"{number(number_of)} {what}" if number_of == 1 else f"{number(number_of)} {what}s"


def _rounds(fewest: int, most: int) -> str:
    return _count(most, "round") if fewest == most else f"{fewest} to {most} rounds"
