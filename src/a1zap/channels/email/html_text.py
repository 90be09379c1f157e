"""The reply in an HTML mail: quotes get the marks of plain text, the page is laid out as text, then `extract_reply`.

Every mail program marks what it quotes in a way of its own. A quote among which one may answer (`blockquote`) becomes
lines with ">", so that answers between quotes are treated as in plain text; a node that holds all of an earlier mail
ends the reply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Any, cast

import lxml.etree
import lxml.html
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.html_engine import Inscriptis
from inscriptis.model.config import ParserConfig

from a1zap.channels.email.reply import Extracted, extract_reply

# A person's mail has some kilobytes; what is longer is styles, inline pictures and the conversation so far.
_RAW_CHARS = 8_388_608
_HIDDEN_CHARS = 524_288  # of one style sheet or comment
_SHOWN_CHARS = 65_536
_TAGS_MAX = 2_000
_HIDDEN_MAX = 500
_QUOTES_MAX = 200
_NESTED_MAX = 6  # lists, tables and quotes: each level is laid out again with the one around it

_HIDDEN = re.compile(r"<(?:style|script|title|svg)\b|<!--|\bdata:[a-z]{2,12}/", re.IGNORECASE)
_HIDDEN_END = {
    "<style": re.compile(r"</style\s{0,9}>", re.IGNORECASE),
    "<script": re.compile(r"</script\s{0,9}>", re.IGNORECASE),
    "<title": re.compile(r"</title\s{0,9}>", re.IGNORECASE),
    "<svg": re.compile(r"</svg\s{0,9}>", re.IGNORECASE),
    "<!--": re.compile(r"-->"),
}
_etree, _pages = cast("Any", lxml.etree), cast("Any", lxml.html)  # lxml says nothing of its types
_INDENTING = ("blockquote", "ul", "ol", "dl", "dd", "table")
_TAG = re.compile(r"<[^<>]{0,4096}>?")
# Marks of our own in the text: private characters, taken out of the mail before.
_OPENS, _CLOSES, _ENDS = "\ue0f0", "\ue0f1", "\ue0f2"
_OUR_MARKS = (_OPENS, _CLOSES, _ENDS, "\x00")
_QUOTE_MARK = re.compile(f"([{_OPENS}{_CLOSES}])")

_HOLDS_A_MAIL = re.compile(
    r"(?:^|\s)(?:x_)?(?:divRplyFwdMsg|appendonsend|\w{0,20}yahoo_quoted\w{0,20}|OLK_SRC_BODY_SECTION|stopSpelling|zmail_extra"
    r"|moz-forward-container|mail-editor-reference-message-container|ms-outlook-mobile-reference-message)(?:\s|$)"
)
_QUOTES = re.compile(r"(?:^|\s)(?:x_)?(?:gmail_quote|protonmail_quote|tutanota_quote)(?:\s|$)")
_SIGNATURE = re.compile(
    r"(?:^|\s)(?:x_)?(?:gmail_signature|moz-signature|ms-outlook-mobile-signature|protonmail_signature_block|gmail_signature_prefix)(?:\s|$)"
)
# The line that Outlook draws above the mail it answers.
_OUTLOOK_RULE = re.compile(
    r"border:\s{0,2}none;\s{0,2}border-top:\s{0,2}solid\s#?\w{3,8}\s1|border-top:\s{0,2}(?:1(?:\.0)?p[tx]\s{0,2}solid|solid\s#?\w{3,8}\s1|#\w{3,6}\s1(?:\.0)?p[tx]\ssolid)",
    re.IGNORECASE,
)
_NO_BORDER = re.compile(r"border:\s{0,2}(?:none|0)", re.IGNORECASE)


def html_to_reply_text(html: str) -> str:
    """What the sender of an HTML mail wrote, as text; all of its text where nothing looks written by the sender.

    The first 64 KiB and 2,000 tags of what is shown are looked at; styles, scripts and inline pictures do not count.
    """
    return read_html(html).reply


def read_html(html: str) -> Extracted:
    """The same reply, and as `full` all the text that was looked at, quotes marked with ">"."""
    text = _marked_text(_shown(html))
    before, _, after = text.partition(_ENDS)
    if not any(character.isalnum() for character in before):
        before = f"{before}\n{after.replace(_ENDS, '')}"
    return replace(extract_reply(_with_quotes(before)), full=_with_quotes(text).strip())


def _shown(html: str) -> str:
    """The page without what is not shown, cut to a size that is laid out in good time."""
    page = html[:_RAW_CHARS]
    for mark in _OUR_MARKS:
        page = page.replace(mark, "")
    kept: list[str] = []
    length, position = 0, 0
    while position < len(page) and length < _SHOWN_CHARS and len(kept) < _HIDDEN_MAX:
        hidden = _HIDDEN.search(page, position, position + _SHOWN_CHARS)
        end = hidden.start() if hidden else position + _SHOWN_CHARS
        kept.append(page[position:end])
        length += end - position
        position = _end_of_hidden(page, hidden) if hidden else len(page)
    shown = "".join(kept)[:_SHOWN_CHARS]
    for number, tag in enumerate(_TAG.finditer(shown)):
        if number == _TAGS_MAX:
            return shown[: tag.start()]
    return shown


def _end_of_hidden(page: str, hidden: re.Match[str]) -> int:
    """Where what is not shown ends; the page's end where it does not."""
    kind, start = hidden[0].lower(), hidden.end()
    if kind.startswith("data:"):
        ends = [end for end in (page.find(sign, start) for sign in "\"'>") if end >= 0]
        return min(ends, default=len(page))
    closed = _HIDDEN_END[kind].search(page, start, start + _HIDDEN_CHARS)
    return closed.end() if closed else len(page)


