"""Model output as HTML. The output is untrusted, so only an allow-list of markup remains."""

import nh3
from markdown_it import MarkdownIt

#: Raw HTML in the Markdown is escaped; the rendered HTML is cleaned once more.
_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
_markdown.disable("image")

_TAGS = {
    *("a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr"),
    *("li", "ol", "p", "pre", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "code": {"class"}}
_SCHEMES = {"http", "https", "mailto"}


def to_html(markdown: str) -> str:
    """Markdown as HTML without scripts, styles, images and links that run code."""
    return _cleaned(str(_markdown.render(markdown)))


def to_inline_html(markdown: str) -> str:
    """The same for a line of text: no heading or list begins in it, and line breaks are kept."""
    return _cleaned(str(_markdown.renderInline(markdown)).replace("\n", "<br>"))


def _cleaned(html: str) -> str:
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
    )
