"""`--budget`: the run pauses with exit code 3, and a larger one continues it."""

import csv
import io

from tests.support.cli_processes import Home, simulator
from tests.support.demo_roadmaps import ROADMAPS

FILE = str(ROADMAPS[1])
PRICES = {"PACELINE_PROVIDER__PROMPT_PRICE": "1", "PACELINE_PROVIDER__COMPLETION_PRICE": "4"}
BUDGET = 0.06


def test_a_budget_pauses_a_run_and_a_larger_one_completes_it(home: Home) -> None:
    stack = ("--strategy", "budget,per-roadmap")
    with simulator("--speed", "100") as llm:
        home.environment |= {"OPENAI_BASE_URL": llm.base_url, **PRICES}
        [paused] = home.json("run", FILE, *stack, "--budget", str(BUDGET), code=3)["runs"]
        figures = llm.figures()
        billed = (figures["prompt_tokens"] + 4 * figures["completion_tokens"]) / 1e6
        shown = home.json("show", paused["run_id"])
        said = home.run("status").stdout
        again = home.json("run", FILE, *stack, "--budget", "10")["runs"][0]
        paid_again = llm.figures()["paid_again"]
        costs = home.json("costs", "--by", "run")
        lines = list(csv.DictReader(io.StringIO(home.run("costs", "--by", "step", "--csv").stdout)))
    assert paused["status"] == "paused"
    assert "0.0600 USD spent (per_run)" in paused["reason"]
    assert "--budget" in paused["reason"]
    assert 0 < paused["completed"] < paused["total"]
    assert billed == shown["cost"] <= BUDGET
    assert shown["budget"] == BUDGET
    assert "budget: " in said
    assert (again["run_id"], again["status"]) == (paused["run_id"], "completed")
    assert paid_again == 0
    assert [one["name"] for one in costs["costs"]] == [again["run_id"]]
    assert costs["costs"][0]["cost"] == again["cost"]
    assert {line["step"] for line in lines} == {"tutorial", "resources", "quiz"}
    assert round(sum(float(line["cost"]) for line in lines), 4) == round(again["cost"], 4)


def test_a_budget_without_prices_or_strategy_is_an_error_before_the_first_call(home: Home) -> None:
    with simulator() as llm:
        home.environment |= {"OPENAI_BASE_URL": llm.base_url}
        no_price = home.run("run", FILE, "--strategy", "budget", "--budget", "1", code=2)
        no_strategy = home.run("run", FILE, "--budget", "1", code=2)
        assert llm.figures()["paid"] == 0
    assert "provider.prompt_price" in no_price.stderr
    assert "set strategy to budget, per-roadmap" in no_strategy.stderr


def test_doctor_shows_the_prices_that_a_budget_needs(home: Home) -> None:
    with simulator() as llm:
        home.environment |= {"OPENAI_BASE_URL": llm.base_url, "PACELINE_STRATEGY": "budget"}
        found = {one["part"]: one for one in home.json("doctor", code=1)["findings"]}
        home.environment |= PRICES
        priced = {one["part"]: one for one in home.json("doctor", code=None)["findings"]}
    missing, known = found["price of model main"], priced["price of model main"]
    assert (missing["level"], known["level"]) == ("wrong", "ok")
    assert "provider.prompt_price" in missing["fix"]
    assert known["text"].endswith("from the settings")
    assert not [one for one in priced.values() if one["level"] == "wrong"]
