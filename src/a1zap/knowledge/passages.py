"""Articles cut into what can be found and shown: the title, headings, and windows of one to three sentences.

An article becomes a flat list in reading order: its title first, then for each section its heading and its windows.
Title and headings only lead to the windows below them; a window is what is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from a1zap.kit.errors import Invalid
from a1zap.knowledge.markdown import Block, join_lines, read_blocks
from a1zap.knowledge.sentences import split_sentences

TITLE_CHARS_MAX = 300
CONTENT_CHARS_MAX = 100_000
WINDOW_SENTENCES_MAX = 3
WINDOW_CHARS_MAX = 700
LIST_ITEMS_MAX = 12
PASSAGES_MAX = 5_000
"""What an article of the greatest length has if it is prose; each costs about 4 ms to embed."""

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


def split_passages(title: str, content: str) -> list[str]:
    """The list described above, of Markdown or plain text: the article's own words without Markdown's marks.

    A window is one to three sentences that follow each other, a list with its lead, or one item with its lead.

    Raises:
        Invalid: the title is empty or too long, or there is too much content for one article.
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
    for section in _sections(read_blocks(content)):
        # What was said before needs no second vector.
        windows = list(dict.fromkeys(_windows(section)))
        if windows:
            # Back below the title after a section with a heading of its own: the title serves as heading.
            if section.heading or len(texts) > 1:
                texts.append(HEADING_MARK + (section.heading or title))
            texts += windows
    if len(texts) > PASSAGES_MAX:
        raise Invalid(
            f"article '{title}' has {len(texts)} passages, {PASSAGES_MAX} at most: split it up",
            field="content",
        )
    return texts


def _sections(blocks: Sequence[Block]) -> list[_Section]:
    sections = [_Section("")]
    heading = ""  # of the section we go back to after a paragraph with a lead of its own
    before = ""
    for kind, text in ((block.kind, block.text) for block in blocks):
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
                text = join_lines(run[first : last + 1])
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
