"""Model output as HTML: hostile text is harmless."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline_adapters.markup import to_html

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](javascript:alert(1))",
    "![tracks](https://evil.example/pixel.png)",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "<a href='javascript:alert(1)'>x</a>",
    '[x](https://a.example/"onmouseover="alert(1))',
    "<svg/onload=alert(1)>",
    "<style>*{background:url(https://evil.example)}</style>",
    "<iframe src=https://evil.example></iframe>",
    "<math><mtext><table><mglyph><style><!--</style>"
    "<img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "```html\n</code></pre><script>alert(1)</script>\n```",
    "<form action=https://evil.example><input></form>",
    "<base href=https://evil.example>",
    "| a |\n|---|\n| <script>alert(1)</script> |",
]

ALLOWED = {
    *("a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr"),
    *("li", "ol", "p", "pre", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}


class Inspector(HTMLParser):
    """Reads HTML as a browser does, and rejects active content."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert name in {"href", "title", "rel", "start", "class"}, name
            if name == "href":
                assert re.match(r"(https?:|mailto:|[^:]*$|[/#?])", value or ""), value


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_is_harmless(text: str) -> None:
    Inspector().feed(to_html(text))


@given(st.lists(st.sampled_from([*HOSTILE, "\n", "`", "*", "[", "](", "<", "&#", ">", "\\"])))
def test_mixtures_of_hostile_markdown_are_harmless(parts: list[str]) -> None:
    Inspector().feed(to_html("".join(parts)))


def test_ordinary_markdown_is_rendered() -> None:
    html = to_html("## Title\n\nSome *text* with `code`.\n\n- one\n- [two](https://example.org)\n")
    assert "<h2>Title</h2>" in html
    assert "<em>text</em>" in html
    assert "<code>code</code>" in html
    assert '<a href="https://example.org" rel="noopener noreferrer nofollow">two</a>' in html
