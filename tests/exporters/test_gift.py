"""The exporter `gift`, read by a parser of another project."""

from html import escape
from typing import Any

import pytest
from paceline import PluginError, UsageError
from paceline.testing.virtual_time import virtual_time
from paceline_adapters.exporters.material import block_html
from ua_exam.gift_parser import parse_gift_content

from tests.support.exported_runs import (
    HOSTILE,
    IDS,
    QUESTIONS,
    exported,
    exporter,
    file_of,
    question,
    roadmap,
)


async def gift(*questions: Any, **of: Any) -> str:
    run = await exported({"quiz": {"questions": questions or QUESTIONS}}, **of)
    return (await file_of(exporter("gift"), run)).decode()


def read(text: str) -> list[dict[str, Any]]:
    """The questions, as the parser of the package ua-exam reads them."""
    found: list[dict[str, Any]] = parse_gift_content(text)
    return found


TAME = roadmap(title="Title", name="Name of / all")


@virtual_time
async def test_another_parser_reads_every_question_with_its_choices_and_right_answers() -> None:
    found = read(await gift(of=TAME))
    assert len(found) == len(QUESTIONS) * len(IDS)
    for one, asked in zip(found, list(QUESTIONS) * len(IDS), strict=True):
        assert one["type"] == "multiple_choice"
        right = asked["answer"] if isinstance(asked["answer"], list) else [asked["answer"]]
        rights = [place for place, option in enumerate(one["options"]) if option["is_correct"]]
        assert rights == right
        assert len(one["options"]) == len(asked["options"])


@virtual_time
async def test_characters_with_a_meaning_in_gift_survive() -> None:
    [one, *_] = read(await gift(question(HOSTILE, options=[HOSTILE, "no"]), of=TAME))
    shown = " ".join(HOSTILE.replace("\x1f", "").replace("\x0b", "").split())
    # The parser decodes the HTML; the control characters are removed.
    assert one["text"] == f"[html]<p>{shown.replace('&amp;', '&')}</p>"
    assert one["options"][0]["text"] == shown.replace("&amp;", "&")


@virtual_time
async def test_code_keeps_its_lines_and_no_question_has_a_blank_line() -> None:
    text = await gift(question("Why?\n\n```\na = 1\n\nb: 2\n```"), of=TAME)
    assert "<pre><code>a \\= 1<br><br>b\\: 2</code></pre>" in text
    blocks = text.strip().split("\n\n")
    assert len(blocks) == 1 + len(IDS), "the modules have the same name, and so one category"
    assert all(block.startswith(("::", "$CATEGORY: ")) for block in blocks)


@virtual_time
async def test_each_module_is_a_category_and_a_slash_in_its_name_is_no_level() -> None:
    text = await gift(question("Why?"), of=roadmap(title="T\\u", name="a/b\nc"))
    assert "$CATEGORY: $course$/top/T\\\\u/a//b c/a//b c\n" in text


@virtual_time
async def test_several_right_choices_share_the_grade_and_wrong_ones_take_it() -> None:
    text = await gift(question("Which?", options=["a", "b", "c", "d", "e"], right=[0, 2, 4]))
    assert [line for line in text.splitlines() if line.startswith("\t~")][:5] == [
        "\t~%33.33333%a",
        "\t~%-50%b",
        "\t~%33.33333%c",
        "\t~%-50%d",
        "\t~%33.33333%e",
    ]


@virtual_time
async def test_a_choice_is_not_taken_for_a_share_of_the_grade_or_a_format() -> None:
    text = await gift(question("Which?", options=["%100%wrong", "[plain] x"], right=1))
    assert "\t~&\\#37;100%wrong\n\t=&\\#91;plain] x\n" in text


@virtual_time
async def test_a_long_name_fits_into_moodle() -> None:
    text = await gift(question("Why?"), of=roadmap(title="t" * 500, name="n" * 500))
    names = [line[2:].partition("::")[0] for line in text.splitlines() if line.startswith("::")]
    assert names
    assert max(map(len, names)) <= 255
    assert "t" * 255 in text
    assert "t" * 256 not in text


@virtual_time
async def test_a_run_without_questions_names_its_steps() -> None:
    run = await exported({"cards": {"sides": [["a", "b"]]}})
    with pytest.raises(UsageError, match="has no questions: its content is from the steps cards"):
        await file_of(exporter("gift"), run)
    empty = await exported({}, concepts=())
    with pytest.raises(UsageError, match="has no content yet"):
        await file_of(exporter("gift"), empty)


@virtual_time
async def test_a_step_that_fails_to_return_its_cards_is_named_with_the_concept() -> None:
    run = await exported({"cards": {"sides": [["front", " "]]}})
    with pytest.raises(PluginError, match=r"step cards: cards\(\) failed for concept '../../etc"):
        await file_of(exporter("gift"), run)


@virtual_time
async def test_a_step_without_a_single_card_is_as_one_without_cards() -> None:
    run = await exported({"cards": {"sides": []}})
    with pytest.raises(UsageError, match=r"has no questions or cards: .* the steps cards"):
        await file_of(exporter("anki"), run)


def test_a_text_that_renders_to_nothing_is_kept() -> None:
    assert block_html("[a]: https://example.org") == f"<p>{escape('[a]: https://example.org')}</p>"
