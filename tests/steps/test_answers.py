"""Valid answers, and the errors of invalid ones."""

import json
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline.errors import UnusableAnswer
from paceline.steps.answers import MAX_CHARS, parse_answer
from paceline.steps.json_text import objects
from paceline.steps.quiz import QuizAnswer
from paceline.steps.resources import ResourcesAnswer
from paceline.steps.tutorial import TutorialAnswer
from pydantic import BaseModel

from tests.support.model_answers import ANSWERS
from tests.support.shipped_steps import STEPS, step

MADE = {name: step(name) for name in STEPS}


def parsed(name: str, text: str, *, ids: Collection[str] = ()) -> BaseModel:
    return parse_answer(MADE[name].answer, text, ids=ids)


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
        parsed(name, text)
    return caught.value.problem


@given(st.sampled_from(STEPS).flatmap(lambda name: st.tuples(st.just(name), ANSWERS[name])))
def test_every_valid_answer_is_parsed_unchanged(drawn: tuple[str, dict[str, Any]]) -> None:
    name, answer = drawn
    made = parsed(name, json.dumps(answer))
    assert made.model_dump() == answer
    assert parsed(name, made.model_dump_json()) == made


@given(ANSWERS["tutorial"], st.sampled_from(["```json\n{}\n```", "Sure:\n{}\nDone.", "{}\n```"]))
def test_wrapping_changes_nothing(answer: dict[str, Any], wrapping: str) -> None:
    assert next(objects(wrapping.replace("{}", json.dumps(answer)))) == answer


@given(st.sampled_from(STEPS), st.text())
def test_garbage_is_an_unusable_answer(name: str, text: str) -> None:
    with pytest.raises(UnusableAnswer):
        parsed(name, text)


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
        made = parsed(name, json.dumps(value))
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
        parsed("quiz", damaged)
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
        parsed("quiz", text)
    # The stored excerpt contains only characters that a database can store.
    assert "\x00" not in caught.value.answer.encode().decode()


def test_an_oversized_answer_is_not_parsed() -> None:
    text = json.dumps({"questions": [question(explanation="x" * MAX_CHARS)]})
    assert "at most" in problem("quiz", text)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_answer_without_text_is_reported_as_empty(text: str) -> None:
    with pytest.raises(UnusableAnswer) as caught:
        parsed("quiz", text)
    assert caught.value.kind == "empty"


def test_every_problem_is_named_with_its_path() -> None:
    answer = {"questions": [question(), question(options=["a", "a"], answer=[], difficulty="odd")]}
    said = problem("quiz", answer)
    assert "questions[1].options must differ from each other, but 'a' occurs twice" in said
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
def test_fences_and_braces_inside_the_json_are_no_wrapping(text: str) -> None:
    for wrapped in (text, f"```json\n{text}\n```", f"Use {{braces}} like: {text} and so on"):
        assert next(objects(wrapped)) == json.loads(text)


def test_a_part_of_a_broken_answer_is_not_taken_for_the_answer() -> None:
    broken = '```json\n{"questions": [{"question": "a"}, {"question": \n```'
    assert "Invalid JSON" in problem("quiz", broken)


@pytest.mark.parametrize(("given_answer", "indexes"), [(2, [2]), ([2], [2]), ([0, 2], [0, 2])])
def test_one_index_or_several_are_parsed_as_a_list(
    given_answer: object, indexes: list[int]
) -> None:
    made = parsed("quiz", json.dumps({"questions": [question(answer=given_answer)]}))
    assert isinstance(made, QuizAnswer)
    assert made.questions[0].answer == indexes


@pytest.mark.parametrize(
    "given_answer", [4, -1, [], None, "this", True, [True], 1.5, [[0]], [0, 3], "x"]
)
def test_indexes_out_of_range_are_named(given_answer: object) -> None:
    said = problem("quiz", {"questions": [question(answer=given_answer)]})
    assert said.startswith("questions[0].answer")


def test_an_index_beyond_the_options_is_told_what_is_allowed() -> None:
    said = problem("quiz", {"questions": [question(answer=4)]})
    assert "must hold positions from 0 to 2, because there are 3 options" in said


@given(ANSWERS["quiz"], st.data())
def test_the_questions_of_a_quiz_are_readable_without_a_hint_at_the_answers(
    answer: dict[str, Any], data: st.DataObject
) -> None:
    quiz = QuizAnswer.model_validate(answer)
    others = [
        one.model_copy(
            update={
                "answer": [data.draw(st.integers(0, len(one.options) - 1))],
                "explanation": "Another one.",
            }
        )
        for one in quiz.questions
    ]
    assert MADE["quiz"].readable(quiz) == MADE["quiz"].readable(QuizAnswer(questions=others))


def test_the_solutions_of_a_quiz_have_all_right_options_and_the_explanation() -> None:
    quiz = QuizAnswer.model_validate({"questions": [question(answer=[2, 0]), question(answer=1)]})
    assert MADE["quiz"].solutions(quiz) == (
        "### Question 1\n\n- (A) this\n- (C) neither\n\n*Why:* This is it.\n\n"
        "### Question 2\n\n- (B) that\n\n*Why:* This is it."
    )


