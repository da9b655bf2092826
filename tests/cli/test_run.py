"""`paceline run`: what it rejects, and its summary."""

from pathlib import Path

from paceline.client.totals import Totals
from paceline.text import count

from tests.support.cli_processes import simulator
from tests.support.cli_terminal import Terminal, a_roadmap
from tests.support.pgbouncer import PgBouncer


def test_local_workers_are_rejected_without_a_queue(paceline: Terminal) -> None:
    Path("r.json").write_text(a_roadmap("r", "c").to_json())
    said = paceline("run", "r.json", "--workers", "2", code=2)
    assert "in-process works in this process" in said.err
    assert not Path("paceline.db").exists(), "nothing is begun"


def test_one_roadmap_of_one_concept_is_reported_in_the_singular(paceline: Terminal) -> None:
    Path("r.json").write_text(a_roadmap("r", "c").to_json())
    with simulator("--speed", "200") as llm:
        paceline.setenv(OPENAI_BASE_URL=llm.base_url)
        said = paceline("run", "r.json").out
    assert "Title of r: completed, 1/1 concept\n" in said
    assert "Peak: 1 roadmap active at once, 1 concept in flight." in said


def test_a_run_through_a_pooler_completes(
    paceline: Terminal, postgres_url: str, pgbouncer: PgBouncer
) -> None:
    Path("r.json").write_text(a_roadmap("r", *(f"c{n}" for n in range(12))).to_json())
    paceline.setenv(PACELINE_STORE__URL=pgbouncer.through(postgres_url))
    paceline("db", "upgrade")
    with simulator("--speed", "200") as llm:
        paceline.setenv(OPENAI_BASE_URL=llm.base_url)
        assert "completed, 12/12 concepts" in paceline("run", "r.json").out


def test_figures_count_their_nouns() -> None:
    one = Totals(
        roadmaps_active=1,
        concepts=1,
        calls=1,
        connections=1,
        connections_max=1,
        events_per_second=1,
    )
    assert one.sentence() == (
        "1 roadmap running · 1 concept in flight · 1 LLM call · 1 of 1 DB connection · 1 event/s"
    )
    assert "0 concepts in flight · 0 LLM calls · 0 of 0 DB connections" in Totals().sentence()
    assert count(2, "process", "processes") == "2 processes"
