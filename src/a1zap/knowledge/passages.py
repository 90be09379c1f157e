"""Articles cut into what can be found and shown: the title, headings, and windows of one to three sentences.

An article becomes a flat list in reading order: its title first, then for each section its heading and its windows.
Title and headings only lead to the windows below them; a window is what is shown.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from a1zap.kit.errors import Invalid
from a1zap.knowledge.sentences import split_sentences

TITLE_CHARS_MAX = 300
CONTENT_CHARS_MAX = 100_000
WINDOW_SENTENCES_MAX = 3
WINDOW_CHARS_MAX = 700
LIST_ITEMS_MAX = 12
QUESTION_CHARS_MAX = 160


# Begins a heading in the list: no window begins so, and no encoder sees it.
HEADING_MARK = "\n"


@dataclass(frozen=True, slots=True)
class Passage:
    """One entry of an article's list; `position` counts from 0, which is the title."""

    article_id: UUID
    title: str
    position: int
    text: str

    @property
    def is_heading(self) -> bool:
        return self.text.startswith(HEADING_MARK)


@dataclass(slots=True)
class _Section:
    """A heading and what stands below it: runs of sentences, and lists with the sentence that leads to them."""

    heading: str
    runs: list[list[str]] = field(default_factory=list[list[str]])
    lists: list[tuple[str, list[str]]] = field(default_factory=list[tuple[str, list[str]]])


Block = tuple[Literal["heading", "lead", "paragraph", "item", "row"], str]


def split_passages(title: str, content: str) -> list[str]:
    """The list described above, of Markdown or plain text: the article's own words without Markdown's marks.

    A window is one to three sentences that follow each other, a list with its lead, or one item with its lead.

    Raises:
        Invalid: the title is empty or too long, or the content is too long.
    """
    title = " ".join(title.split())
    if not title or len(title) > TITLE_CHARS_MAX:
        raise Invalid(
            f"an article needs a title of 1 to {TITLE_CHARS_MAX} characters, this has {len(title)}",
            field="title",
        )
    if len(content) > CONTENT_CHARS_MAX:
        raise Invalid(
            f"article '{title}' has {len(content)} characters, {CONTENT_CHARS_MAX} at most: split it up",
            field="content",
        )
    texts = [title]
    for section in _sections(_blocks(_plain(content))):
        # What was said before needs no second vector.
        windows = list(dict.fromkeys(_windows(section)))
        if windows:
            # Back below the title after a section with a heading of its own: the title serves as heading.
            if section.heading or len(texts) > 1:
                texts.append(HEADING_MARK + (section.heading or title))
            texts += windows
    return texts


_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,200}>")
_BREAK = re.compile(r"<(?:br|/p|/div|/li|/h[1-6])\s*/?>", re.IGNORECASE)
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200b\u2060\ufeff]")


def _plain(content: str) -> str:
    """Without HTML and characters that nobody sees."""
    content = _UNSEEN.sub("", content.replace("\r\n", "\n").replace("\r", "\n"))
    if "<" in content:
        content = _TAG.sub("", _BREAK.sub("\n", _COMMENT.sub("", content)))
    return html.unescape(content) if "&" in content else content


_HEADING = re.compile(r"\s{0,3}#{1,6}\s+(.*?)\s*#*\s*")
_BOLD_LINE = re.compile(r"\s*(?:\*\*|__)([^*_]{2,120}?)[.:]?(?:\*\*|__)[.:]?\s*")
_BOLD_LEAD = re.compile(r"\s*\*\*([^*]{2,80}?)(?:[.:]\*\*|\*\*:)\s+(\S.*)")
_ITEM = re.compile(r"\s*(?:[-*+•‣–]|\d{1,3}[.)])\s+(\S.*)")
_UNDERLINE = re.compile(r"\s{0,3}(?:=+|-{3,})\s*")
_RULE = re.compile(r"\s*(?:[-*_]\s*){3,}")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_ROW = re.compile(r"\s*\|(.+)\|\s*")
_DASHES = re.compile(r"[\s|:-]+")
_ASKED = re.compile(r"\s*(?:[QFPDV]|问|問)\s*[:：]\s*")
_ANSWERED = re.compile(r"\s*(?:[AR]|答)\s*[:：]\s*")
_QUESTION_MARKS = ("?", "？", "؟")