def test_options_that_are_code_keep_their_lines() -> None:
    options = ["if x:\n    y()", "if x: y()", "If x: y()"]
    made = parsed("quiz", json.dumps({"questions": [question(options=options)]}))
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
    made = parsed("quiz", json.dumps({"questions": [question(hint="h")], "note": 1}))
    assert "hint" not in made.model_dump_json()


def test_a_null_character_is_replaced_by_one_that_databases_can_store() -> None:
    made = parsed("quiz", json.dumps({"questions": [question(explanation="ends with \x00")]}))
    assert isinstance(made, QuizAnswer)
    assert made.questions[0].explanation == "ends with ␀"


@pytest.mark.parametrize("name", STEPS)
def test_every_field_is_required_and_has_no_default(name: str) -> None:
    schema = MADE[name].answer.model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        assert set(part["required"]) == set(part["properties"])
    assert '"default"' not in json.dumps(schema)
    assert '"format"' not in json.dumps(schema)


DRAFT = {"questions": [question(question="A draft?")]}
FINAL = {"questions": [question(question="The answer?")]}


@pytest.mark.parametrize(
    "text",
    [
        "Thoughts: DRAFT too short.\n</think>\n\nFINAL",
        "<think>DRAFT no.</think>FINAL",
        "<thinking>DRAFT no.</thinking>FINAL",
        "<reasoning>DRAFT</reasoning>\n```json\nFINAL\n```",
        "<seed:think>DRAFT</seed:think>FINAL",
        "[THINK]DRAFT[/THINK]FINAL",
        "<|channel|>analysis<|message|>DRAFT<|end|><|channel|>final<|message|>FINAL",
        "\u25c1think\u25b7DRAFT\u25c1/think\u25b7FINAL",
        "<|START_THINKING|>DRAFT<|END_THINKING|>FINAL",
        "<think>DRAFT</think> again <think>DRAFT</think>FINAL",
        "The format\n```json\nDRAFT\n```\nand the real one:\n```json\nFINAL\n```",
        'They want {"questions": []} I think.\n</think>\nFINAL',
        'They want {"questions": [{"quest\n</think>\nFINAL',
        "First DRAFT then FINAL",
    ],
)
def test_the_last_object_after_the_thoughts_is_the_answer(text: str) -> None:
    text = text.replace("DRAFT", json.dumps(DRAFT)).replace("FINAL", json.dumps(FINAL))
    assert parsed("quiz", text).model_dump() == FINAL


@pytest.mark.parametrize(
    "text",
    ["<think>DRAFT and no end", 'DRAFT\n</think>\n{"questions": [{"question": ', "DRAFT</think>"],
)
def test_a_draft_in_thoughts_is_never_the_answer(text: str) -> None:
    with pytest.raises(UnusableAnswer):
        parsed("quiz", text.replace("DRAFT", json.dumps(DRAFT)))


def test_a_marker_inside_the_answer_is_a_part_of_it() -> None:
    answer = {"questions": [question(explanation="Models write </think> at the end.")]}
    assert parsed("quiz", f"Sure: {json.dumps(answer)} !").model_dump() == answer


RESOURCE = {"title": "T", "url": "https://a.example/", "type": "book", "why": "W"}


def a_quiz(answer: object, options: list[str] | None = None, **more: object) -> dict[str, Any]:
    return {
        "questions": [question(answer=answer, options=options or ["this", "that", "no"], **more)]
    }


@pytest.mark.parametrize(
    ("name", "text", "place", "value"),
    [
        (
            "quiz",
            json.dumps(a_quiz(1)).replace("This is", "This\nis"),
            "explanation",
            "This\nis it.",
        ),
        ("quiz", json.dumps(a_quiz(1)).replace("This", r"\(x\)"), "explanation", r"\(x\) is it."),
        ("quiz", json.dumps(a_quiz(1))[:-1] + ",}", "answer", [1]),
        ("quiz", json.dumps(json.dumps(a_quiz(1))), "answer", [1]),
        ("quiz", json.dumps({"questions": json.dumps(a_quiz(1)["questions"])}), "answer", [1]),
        ("quiz", json.dumps(a_quiz(1) | {"score": float("nan")}), "answer", [1]),
        ("quiz", json.dumps(a_quiz(1, difficulty="Easy")), "difficulty", "easy"),
        ("quiz", json.dumps(a_quiz(["1"])), "answer", [1]),
        ("quiz", json.dumps(a_quiz("2")), "answer", [2]),
        ("quiz", json.dumps(a_quiz(["B"])), "answer", [1]),
        ("quiz", json.dumps(a_quiz("c)")), "answer", [2]),
        ("quiz", json.dumps(a_quiz(["B"], ["a", "b", "c"])), "answer", [1]),
        ("quiz", json.dumps(a_quiz([1, 1])), "answer", [1]),
        ("quiz", json.dumps(a_quiz([3])), "answer", [2]),
    ],
)
def test_slips_that_leave_no_doubt_are_mended(
    name: str, text: str, place: str, value: object
) -> None:
    assert parsed(name, text).model_dump()["questions"][0][place] == value


