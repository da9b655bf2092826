"""Model output as HTML. It is hostile text: what is left of it is what is allowed."""

import nh3
from markdown_it import MarkdownIt

#: No raw HTML is taken from the Markdown at all; what the renderer makes is cleaned once more.
_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
_markdown.disable("image")

_TAGS = {
    *("a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr"),
    *("li", "ol", "p", "pre", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "code": {"class"}}
_SCHEMES = {"http", "https", "mailto"}


def to_html(markdown: str) -> str:
    """Markdown as HTML without scripts, styles, images and addresses that do anything."""
    return nh3.clean(
        str(_markdown.render(markdown)),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
    )
