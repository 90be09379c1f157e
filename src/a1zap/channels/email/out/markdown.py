"""HTML out of the Markdown that agents write: CommonMark without HTML and images, and then only tags that are harmless."""

from __future__ import annotations

from typing import Final

import nh3
from markdown_it import MarkdownIt

# A model may be talked into writing HTML or a picture that reports who opened the mail: neither leaves as such.
_RENDERER: Final = (
    MarkdownIt("commonmark", {"html": False, "breaks": True, "linkify": False})
    .enable("table")
    .disable("image")
)
_TAGS: Final = frozenset(
    (
        *("a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p"),
        *("pre", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
    )
)
_ATTRIBUTES: Final = {"a": {"href", "title"}, "ol": {"start"}}
_SCHEMES: Final = {"http", "https", "mailto", "tel"}


def render_markdown(text: str) -> str:
    """Sanitised HTML of the text, without html and body around it."""
    return nh3.clean(
        _RENDERER.render(text),
        tags=set(_TAGS),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
    )
