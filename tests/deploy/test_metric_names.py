"""Alerts and dashboard name metrics and labels that the real `/metrics` of a server has."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from paceline.contracts.call_counts import BOUNDS, CallCounts, Durations
from paceline.contracts.storage.records import Figures
from paceline.testing.contracts.store.inputs import artifact, charge, claimed, worker
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.files import DEPLOY, manifest
from tests.support.web_site import site

#: Labels that Prometheus adds.
ADDED = {"job", "instance"}
_WRAPPERS = (promql_parser.AggregateExpr, promql_parser.ParenExpr, promql_parser.SubqueryExpr)


def expressions() -> Iterator[Any]:
    """Every expression of the alerts, the dashboard and the autoscaler."""
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
    for rule in rules["groups"][0]["rules"]:
        yield pytest.param(rule["expr"], id=rule["alert"])
    board = json.loads((DEPLOY / "grafana" / "paceline.json").read_text())
    for panel in board["panels"]:
        for number, target in enumerate(panel.get("targets", [])):
            expression = target["expr"].replace("$__rate_interval", "5m")
            yield pytest.param(expression, id=f"{panel['title']} {number}")
    scaled = manifest("ScaledObject", "paceline-worker")["spec"]
    yield pytest.param(scaled["triggers"][0]["metadata"]["query"], id="autoscaler")


async def _exposed(folder: Path) -> Mapping[str, set[str]]:
    budget = {"budget": {"per_day": 20, "keys": {"openai:gpt": {"per_month": 40}}}}
    sinks = {"archive": {"use": "files", "url": str(folder)}}
    async with site(
        folder, strategy=["budget", "unbounded"], strategies=budget, sinks=sinks
    ) as here:
        store = here.backend.store
        claim = await claimed(store)
        await store.save(claim, artifact(cost=0.5), concept=None)
        await store.charge(claim, charge("c1", "quiz", cost=0.25))
        once = Durations(buckets=(1, *(0 for _ in BOUNDS)), seconds=0.1)
        calls = CallCounts(answered=once, refused=1, failed={"Transient": 1})
        await store.register(worker("one"))
        figures = Figures(saved=1, attempts={"openai:gpt": calls}, waits={"call": once})
        await store.beat("one", figures, lease=30)
        await here.client.get("/api/runs")
        here.backend.metrics.messages_sent("sse", ())
        text = (await here.client.get("/metrics")).text
    found: dict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(text):
        found.setdefault(family.name, set())
        for one in family.samples:
            found[one.name] |= set(one.labels)
    for name in re.findall(r"^# TYPE (\w+)", text, re.MULTILINE):
        found.setdefault(name, set())
    return found


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, set[str]]:
    """The labels of each metric of a running server."""
    return asyncio.run(_exposed(tmp_path_factory.mktemp("site")))


def selectors(node: object) -> Iterator[promql_parser.VectorSelector]:
    """The metrics that an expression selects."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    elif isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector
    elif isinstance(node, promql_parser.Call):
        for argument in node.args:
            yield from selectors(argument)
    elif isinstance(node, promql_parser.BinaryExpr):
        yield from selectors(node.lhs)
        yield from selectors(node.rhs)
    elif isinstance(node, _WRAPPERS):
        yield from selectors(node.expr)
    else:
        assert isinstance(node, (promql_parser.NumberLiteral, promql_parser.StringLiteral)), node


@pytest.mark.parametrize("expression", list(expressions()))
def test_an_expression_names_metrics_and_labels_that_the_server_has(
    expression: str, exposed: Mapping[str, set[str]]
) -> None:
    named = list(selectors(promql_parser.parse(expression)))
    assert named
    known = set(ADDED)
    for one in named:
        assert one.name is not None
        assert one.name in exposed
        labels = exposed[one.name]
        assert {matcher.name for matcher in one.matchers.matchers} <= labels | ADDED, one.name
        known |= labels
    grouped = re.findall(r"by \(([^)]*)\)", expression)
    assert {label.strip() for names in grouped for label in names.split(",")} <= known


def test_a_misspelt_metric_is_found(exposed: Mapping[str, set[str]]) -> None:
    [one] = selectors(promql_parser.parse('max(paceline_workrs{state="queued"})'))
    assert one.name not in exposed


def test_alerts_and_panels_that_name_a_label_in_a_text_group_by_it() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
    for rule in rules["groups"][0]["rules"]:
        texts = " ".join(rule["annotations"].values())
        for label in re.findall(r"\$labels\.(\w+)", texts):
            assert re.search(rf"by \([^)]*\b{label}\b", rule["expr"]), rule["alert"]
    board = json.loads((DEPLOY / "grafana" / "paceline.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert re.search(rf"by \([^)]*\b{label}\b", target["expr"]), panel["title"]


def test_the_panels_of_the_dashboard_do_not_overlap_and_have_ids_of_their_own() -> None:
    board = json.loads((DEPLOY / "grafana" / "paceline.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
