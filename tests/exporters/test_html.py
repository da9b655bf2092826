"""The exporter `html`: what a site holds. tests/page/test_export_site.py opens one in a browser."""

import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

from paceline.testing.virtual_time import virtual_time

from tests.support.exported_runs import (
    HOSTILE,
    IDS,
    QUESTIONS,
    exported,
    exporter,
    folder_of,
    question,
    roadmap,
)


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> list[str]:
        """Where the links of the page lead."""
        return [unquote(a["href"] or "") for tag, a in self.elements if tag == "a" and "href" in a]


async def site() -> Mapping[str, str]:
    run = await exported({"quiz": {"questions": QUESTIONS}})
    return await folder_of(exporter("html"), run)


@virtual_time
async def test_the_index_leads_to_every_page_and_every_page_back() -> None:
    files = await site()
    index = Page(files["index.html"])
    pages = [name for name in files if name != "index.html"]
    assert len(pages) == len(IDS)
    assert index.links() == ["#content", *pages]
    for place, name in enumerate(pages):
        links = Page(files[name]).links()
        assert "index.html" in links
        neighbours = [*pages[max(place - 1, 0) : place], *pages[place + 1 : place + 2]]
        assert links[2:] == neighbours


@virtual_time
async def test_nothing_of_a_page_runs_or_is_loaded() -> None:
    for text in (await site()).values():
        page = Page(text)
        assert HOSTILE.replace("\x1f", "").replace("\x0b", "").split()[0] in page.text
        tags = {tag for tag, _ in page.elements}
        assert not tags & {"script", "img", "link", "iframe", "object", "form", "svg"}
        assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
        assert not [link for link in page.links() if ":" in link]
        policy = [a["content"] for tag, a in page.elements if "http-equiv" in a]
        assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
        assert not re.search("url\\(|@import", text.partition("</style>")[0])


@virtual_time
async def test_the_answers_of_a_quiz_are_folded() -> None:
    run = await exported({"quiz": {"questions": [question("Why?")]}})
    text = (await folder_of(exporter("html"), run))["1-etc-passwd.html"]
    shown, _, folded = text.partition("<details>")
    assert "Why?" in shown
    assert "Because: Why?" not in shown
    assert "<summary>Answers</summary>" in folded
    assert "Because: Why?" in folded.partition("</details>")[0]


@virtual_time
async def test_what_is_missing_is_marked_on_the_index_and_on_its_page() -> None:
    run = await exported({"tutorial": {"note": "x"}}, concepts=IDS[:1])
    files = await folder_of(exporter("html"), run)
    assert list(files) == ["1-etc-passwd.html", "index.html"]
    index = Page(files["index.html"])
    assert "1 of 5 concepts complete, 4 not generated" in index.text
    assert index.text.count("— not generated yet") == 4


@virtual_time
async def test_a_reason_of_a_model_is_text() -> None:
    run = await exported({"tutorial": {"note": "x"}}, concepts=IDS[:1])
    failed = replace(run.concepts[1], remark="failed: <b>no</b>")
    run.concepts = [run.concepts[0], failed]
    files = await folder_of(exporter("html"), run)
    assert "— failed: &lt;b&gt;no&lt;/b&gt;" in files["index.html"]


@virtual_time
async def test_the_language_is_that_of_the_options() -> None:
    run = await exported({"quiz": {"questions": [question("Why?")]}}, of=roadmap(title="T"))
    own = exporter("html", exporters={"html": {"language": "zh-Hans"}})
    for text in (await folder_of(own, run)).values():
        assert '<html lang="zh-Hans">' in text
