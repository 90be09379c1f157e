"""Markdown or plain text as a list of blocks: what is a heading, what a paragraph, what an item of a list.

Only as much of Markdown as articles have, read kindly: what is no mark is text. Linear in the length of the text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from a1zap.knowledge.sentences import split_sentences

BlockKind = Literal["heading", "lead", "paragraph", "item", "row"]
QUESTION_CHARS_MAX = 160


@dataclass(frozen=True, slots=True)
class Block:
    """One piece, without marks. A `lead` is a heading of the next paragraph alone, a `row` a table row read out."""

    kind: BlockKind
    text: str


def read_blocks(content: str) -> list[Block]:
    """Blocks in order; lines of a paragraph are joined, tables are read out row by row, HTML is left out."""
    reader = _Reader()
    for line, following in pairwise([*_lines(_plain(content)), ""]):
        reader.take(line, following)
    reader.end_block()
    return reader.blocks


_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,200}>")
_BREAK = re.compile(r"<(?:br|/p|/div|/li|/h[1-6])\s{0,9}/?>", re.IGNORECASE)
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200b\u2060\ufeff]")


def _plain(content: str) -> str:
    """Without HTML and characters that nobody sees."""
    content = _UNSEEN.sub("", content.replace("\r\n", "\n").replace("\r", "\n"))
    if "<" in content:
        content = _TAG.sub("", _BREAK.sub("\n", _without_comments(content)))
    return html.unescape(content) if "&" in content else content


def _without_comments(content: str) -> str:
    kept: list[str] = []
    at = 0
    while (begin := content.find("<!--", at)) >= 0 and (end := content.find("-->", begin)) >= 0:
        kept.append(content[at:begin])
        at = end + 3
    return "".join([*kept, content[at:]])


_FENCE = re.compile(r"\s{0,9}(?:```|~~~)")


def _lines(text: str) -> Iterator[str]:
    """Lines out of their quotes; what a fence holds is one line."""
    fenced: list[str] | None = None
    for line in text.split("\n"):
        bare = line.lstrip()
        if _FENCE.match(line):
            if fenced:
                yield from ("", " ".join(fenced), "")
            fenced = [] if fenced is None else None
        elif fenced is not None:
            fenced.append(bare.rstrip())
        else:
            yield bare[1:].removeprefix(" ") if bare.startswith(">") else line
    if fenced:
        yield " ".join(fenced)


_HEADING = re.compile(r"#{1,6}\s")
_BOLD_LINE = re.compile(r"(?:\*\*|__)([^*_]{2,120}?)[.:]?(?:\*\*|__)[.:]?")
_BOLD_LEAD = re.compile(r"\*\*([^*]{2,80}?)(?:[.:]\*\*|\*\*:)\s+(\S.*)")
_BULLET = re.compile(r"[-*+•‣–]\s+(\S.*)")
_NUMBERED = re.compile(r"(\d{1,3})[.)]\s+(\S.*)")
_UNDERLINE = re.compile(r"=+|-{3,}")
_RULE = re.compile(r"(?:[-*_]\s*){3,}")
_DASHES = re.compile(r"[\s|:-]+")
_ASKED = re.compile(r"(?:[QFPDV]|问|問)\s{0,3}[:：]\s*")
_ANSWERED = re.compile(r"(?:[AR]|答)\s{0,3}[:：]\s*")
_QUESTION_MARKS = ("?", "？", "؟")


@dataclass(slots=True)
class _Reader:
    """Takes line after line; `lines` are those of the paragraph or item that is still open."""

    blocks: list[Block] = field(default_factory=list[Block])
    lines: list[str] = field(default_factory=list[str])
    in_item: bool = False
    header: list[str] | None = None

    def take(self, line: str, following: str) -> None:
        line, following = line.strip(), following.strip()
        if len(line) > 1 and line[0] == line[-1] == "|":
            self._take_row(line, following)
        elif not line or _RULE.fullmatch(line) or _UNDERLINE.fullmatch(line):
            self.end_block()
            self.header = None
        elif heading := self._heading(line, following):
            self.end_block()
            self._add("heading", heading)
        elif item := self._item(line):
            self.end_block()
            self.lines, self.in_item = [item], True
        elif answered := _ANSWERED.match(line):
            self.end_block()
            self.lines.append(line[answered.end() :])
        else:
            self.lines.append(line)

    def end_block(self) -> None:
        text = join_lines(self.lines)
        kind: BlockKind = "item" if self.in_item else "paragraph"
        self.lines, self.in_item = [], False
        if lead := _BOLD_LEAD.fullmatch(text) if kind == "paragraph" else None:
            self._add("lead", lead.group(1))
            text = lead.group(2)
        if text:
            self._add(kind, text)

    def _take_row(self, line: str, following: str) -> None:
        self.end_block()
        cells = [cell.strip() for cell in line[1:-1].split("|")]
        if self.header is None and following and _DASHES.fullmatch(following):
            self.header = cells
        elif not _DASHES.fullmatch(line):
            self._add("row", _told_row(self.header or [], cells))

    def _heading(self, line: str, following: str) -> str:
        """The heading that this line is, or ""."""
        if _HEADING.match(line):
            return line.lstrip("#").strip().rstrip("#").strip()
        if bold := _BOLD_LINE.fullmatch(line):
            return bold.group(1)
        if len(line) > QUESTION_CHARS_MAX:
            return ""
        if not self.lines and following and _UNDERLINE.fullmatch(following) and not self._item(line):
            return line
        asked = _ASKED.match(line)
        # A question that stands alone is what the next lines answer.
        if (asked or not self.lines) and line.endswith(_QUESTION_MARKS) and not self._item(line):
            question = line[asked.end() if asked else 0 :]
            return question if len(split_sentences(question)) == 1 else ""
        return ""

    def _item(self, line: str) -> str:
        """The list item that this line begins, or ""; a number does not cut a paragraph that goes on ("until", "3. Mai")."""
        if bullet := _BULLET.fullmatch(line):
            return bullet.group(1)
        numbered = _NUMBERED.fullmatch(line)
        if numbered and (self.in_item or not self.lines or numbered.group(1) == "1"):
            return numbered.group(2)
        return ""

    def _add(self, kind: BlockKind, text: str) -> None:
        self.blocks.append(Block(kind, _unmarked(text)))


def join_lines(lines: Sequence[str]) -> str:
    """Lines of one paragraph; between two Chinese or Japanese characters a line break is no space."""
    pieces: list[str] = []
    last = ""
    for line in (line.strip() for line in lines):
        if line:
            wide = not last or (ord(last) > 0x2E80 and ord(line[0]) > 0x2E80)
            pieces.append(line if wide else f" {line}")
            last = line[-1]
    return "".join(pieces)


def _told_row(header: Sequence[str], cells: Sequence[str]) -> str:
    """A table row as one reads it out: its first cell, then each further one after its column's name."""
    names = [*header, *[""] * len(cells)]
    return ", ".join(
        f"{name}: {cell}" if name and number else cell
        for number, (name, cell) in enumerate(zip(names, cells, strict=False))
        if cell
    )


_IMAGE = re.compile(r"!\[([^\]\n]{0,200})\]\([^()\s]{0,500}[^()\n]{0,200}\)")
_LINK = re.compile(r"\[([^\[\]\n]{1,300})\]\(<?([^()\s>]{1,500})>?[^()\n]{0,200}\)")
_MARKS = re.compile(r"(?<!\\)(\*\*|__|~~|`{1,2})(?=\S)(.{1,300}?)(?<=[^\s\\])\1")
_EMPHASIS = re.compile(r"(?<![\w*\\])([*_])(?=\S)([^*_\n]{1,300}?)(?<=[^\s\\])\1(?![\w*])")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|>~])")


def _unmarked(text: str) -> str:
    """The words without marks; of a link both the words and the address stay."""
    text = _LINK.sub(_told_link, _IMAGE.sub(r"\1", text))
    text = _EMPHASIS.sub(r"\2", _MARKS.sub(r"\2", text))
    return " ".join(_ESCAPE.sub(r"\1", text).split())


def _told_link(link: re.Match[str]) -> str:
    words, address = link.group(1), link.group(2).removeprefix("mailto:")
    return words if words == address else f"{words} ({address})"
