"""What is shown as paid is what the provider billed, through unusable answers and a kill."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli_processes import Home, Simulator, simulator
from tests.support.demo_roadmaps import ROADMAPS
from tests.support.eventually import eventually

FILE = str(ROADMAPS[1])
CONCEPTS = 25
PRICES = {"PACELINE_PROVIDER__PROMPT_PRICE": "1", "PACELINE_PROVIDER__COMPLETION_PRICE": "2"}


def shown(home: Home) -> dict[str, Any]:
    """The newest run, as `show` prints it."""
    [run] = home.json("show")["runs"]
    found: dict[str, Any] = home.json("show", run["run_id"])
    return found


def billed(llm: Simulator) -> tuple[int, int, int]:
    """Calls, prompt tokens and completion tokens that the simulator billed."""
    figures = llm.figures()
    return figures["paid"], figures["prompt_tokens"], figures["completion_tokens"]


def test_unusable_answers_repairs_and_failed_concepts_are_shown_as_paid(home: Home) -> None:
    with simulator("--speed", "100", "--fault", "garbage=0.4", "--seed", "7") as llm:
        home.environment |= {"OPENAI_BASE_URL": llm.base_url, **PRICES}
        result = home.json("run", FILE, "--strategy", "unbounded", code=None)["runs"][0]
        run, (calls, prompts, answers) = shown(home), billed(llm)
    assert run["failed"] > 0
    assert run["unsaved"]["attempts"] > 0
    assert not run["estimated"]
    assert (run["attempts"], run["prompt_tokens"], run["completion_tokens"]) == (
        calls,
        prompts,
        answers,
    )
    assert run["cost"] == round((prompts + 2 * answers) / 1e6, 6)
    spent = ("attempts", "prompt_tokens", "completion_tokens", "cost", "currency", "estimated")
    assert [result[name] for name in spent] == [run[name] for name in spent]
    assert sum(concept["attempts"] for concept in run["concepts"]) == calls


def charges(folder: Path) -> int:
    """Steps with unusable answers and no artifact yet, as an outside tool reads them."""
    with closing(sqlite3.connect(folder / "paceline.db")) as database:
        try:
            return int(database.execute("select count(*) from charges").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


@pytest.mark.soak
def test_after_a_kill_and_a_resume_only_the_calls_in_flight_are_estimates(home: Home) -> None:
    faults = ("--fault", "garbage=0.5", "--fault-first", "1", "--latency", "default=40-60")
    with simulator("--speed", "10", "--latency", "tutorial=40-60", *faults) as llm:
        home.environment["OPENAI_BASE_URL"] = llm.base_url
        with home.started("run", FILE, "--strategy", "unbounded") as process:
            # The first answers arrive after some beats; now the repairs are in flight.
            eventually(lambda: charges(home.folder) >= 5, within=90)
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        in_flight = llm.figures()["in_flight"]
        eventually(lambda: llm.figures()["in_flight"] == 0, within=60)
        home.run("run", FILE, "--strategy", "unbounded", code=None)
        run, (calls, prompts, answers) = shown(home), billed(llm)
    assert run["estimated"]
    assert run["duplicates"]["attempts"] > 0
    # The last beat may be two seconds older than the kill.
    assert abs(run["attempts"] - calls) <= in_flight + CONCEPTS
    assert run["prompt_tokens"] + run["completion_tokens"] >= 0.8 * (prompts + answers)
    said = home.run("show", run["run_id"], "--verbose").stdout
    assert f"~{run['prompt_tokens'] + run['completion_tokens']:,} tokens" in said
    assert "duplicates paid" in said
