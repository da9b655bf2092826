"""The service as a whole, in this process, against a search API and an LLM that count."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import learning_service
import pytest
import yaml
from fake_services import FakeLlm, FakeSearch, Services, serving, step_of
from learning_service.events import service_events
from learning_service.prompts import prompt
from paceline import App, Artifact, Concept, Run, Subject, load_roadmap

HERE = Path(__file__).parents[1]
CONCEPTS = 3
LEARNER = yaml.safe_load((HERE / "learner.yaml").read_text())


@dataclass(frozen=True)
class Generated:
    """What one run of the example's roadmap left."""

    run: Run
    artifacts: Sequence[Artifact]
    events: Sequence[dict[str, object]]
    services: Services


def generate(services: Services, folder: Path) -> Generated:
    """Generate the example's roadmap for the example's learner."""
    app = App.load(
        HERE / "paceline.toml",
        {"store.url": f"sqlite:///{folder / 'paceline.db'}"},
        environ=services.environment,
        plugins=[learning_service],
    )

    async def go() -> Generated:
        async with app.client(work=True) as client:
            roadmap = load_roadmap(HERE / "roadmap.yaml")
            run, _ = await client.submit(roadmap, context=LEARNER)
            events = [event async for event in service_events(client, run.run_id)]
            artifacts = await client.store.artifacts(run.run_id)
            return Generated(await client.run(run.run_id), artifacts, events, services)

    return asyncio.run(go())


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generated]:
    """One run without any trouble, for all tests that only look at it."""
    with serving() as services:
        yield generate(services, tmp_path_factory.mktemp("service"))


def test_every_concept_gets_a_tutorial_resources_and_a_quiz(generated: Generated) -> None:
    assert generated.run.status == "completed"
    assert len(generated.artifacts) == 3 * CONCEPTS
    models = {artifact.step: artifact.model for artifact in generated.artifacts}
    assert models == {"tutorial": "gpt-4o", "resources": "gpt-4o-mini", "quiz": "gpt-4.1-mini"}


def test_the_model_searches_until_it_knows_enough(generated: Generated) -> None:
    services = generated.services
    asked = [request.key for request in services.search.log.requests]
    assert len(asked) == len(set(asked)) == CONCEPTS * 2 * services.llm.rounds


def test_the_learners_profile_is_in_every_prompt(generated: Generated) -> None:
    rules = {body["messages"][0]["content"] for body in generated.services.llm.bodies}
    [text] = rules  # one prefix for all calls, so a provider can cache it
    assert "Automate my own spreadsheets" in text
    assert "English (60 % of the text) and German (40 % of the text)" in text


def test_each_model_gets_its_own_parameters(generated: Generated) -> None:
    bodies = generated.services.llm.bodies
    quiz = next(body for body in bodies if step_of(body) == "quiz")
    assert (quiz["model"], quiz["temperature"], quiz["seed"]) == ("gpt-4.1-mini", 0.0, 7)


def test_the_browser_receives_the_names_that_it_knows(generated: Generated) -> None:
    names = [str(event["event"]) for event in generated.events]
    for name in ("concept_started", "tutorial_completed", "resources_completed", "quiz_completed"):
        assert names.count(name) == CONCEPTS
    assert names.count("concept_completed") == CONCEPTS
    assert names.count("generation_completed") == 1
    assert "concept_note" in names


def test_dead_links_are_sent_back_and_replaced(tmp_path: Path) -> None:
    with serving() as services:
        services.llm.dead_links = [f"{services.search.base_url}/page/dead-{n}" for n in range(3)]
        generated = generate(services, tmp_path)
    assert generated.run.status == "completed"
    for artifact in generated.artifacts:
        if artifact.step == "resources":
            urls = [one["url"] for one in json.loads(artifact.content)["resources"]]
            assert urls
            assert all(url.startswith(services.search.base_url) for url in urls)
            assert not any("dead" in url for url in urls)


def test_a_refused_search_is_repeated_and_its_tutorial_is_not_lost(tmp_path: Path) -> None:
    search = FakeSearch()
    search.refuse_next = 2
    with serving(search=search) as services:
        run = generate(services, tmp_path).run
    assert (run.status, search.refused) == ("completed", 2)
    assert not services.llm.log.repeated()
    assert not search.log.repeated()


def test_the_model_searches_at_most_five_times(tmp_path: Path) -> None:
    with serving(FakeLlm(rounds=50)) as services:
        run = generate(services, tmp_path).run
    assert run.status == "completed"
    assert len(services.search.log.requests) == CONCEPTS * 2 * 5


def test_a_prompt_for_an_unknown_learner_has_no_empty_lines_of_profile() -> None:
    subject = Subject(
        roadmap_id="r",
        roadmap_title="R",
        stage="S",
        module="M",
        concept=Concept(concept_id="c", name="C"),
        context={"level": "expert"},
    )
    rules, _ = prompt("research", subject, purpose="learn")
    assert "skip the basics" in rules.content
    assert "goal" not in rules.content
    assert "Write in" not in rules.content