def _marked_text(page: str) -> str:
    """The page as text; around what is quoted, and before an earlier mail, stand our marks."""
    if not page.strip():
        return ""
    parser: Any = _pages.HTMLParser(encoding="utf-8", no_network=True)
    try:
        tree: Any = _pages.document_fromstring(page.encode(errors="replace"), parser=parser)
        _unindent(tree)
        _mark(tree)
        layout = ParserConfig(css=CSS_PROFILES["strict"].copy())
        text = Inscriptis(tree, layout).get_text()
    except (lxml.etree.LxmlError, RecursionError, ValueError, TypeError, IndexError, KeyError):
        text = ""  # markup that no program writes
    if not any(character.isalnum() for character in text):
        text = unescape(_TAG.sub("\n", page))
    return text.replace("\xa0", " ")


def _unindent(tree: Any) -> None:
    """Take the markup off what is nested too deeply to be anybody's layout; its text stays."""
    deep = [one for one in cast("Iterator[Any]", tree.iter(*_INDENTING)) if _depth(one) > _NESTED_MAX]
    for one in deep:
        one.tag = "span"
    if deep:  # cells and items without their table and list
        for one in list(cast("Iterator[Any]", tree.iter("td", "th", "tr", "li"))):
            if next(one.iterancestors("table", "ul", "ol"), None) is None:
                one.tag = "span"


def _depth(node: Any) -> int:
    return sum(1 for _ in cast("Iterator[Any]", node.iterancestors(*_INDENTING)))


def _mark(tree: Any) -> None:
    """Put our marks around quotes and before the first node that holds a mail, and take known signatures out."""
    signatures: list[Any] = []
    has_ended = False
    quotes = 0
    for node in list(cast("Iterator[Any]", tree.iter(_etree.Element))):
        names = f"{node.get('id', '')} {node.get('class', '')}"
        style = str(node.get("style", ""))
        if node.getparent() is None:
            continue
        if node.tag == "blockquote":
            if node.get("type") == "cite" or _QUOTES.search(names) or not _NO_BORDER.search(style):
                quotes += 1
                if quotes <= _QUOTES_MAX:
                    _enclose(node)
        elif not has_ended and (
            _HOLDS_A_MAIL.search(names) or (node.tag == "div" and _OUTLOOK_RULE.search(style[:400]))
        ):
            node.addprevious(_said(_ENDS))
            has_ended = True
        elif _SIGNATURE.search(names) and next(node.iter("blockquote"), None) is None:
            signatures.append(node)
    for node in signatures:
        node.drop_tree()


def _said(mark: str) -> Any:
    """A paragraph that holds only a mark."""
    paragraph: Any = _etree.Element("div")
    paragraph.text = mark
    return paragraph


def _enclose(node: Any) -> None:
    """Marks as the first and last thing in the node."""
    first = _said(_OPENS)
    first.tail, node.text = node.text, None
    node.insert(0, first)
    node.append(_said(_CLOSES))


def _with_quotes(text: str) -> str:
    """The text with ">" before each line between our marks."""
    lines: list[str] = []
    depth = 0
    for piece in _QUOTE_MARK.split(text.replace(_ENDS, "")):
        if piece == _OPENS:
            depth += 1
        elif piece == _CLOSES:
            depth = max(0, depth - 1)
        elif depth:
            lines += [f"> {line.strip()}" for line in piece.strip().split("\n")]
        else:
            lines += piece.strip(" ").split("\n") if piece.strip() else [""]
    return "\n".join(lines)