def test_answers_counted_from_one_are_shifted_in_the_whole_quiz() -> None:
    quiz = {"questions": [question(answer=[3]), question(answer=[1], question="And?")]}
    made = parsed("quiz", json.dumps(quiz))
    assert isinstance(made, QuizAnswer)
    assert [one.answer for one in made.questions] == [[2], [0]]


@pytest.mark.parametrize(
    "quiz",
    [
        {"questions": [question(answer=[3]), question(answer=[0], question="And?")]},
        a_quiz(["B"], ["b", "a", "c"]),
        a_quiz("D"),
    ],
)
def test_slips_with_two_readings_are_repaired_by_the_model(quiz: dict[str, object]) -> None:
    assert problem("quiz", quiz).startswith("questions[0].answer")


def test_an_address_without_a_scheme_gets_one_if_it_begins_with_www() -> None:
    answer = {"resources": [{**RESOURCE, "url": "www.example.org/b"}]}
    made = parsed("resources", json.dumps(answer))
    assert isinstance(made, ResourcesAnswer)
    assert made.resources[0].url == "https://www.example.org/b"


def test_one_bad_resource_of_several_is_left_out_and_the_last_one_is_not() -> None:
    bad = {**RESOURCE, "url": "see the library"}
    made = parsed("resources", json.dumps({"resources": [RESOURCE, bad]}))
    assert isinstance(made, ResourcesAnswer)
    assert [one.url for one in made.resources] == [RESOURCE["url"]]
    assert "resources[0].url" in problem("resources", {"resources": [bad]})


def test_what_is_there_twice_is_kept_once() -> None:
    made = parsed("resources", json.dumps({"resources": [RESOURCE, RESOURCE]}))
    assert isinstance(made, ResourcesAnswer)
    assert len(made.resources) == 1
    twice = [question(), question(), question(question="Another?")]
    quiz = parsed("quiz", json.dumps({"questions": twice}))
    assert isinstance(quiz, QuizAnswer)
    assert len(quiz.questions) == 2


def tutorial(**changes: object) -> dict[str, object]:
    section = {"title": "One", "content": "Text.", "kind": "explanation"}
    return {
        "title": "T",
        "summary": "S",
        "sections": [section],
        "exercises": ["Do it."],
        "minutes": 10,
        **changes,
    }


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        (
            "tutorial",
            tutorial(
                sections=[
                    {"title": "r-python", "content": f"Text {n}.", "kind": "example"}
                    for n in range(11)
                ]
            ),
        ),
        (
            "tutorial",
            tutorial(
                sections=[
                    {"title": "A", "content": "The same line again.\n" * 50, "kind": "example"}
                ]
            ),
        ),
        (
            "tutorial",
            tutorial(sections=[{"title": "A", "content": "and so on, " * 400, "kind": "example"}]),
        ),
        ("tutorial", tutorial(exercises=["Do this."] * 5)),
        ("tutorial", tutorial(exercises=["1.1", "2.0", "3.0"])),
        (
            "tutorial",
            tutorial(
                sections=[{"title": "Python 101", "content": "python 101.", "kind": "summary"}]
            ),
        ),
        (
            "tutorial",
            tutorial(
                sections=[
                    {"title": title, "content": "Python 101", "kind": "summary"}
                    for title in ("Basics", "Values")
                ]
            ),
        ),
        ("resources", {"resources": [{**RESOURCE, "title": f"T{n}"} for n in range(9)]}),
        ("quiz", {"questions": [question()] * 6}),
    ],
)
def test_an_answer_that_repeats_one_thing_is_junk(name: str, answer: object) -> None:
    assert "must" in problem(name, answer)


def test_an_answer_that_only_repeats_ids_of_the_prompt_is_junk() -> None:
    echo = tutorial(
        title="c-lists",
        summary="r-python",
        sections=[{"title": "c-lists", "content": "r-python", "kind": "summary"}],
    )
    with pytest.raises(UnusableAnswer, match="'c-lists' from the prompt"):
        parsed("tutorial", json.dumps(echo), ids={"c-lists", "r-python"})
    parsed("tutorial", json.dumps(tutorial()), ids={"T", "r-python"})


def test_a_resource_whose_reason_only_repeats_its_title_is_dropped() -> None:
    empty = {**RESOURCE, "title": "Learn Python", "why": "Learn Python! Learn Python!"}
    other = {**RESOURCE, "url": "https://b.example/", "why": "It is short."}
    made = parsed("resources", json.dumps({"resources": [empty, other]}))
    assert isinstance(made, ResourcesAnswer)
    assert [one.url for one in made.resources] == ["https://b.example/"]


def test_a_section_that_only_says_words_of_its_title_is_refused() -> None:
    answer = tutorial()
    answer["sections"] = [{"title": "Learning Python", "content": "Python", "kind": "summary"}]
    assert "must say more in the section 'Learning Python' than its title" in problem(
        "tutorial", answer
    )


def test_an_explanation_without_a_word_is_refused() -> None:
    answer = {"questions": [question(explanation="}, { 2, ")]}
    assert "must be a text, not only numbers or marks" in problem("quiz", answer)
