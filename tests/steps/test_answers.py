"""Valid answers, and the errors of invalid ones."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline.errors import UnusableAnswer
from paceline.steps.answers import MAX_CHARS, bare_json, parse_answer
from paceline.steps.quiz import QuizAnswer
from paceline.steps.resources import ResourcesAnswer
from paceline.steps.tutorial import TutorialAnswer

from tests.support.model_answers import ANSWERS
from tests.support.shipped_steps import STEPS, step

MADE = {name: step(name) for name in STEPS}


def question(**changes: object) -> dict[str, object]:
    return {
        "question": "Which one?",
        "options": ["this", "that", "neither"],
        "answer": [0],
        "explanation": "This is it.",
        "difficulty": "easy",
        **changes,
    }


def problem(name: str, answer: object) -> str:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    with pytest.raises(UnusableAnswer) as caught:
        parse_answer(MADE[name], text)
    return caught.value.problem


@given(st.sampled_from(STEPS).flatmap(lambda name: st.tuples(st.just(name), ANSWERS[name])))
def test_every_valid_answer_is_parsed_unchanged(drawn: tuple[str, dict[str, Any]]) -> None:
    name, answer = drawn
    made = parse_answer(MADE[name], json.dumps(answer))
    assert made.model_dump() == answer
    assert parse_answer(MADE[name], made.model_dump_json()) == made


@given(ANSWERS["tutorial"], st.sampled_from(["```json\n{}\n```", "Sure:\n{}\nDone.", "{}\n```"]))
def test_text_around_the_json_changes_nothing(answer: dict[str, Any], wrapping: str) -> None:
    text = json.dumps(answer)
    assert bare_json(wrapping.replace("{}", text)) == text


@given(st.sampled_from(STEPS), st.text())
def test_garbage_is_an_unusable_answer(name: str, text: str) -> None:
    with pytest.raises(UnusableAnswer):
        parse_answer(MADE[name], text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["questions", "options", "answer", "sections", "title", "url", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.sampled_from(STEPS), json_values)
def test_any_json_is_parsed_or_unusable(name: str, value: object) -> None:
    try:
        made = parse_answer(MADE[name], json.dumps(value))
    except UnusableAnswer as error:
        assert error.problem
    else:
        assert isinstance(made, TutorialAnswer | ResourcesAnswer | QuizAnswer)


@given(ANSWERS["quiz"], st.data())
def test_a_damaged_answer_is_parsed_or_unusable(
    answer: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(answer)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    damaged = text[:start] + data.draw(st.text(max_size=5)) + text[end:]
    try:
        parse_answer(MADE["quiz"], damaged)
    except UnusableAnswer as error:
        assert len(error.problem) < 10_000


@pytest.mark.parametrize(
    "text",
    [
        "{" * 100_000,
        '{"questions":' + "[" * 100_000,
        "Look: " + '{"a":' * 100_000,
        '{"questions": 1' + "0" * 10_000 + "}",
        '{"questions": ["\ud800"]}',
        '{"questions": ["\\ud800"]}',
        "\x00",
        "[1]",
        "null",
        "{}",
    ],
)
def test_hostile_texts_are_unusable_answers(text: str) -> None:
    with pytest.raises(UnusableAnswer) as caught:
        parse_answer(MADE["quiz"], text)
    # The stored excerpt contains only characters that a database can store.
    assert "\x00" not in caught.value.answer.encode().decode()


def test_an_oversized_answer_is_not_parsed() -> None:
    text = json.dumps({"questions": [question(explanation="x" * MAX_CHARS)]})
    assert "at most" in problem("quiz", text)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_answer_without_text_is_reported_as_empty(text: str) -> None:
    with pytest.raises(UnusableAnswer) as caught:
        parse_answer(MADE["quiz"], text)
    assert caught.value.kind == "empty"


def test_every_problem_is_named_with_its_path() -> None:
    answer = {"questions": [question(), question(options=["a", "a"], answer=[], difficulty="odd")]}
    said = problem("quiz", answer)
    assert "questions[1].options must differ from each other" in said
    assert "questions[1].answer" in said
    assert "questions[1].difficulty must be 'easy', 'medium' or 'hard', got 'odd'" in said
    assert "questions[0]" not in said


def test_a_long_list_of_problems_is_shortened() -> None:
    said = problem("quiz", {"questions": [{}] * 30})
    assert said.endswith("and 130 more")


def test_broken_json_is_reported_with_its_position() -> None:
    assert "line 1 column 26" in problem("quiz", '{"questions": [{"quest": }]}')


@pytest.mark.parametrize(
    "text",
    [
        '{"title": "Fences", "content": "```python\\nprint({1: 2})\\n```"}',
        '{"a": {"b": "}"}}',
    ],
)
def test_fences_and_braces_inside_the_json_are_content(text: str) -> None:
    assert bare_json(text) == text
    assert bare_json(f"```json\n{text}\n```") == text
    assert bare_json(f"Use {{braces}} like this: {text} and so on") == text


def test_a_part_of_a_broken_answer_is_not_taken_for_the_answer() -> None:
    broken = '```json\n{"questions": [{"question": "a"}, {"question": \n```'
    assert "Invalid JSON" in problem("quiz", broken)


@pytest.mark.parametrize(("given_answer", "indexes"), [(2, [2]), ([2], [2]), ([0, 2], [0, 2])])
def test_one_index_or_several_are_parsed_as_a_list(
    given_answer: object, indexes: list[int]
) -> None:
    made = parse_answer(MADE["quiz"], json.dumps({"questions": [question(answer=given_answer)]}))
    assert isinstance(made, QuizAnswer)
    assert made.questions[0].answer == indexes


@pytest.mark.parametrize(
    "given_answer", [3, -1, [0, 0], [], None, "0", "this", True, [True], 1.5, [[0]], [0, 3]]
)
def test_indexes_out_of_range_are_named(given_answer: object) -> None:
    said = problem("quiz", {"questions": [question(answer=given_answer)]})
    assert said.startswith("questions[0].answer")


def test_an_index_out_of_range_is_reported_with_the_allowed_range() -> None:
    said = problem("quiz", {"questions": [question(answer=3)]})
    assert "must hold positions from 0 to 2, because there are 3 options" in said


def test_options_that_are_code_keep_their_lines() -> None:
    options = ["if x:\n    y()", "if x: y()", "If x: y()"]
    made = parse_answer(MADE["quiz"], json.dumps({"questions": [question(options=options)]}))
    assert isinstance(made, QuizAnswer)
    assert made.questions[0].options == options


@pytest.mark.parametrize(
    "url",
    [
        "example.org/page",
        "ftp://example.org",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "http://[broken",
        "https://example.org:port/",
        "https://exa mple.org",
        "https://example.org/a\u202eb",
        "",
    ],
)
def test_an_invalid_address_is_rejected(url: str) -> None:
    resource = {"title": "T", "url": url, "type": "article", "why": "W"}
    said = problem("resources", {"resources": [resource]})
    assert said.startswith("resources[0].url must be a complete URL")


@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\u3000"])
def test_blank_texts_are_rejected(blank: str) -> None:
    said = problem("quiz", {"questions": [question(question=blank, options=["a", blank])]})
    assert "questions[0].question must not be blank" in said
    assert "questions[0].options[1] must not be blank" in said


def test_extra_fields_of_an_answer_are_dropped() -> None:
    made = parse_answer(MADE["quiz"], json.dumps({"questions": [question(hint="h")], "note": 1}))
    assert "hint" not in made.model_dump_json()


def test_a_null_character_is_replaced_by_one_that_databases_can_store() -> None:
    made = parse_answer(
        MADE["quiz"], json.dumps({"questions": [question(explanation="ends with \x00")]})
    )
    assert isinstance(made, QuizAnswer)
    assert made.questions[0].explanation == "ends with ␀"


@pytest.mark.parametrize("name", STEPS)
def test_every_field_is_required_and_has_no_default(name: str) -> None:
    schema = MADE[name].answer.model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        assert set(part["required"]) == set(part["properties"])
    assert '"default"' not in json.dumps(schema)
    assert '"format"' not in json.dumps(schema)
