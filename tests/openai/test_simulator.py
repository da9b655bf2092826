"""The real steps through the real client against the simulator."""

import pytest
from paceline.contracts.provider import CompletionRequest
from paceline.contracts.steps.step import Subject
from paceline.errors import PacelineError, Refused, Transient, UnusableAnswer
from paceline.plugins.context import Context
from paceline.plugins.registry import Plugins
from paceline.roadmaps.model import Concept
from paceline.settings.model import Settings
from paceline.steps.answers import parse_answer
from paceline.testing.virtual_time import real_time
from paceline_adapters.simulator.options import SimulatorOptions
from paceline_adapters.simulator.server import running
from pydantic import BaseModel

pytestmark = pytest.mark.usefixtures("either_way")

STEPS = ["tutorial", "resources", "quiz"]


@real_time
async def generate(
    options: SimulatorOptions, steps: list[str], *, timeout: float = 30
) -> dict[str, BaseModel]:
    """Generate the steps of one concept with one attempt each."""
    async with running(options) as simulator:
        given = {"provider": {"base_url": simulator.base_url, "timeout": timeout}}
        plugins = Plugins()
        context = Context(settings=Settings.model_validate(given))
        provider = plugins.provider("openai").make({}, context, "providers.openai")
        made: dict[str, BaseModel] = {}
        try:
            for name in steps:
                step = plugins.step(name).make({}, context, name)
                subject = Subject(
                    roadmap_id="r1",
                    roadmap_title="Python",
                    stage="Basics",
                    module="Types",
                    concept=Concept(concept_id="c1", name="Lists"),
                    earlier=made,
                )
                request = CompletionRequest(
                    messages=tuple(step.prompt(subject)),
                    step=name,
                    schema=step.answer.model_json_schema(),
                    max_tokens=step.max_tokens,
                )
                completion = await provider.complete(request)
                assert completion.completion_tokens > 0
                made[name] = parse_answer(step.answer, completion.text)
        finally:
            await provider.close()
        return made


@pytest.mark.parametrize("schema_support", [True, False])
def test_every_step_gets_an_answer_that_fits_its_schema(*, schema_support: bool) -> None:
    options = SimulatorOptions(speed=10_000, schema_support=schema_support)
    assert list(generate(options, STEPS)) == STEPS


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("429", Refused),
        ("503", Refused),
        ("500", Transient),
        ("disconnect", Transient),
        ("hang", Transient),
        ("bad-json-body", UnusableAnswer),
        ("garbage", UnusableAnswer),
        ("schema-invalid", UnusableAnswer),
        ("truncated", UnusableAnswer),
        ("no-finish", UnusableAnswer),
        ("empty", UnusableAnswer),
        ("refusal", UnusableAnswer),
        ("ignore-schema", UnusableAnswer),
    ],
)
def test_every_fault_of_the_simulator_raises_its_own_error(
    fault: str, kind: type[PacelineError]
) -> None:
    options = SimulatorOptions(speed=10_000, faults={fault: 1.0})
    with pytest.raises(kind):
        generate(options, ["quiz"], timeout=0.5 if fault == "hang" else 30)


def test_a_slow_answer_is_accepted() -> None:
    options = SimulatorOptions(speed=10_000, faults={"slow": 1.0})
    assert list(generate(options, ["quiz"])) == ["quiz"]