def _blocks(text: str) -> Iterator[Block]:
    """Headings, paragraphs (their lines joined), list items and table rows, in order."""
    paragraph: list[str] = []
    open_item = False
    header: list[str] | None = None
    for line, following in _pairs_of_lines(text):
        bare = line.strip()
        row = _ROW.fullmatch(line)
        found = None if row else _line_block(line, following, begins=not paragraph)
        if found == "skip" or (not bare and not row):
            yield from _flush(paragraph, open_item)
            open_item, header = False, None
        elif row:
            yield from _flush(paragraph, open_item)
            open_item = False
            cells = [cell.strip() for cell in row.group(1).split("|")]
            if header is None and _DASHES.fullmatch(following):
                header = cells
            elif not _DASHES.fullmatch(bare):
                yield "row", _told_row(header or [], cells)
        elif isinstance(found, tuple):
            yield from _flush(paragraph, open_item)
            kind, words = found
            open_item = kind == "item"
            if kind == "heading":
                yield "heading", words
            else:
                paragraph.append(words)
        else:
            paragraph.append(bare)
    yield from _flush(paragraph, open_item)


def _pairs_of_lines(text: str) -> Iterator[tuple[str, str]]:
    """Each line with the next one, out of quotes and fences; what a fence holds is one line."""
    lines = [
        line.lstrip().removeprefix(">").removeprefix(" ") if line.lstrip().startswith(">") else line
        for line in text.split("\n")
    ]
    merged: list[str] = []
    fenced: list[str] | None = None
    for line in lines:
        if _FENCE.match(line):
            merged += ["", " ".join(fenced), ""] if fenced else []
            fenced = [] if fenced is None else None
        elif fenced is not None:
            fenced.append(line.strip())
        else:
            merged.append(line)
    if fenced:
        merged.append(" ".join(fenced))
    yield from zip(merged, [*merged[1:], ""], strict=True)


def _line_block(
    line: str, following: str, *, begins: bool
) -> tuple[Literal["heading", "item", "paragraph"], str] | Literal["skip"] | None:
    """What a line begins; None where it only goes on."""
    if heading := _HEADING.fullmatch(line):
        return "heading", heading.group(1)
    if _RULE.fullmatch(line) or _UNDERLINE.fullmatch(line):
        return "skip"
    if line.strip() and _UNDERLINE.fullmatch(following) and len(line) <= QUESTION_CHARS_MAX:
        return "heading", line.strip()
    if bold := _BOLD_LINE.fullmatch(line):
        return "heading", bold.group(1)
    if item := _ITEM.fullmatch(line):
        return "item", item.group(1)
    asked = _ASKED.match(line)
    # A question that stands alone is what the next lines answer.
    if (asked or begins) and _is_one_question(line.strip()):
        return "heading", line[asked.end() if asked else 0 :].strip()
    answered = _ANSWERED.match(line)
    return ("paragraph", line[answered.end() :].strip()) if answered else None


def _is_one_question(text: str) -> bool:
    return (
        text.endswith(_QUESTION_MARKS) and len(text) <= QUESTION_CHARS_MAX and len(split_sentences(text)) == 1
    )


def _flush(paragraph: list[str], is_item: bool) -> Iterator[Block]:
    """Give out the lines gathered so far as one block, and forget them."""
    text = _joined(paragraph)
    paragraph.clear()
    if not text:
        return
    if is_item:
        yield "item", text
        return
    if lead := _BOLD_LEAD.fullmatch(text):
        yield "lead", lead.group(1)
        text = lead.group(2)
    yield "paragraph", text


def _joined(lines: Sequence[str]) -> str:
    """Lines of one paragraph; between two Chinese or Japanese characters a line break is no space."""
    text = ""
    for line in (line.strip() for line in lines):
        wide = text and line and ord(text[-1]) > 0x2E80 and ord(line[0]) > 0x2E80
        text += line if wide or not text else f" {line}"
    return text


def _told_row(header: Sequence[str], cells: Sequence[str]) -> str:
    """A table row as one reads it out: its first cell, then each further one after its column's name."""
    told = [
        f"{name}: {cell}" if name and number else cell
        for number, (name, cell) in enumerate(zip([*header, *[""] * len(cells)], cells, strict=False))
        if cell
    ]
    return ", ".join(told)


