"""Hypothesis strategies for answers of a model, valid and damaged."""

from typing import Any

from hypothesis import strategies as st
from paceline.steps.junk import adds_words

#: Any text that JSON can carry and a database can keep, with a letter in it.
words = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=40
).map(lambda text: text if any(map(str.isalpha, text)) else f"w{text}")
lines = words.map(lambda text: " ".join(text.split()))

tutorials: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "title": lines,
        "summary": words,
        "sections": st.lists(
            st.fixed_dictionaries(
                {
                    "title": lines,
                    "content": words,
                    "kind": st.sampled_from(
                        ["introduction", "explanation", "example", "pitfalls", "summary"]
                    ),
                }
            ).filter(lambda one: adds_words(one["content"], one["title"])),
            min_size=1,
            max_size=4,
            unique_by=(lambda one: one["title"], lambda one: one["content"]),
        ),
        "exercises": st.lists(words, min_size=1, max_size=3, unique=True),
        "minutes": st.integers(1, 600),
    }
)

hosts = st.from_regex(r"[a-z]{1,8}(\.[a-z]{2,5}){1,2}(:[1-9][0-9]{1,3})?", fullmatch=True)
paths = st.from_regex(r"(/[a-zA-Z0-9._~%+-]{1,6}){0,3}/?(\?[a-z]=[a-z0-9]{1,3})?", fullmatch=True)
urls = st.builds(
    lambda scheme, host, path: f"{scheme}://{host}{path}",
    st.sampled_from(["http", "https"]),
    hosts,
    paths,
)

resources: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "resources": st.lists(
            st.fixed_dictionaries(
                {
                    "title": lines,
                    "url": urls,
                    "type": st.sampled_from(["documentation", "article", "video", "other"]),
                    "why": words,
                }
            ).filter(lambda one: adds_words(one["why"], one["title"])),
            min_size=1,
            max_size=4,
            unique_by=lambda one: one["url"],
        )
    }
)


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    """A question whose answer points at its options."""
    options = draw(st.lists(words, min_size=2, max_size=10, unique=True))
    places = st.integers(0, len(options) - 1)
    return {
        "question": draw(words),
        "options": options,
        "answer": draw(st.lists(places, min_size=1, max_size=len(options), unique=True)),
        "explanation": draw(words),
        "difficulty": draw(st.sampled_from(["easy", "medium", "hard"])),
    }


quizzes: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "questions": st.lists(
            questions(), min_size=1, max_size=4, unique_by=lambda one: one["question"]
        )
    }
)

ANSWERS = {"tutorial": tutorials, "resources": resources, "quiz": quizzes}
