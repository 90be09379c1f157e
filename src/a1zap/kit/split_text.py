"""A text that is longer than a channel takes becomes several, cut where a reader would."""

from __future__ import annotations

import unicodedata

_SEAMS = ("\n\n", "\n", ". ", "! ", "? ", "。", "！", "？", "; ", ", ", " ")  # best first
_JOINER = "\u200d"


def split_text(text: str, most: int | None) -> list[str]:
    """Pieces of at most `most` characters, in order; at paragraphs, else lines, sentences, words, else anywhere.

    Nothing but white space at a cut is lost. `most` None: no limit.
    """
    if most is None or len(text) <= most:
        return [text]
    pieces: list[str] = []
    rest = text
    while len(rest) > most:
        at = _cut(rest, most)
        piece = rest[:at].rstrip()
        if piece:
            pieces.append(piece)
        rest = rest[at:].lstrip()
    if rest:
        pieces.append(rest)
    return pieces


def _cut(text: str, most: int) -> int:
    """Where to cut a text that is too long: after the last good seam in its second half, else at the limit."""
    window = text[:most]
    for seam in _SEAMS:
        at = window.rfind(seam)
        if at >= most // 2:
            return at + len(seam)
    at = most
    while at > most // 2 and _is_joined(text, at):
        at -= 1
    return at


def _is_joined(text: str, at: int) -> bool:
    """Would a cut here part a letter from what stands on it, or break a pair that makes one emoji or flag?"""
    before, after = text[at - 1], text[at]
    if _JOINER in (before, after) or unicodedata.category(after).startswith("M"):
        return True
    if (
        "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f"
    ):  # skin, a region's flag
        return True
    first = at
    while first > 0 and "\U0001f1e6" <= text[first - 1] <= "\U0001f1ff":
        first -= 1
    return "\U0001f1e6" <= after <= "\U0001f1ff" and (at - first) % 2 == 1
