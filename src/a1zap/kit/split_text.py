"""A text that is longer than a channel takes becomes several, cut where a reader would."""

from __future__ import annotations

_SEAMS = ("\n\n", "\n", ". ", "! ", "? ", "。", "！", "？", "; ", ", ", " ")  # best first


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
    # Not between a letter and what stands on it, nor inside a pair that makes one emoji.
    at = most
    while at > most // 2 and (
        text[at] in "\u200d\ufe0f" or text[at - 1] == "\u200d" or "\u0300" <= text[at] <= "\u036f"
    ):
        at -= 1
    return at