_IMAGE = re.compile(r"!\[([^\]\n]{0,200})\]\([^()\s]{0,500}[^()\n]{0,200}\)")
_LINK = re.compile(r"\[([^\]\n]{1,300})\]\(<?([^()\s>]{1,500})>?[^()\n]{0,200}\)")
_MARKS = re.compile(r"(\*\*|__|~~|`+)(?=\S)(.{1,2000}?)(?<=\S)\1")
_EMPHASIS = re.compile(r"(?<![\w*])([*_])(?=\S)([^*_\n]{1,500}?)(?<=\S)\1(?![\w*])")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|>~])")


def _unmarked(text: str) -> str:
    """Markdown's words without its marks; of a link both the words and the address stay."""
    text = _IMAGE.sub(r"\1", text)
    text = _LINK.sub(
        lambda link: link[1] if link[2] in (link[1], f"mailto:{link[1]}") else f"{link[1]} ({link[2]})", text
    )
    text = _EMPHASIS.sub(r"\2", _MARKS.sub(r"\2", text))
    return " ".join(_ESCAPE.sub(r"\1", text).split())


def _sections(blocks: Iterator[Block]) -> list[_Section]:
    sections = [_Section("")]
    heading = ""  # of the section we go back to after a paragraph with a lead of its own
    before = ""
    for kind, marked in blocks:
        text = _unmarked(marked)
        if kind in ("heading", "lead"):
            heading = text if kind == "heading" else heading
            sections.append(_Section(text[:TITLE_CHARS_MAX]))
        elif kind == "paragraph":
            if before == "paragraph" and sections[-1].heading != heading[:TITLE_CHARS_MAX]:
                sections.append(_Section(heading[:TITLE_CHARS_MAX]))
            _add_sentences(sections[-1], split_sentences(text), goes_on=before == "paragraph")
        else:
            _add_item(sections[-1], text, goes_on=before in ("item", "row"))
        before = kind
    return sections


def _add_sentences(section: _Section, sentences: list[str], *, goes_on: bool) -> None:
    if not section.runs or not goes_on:
        section.runs.append([])
    section.runs[-1] += sentences


def _add_item(section: _Section, item: str, *, goes_on: bool) -> None:
    if not goes_on:
        section.lists.append((_taken_lead(section), []))
    section.lists[-1][1].append(item)


def _taken_lead(section: _Section) -> str:
    """The sentence before a list, if it leads to it ("You need:"); taken out, for it says nothing alone."""
    if section.runs and section.runs[-1] and section.runs[-1][-1].endswith((":", "：")):
        return section.runs[-1].pop()
    return ""


def _windows(section: _Section) -> Iterator[str]:
    for run in section.runs:
        for first in range(len(run)):
            for last in range(first, min(first + WINDOW_SENTENCES_MAX, len(run))):
                text = _joined(run[first : last + 1])
                if first == last or len(text) <= WINDOW_CHARS_MAX:
                    yield text
    for lead, items in section.lists:
        for item in items:
            yield from _item_windows(lead, item)
        if len(items) > 1:
            yield from _whole_lists(lead, items)


def _item_windows(lead: str, item: str) -> Iterator[str]:
    """One item with its lead; of a long one the sentences as well."""
    if len(item) <= WINDOW_CHARS_MAX:
        yield f"{lead}\n• {item}" if lead else item
    sentences = split_sentences(item)
    if len(item) > WINDOW_CHARS_MAX or len(sentences) > WINDOW_SENTENCES_MAX:
        yield from sentences


def _whole_lists(lead: str, items: Sequence[str]) -> Iterator[str]:
    """The list as a whole, in parts that can be shown in one message."""
    part: list[str] = []
    for item in items:
        if part and (len(part) == LIST_ITEMS_MAX or sum(map(len, part)) + len(item) > WINDOW_CHARS_MAX):
            yield _told_list(lead, part)
            part = []
        if len(item) <= WINDOW_CHARS_MAX:
            part.append(item)
    if len(part) > 1:
        yield _told_list(lead, part)


def _told_list(lead: str, items: Sequence[str]) -> str:
    return "\n".join(([lead] if lead else []) + [f"• {item}" for item in items])
