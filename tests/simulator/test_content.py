"""What the answers say."""

import asyncio
import json
import random
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paceline.testing.virtual_time import real_time
from paceline_adapters.simulator.content import Writer
from paceline_adapters.simulator.prose import Prose

from tests.support.simulator_clients import (
    FAST,
    STEPS,
    Schema,
    content,
    many,
    record,
    simulator,
    wants,
)


def schemas() -> st.SearchStrategy[Schema]:
    """Small schemas of what structured outputs support."""
    leaves = st.one_of(
        st.just({"type": "boolean"}),
        st.just({"type": "null"}),
        st.builds(lambda v: {"const": v}, st.integers() | st.text(max_size=5) | st.none()),
        st.builds(lambda v: {"enum": v}, st.lists(st.text(max_size=5), min_size=1, max_size=4)),
        st.builds(_text, st.integers(0, 40), st.integers(0, 200)),
        st.builds(_integer, st.integers(-50, 50), st.integers(0, 60)),
        st.builds(lambda low: {"type": "integer", "exclusiveMinimum": low}, st.integers(-9, 9)),
        st.builds(
            lambda step: {"type": "integer", "minimum": 0, "multipleOf": step}, st.integers(1, 7)
        ),
        st.builds(
            lambda low, more: {"type": "number", "minimum": low, "maximum": low + more},
            st.floats(-5, 5),
            st.floats(0, 5),
        ),
        st.sampled_from(
            [
                {"type": ["string", "null"]},
                {"type": "string", "format": "uri"},
                {"$ref": "#/$defs/Shared"},
            ]
        ),
    )
    names = st.sampled_from(["title", "options", "answer", "url", "minutes", "sections", "x y"])
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.dictionaries(names, inner, max_size=4).map(lambda fields: record(**fields)),
            st.builds(
                lambda items, least, more: many(items, minItems=least, maxItems=least + more),
                inner,
                st.integers(0, 3),
                st.integers(0, 4),
            ),
            st.builds(
                lambda branches: {"anyOf": branches}, st.lists(inner, min_size=1, max_size=3)
            ),
        ),
        max_leaves=8,
    )


def _text(least: int, more: int) -> Schema:
    return {"type": "string", "minLength": least, "maxLength": least + more}


def _integer(low: int, more: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": low + more}


def _root(schema: Schema) -> Schema:
    shared = record(kind={"type": "string"}, more={"anyOf": [{"$ref": "#/$defs/Shared"}, NULL]})
    return {**record(value=schema), "$defs": {"Shared": shared}}


NULL: Schema = {"type": "null"}


@given(schema=schemas(), seed=st.integers(0, 2**32), wrong=st.booleans())
@settings(deadline=None, max_examples=150)
def test_every_document_matches_its_schema(schema: Schema, seed: int, wrong: bool) -> None:
    root = _root(schema)
    rng = random.Random(seed)
    document = Writer(root, rng, Prose(rng, "Go channels"), wrong=wrong).write()
    jsonschema.validate(document, root)


def test_random_schemas_are_followed_over_http() -> None:
    async def ask(found: list[Schema]) -> None:
        async with simulator() as clients:
            for number, schema in enumerate(found):
                root = _root(schema)
                document = await clients.document(f"Concept: {number}", **wants("some", root))
                jsonschema.validate(document, root)

    @given(found=st.lists(schemas(), min_size=1, max_size=8))
    @settings(deadline=None, max_examples=5)
    def check(found: list[Schema]) -> None:
        asyncio.run(ask(found))

    check()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("concept", ["Go channels", "递归与动态规划", '{braces} & "quotes"'])
@real_time
async def test_answers_to_known_steps_are_plausible(step: str, concept: str) -> None:
    async with simulator() as clients:
        document = await clients.document(f"Write.\nConcept: {concept}\nThanks.", **wants(step))
    jsonschema.validate(document, STEPS[step])
    assert concept in json.loads(json.dumps(str(document))) or concept in _texts(document)
    match step:
        case "tutorial":
            assert 2_000 <= len(json.dumps(document, ensure_ascii=False).encode()) <= 9_000
            titles = [section["title"] for section in document["sections"]]
            assert len(set(titles)) == len(titles)
        case "resources":
            urls = [resource["url"] for resource in document["resources"]]
            assert len(set(urls)) == len(urls) > 1
            assert all(url.startswith("https://") and url.isascii() for url in urls)
        case _:
            for question in document["questions"]:
                assert len(set(question["options"])) == len(question["options"]) >= 2
                assert 0 <= question["answer"] < len(question["options"])
                assert question["explanation"]


def _texts(document: Any) -> str:
    if isinstance(document, dict):
        return " ".join(map(_texts, document.values()))
    if isinstance(document, list):
        return " ".join(map(_texts, document))
    return str(document)


def test_an_answer_can_refer_to_several_options_or_name_one() -> None:
    question = record(
        options=many({"type": "string"}, minItems=3),
        answers=many({"type": "integer"}, minItems=1),
        correct_answer={"type": "string"},
    )
    rng = random.Random(1)
    written = Writer(question, rng, Prose(rng, "Go")).write()
    assert isinstance(written, dict)
    assert list(written) == ["options", "answers", "correct_answer"]
    assert set(written["answers"]) <= set(range(len(written["options"])))
    assert len(set(written["answers"])) == len(written["answers"]) >= 1
    assert written["correct_answer"] in written["options"]


@real_time
async def test_text_about_a_chinese_concept_is_chinese() -> None:
    async with simulator() as clients:
        text = content(await clients.ask("Concept: 动态规划"))
    assert "理解" in text
    assert "easiest" not in text


@real_time
async def test_plain_text_is_markdown_of_the_size_of_a_tutorial() -> None:
    async with simulator() as clients:
        texts = [content(await clients.ask(f"Concept: Topic {n}")) for n in range(20)]
    assert all(text.startswith("# ") and "\n## " in text for text in texts)
    assert all(2_000 <= len(text.encode()) <= 8_000 for text in texts)
    assert len({len(text) for text in texts}) > 10


@real_time
async def test_an_answer_is_cut_at_the_token_limit_of_the_request() -> None:
    async with simulator(speed=FAST) as clients:
        answer = await clients.ask(max_completion_tokens=10)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 10
        assert len(content(answer)) == 40
        assert clients.server.figures().unusable == 1
