"""Text that may leave: PostgreSQL stores every string that went through here, and a file name is only a name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from hashlib import sha256
from typing import Final, TypeVar

T = TypeVar("T")

FILE_NAME_MAX: Final = 120
_ID_BYTES_MAX: Final = 800  # a B-tree key of PostgreSQL holds 2,704 bytes, and ids share it with others
_PROBLEMS_MAX: Final = 50

_SURROGATE = re.compile("[\ud800-\udfff]")
# What turns text round or hides in it: `invoice\u202efdp.exe` reads as `invoiceexe.pdf`.
_HIDDEN = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_NO_NAME = re.compile(r'[<>:"|?*]')


def storable(text: str) -> str:
    """The text without what PostgreSQL refuses: NUL goes, halves of characters become U+FFFD."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("�", text)
    return text


def one_line(text: str, max_chars: int) -> str:
    """The text as one storable line: white space folded, control characters gone, cut at `max_chars`."""
    text = _CONTROL.sub(" ", text[: max_chars * 4])
    return storable(" ".join(text.split()))[:max_chars]


def file_name(said: str, fallback: str) -> str:
    """A name that is no path, shows what it is and can be stored; `fallback` where nothing is left of it."""
    name = said.replace("\\", "/").rstrip("/ ").rpartition("/")[2]
    name = unicodedata.normalize("NFC", _HIDDEN.sub("", one_line(name, 2_000)))
    name = _NO_NAME.sub("_", name).strip(" .")
    if len(name) <= FILE_NAME_MAX:
        return name or fallback
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > 16:
        return name[:FILE_NAME_MAX].strip(" .")
    return f"{stem[: FILE_NAME_MAX - len(ending) - 1]}.{ending}"


def message_id(said: str) -> str:
    """A Message-ID as we compare it: without <> and white space. A giant one is shortened by its digest."""
    found = storable(_CONTROL.sub("", "".join(said.split())).strip("<>"))
    if len(found.encode()) <= _ID_BYTES_MAX:
        return found
    return f"{found[:80]}~{sha256(found.encode()).hexdigest()}"


def note(problems: list[str], problem: str) -> None:
    """Keep a problem once, and not too many of them."""
    if problem not in problems and len(problems) < _PROBLEMS_MAX:
        problems.append(one_line(problem, 200))


def attempt(problems: list[str], what: str, read: Callable[[], T], otherwise: T) -> T:
    """What `read` gives, or `otherwise` and a noted problem.

    Strangers write these bytes and the standard library fails on some of them in ways it does not document
    (LookupError, AttributeError, IndexError, ...). A lack of memory is not the mail's shape: it goes up, and
    ends the process that reads (`bounded.py`).
    """
    try:
        return read()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - any bytes at all must end in a Mail
        note(problems, f"{what}: {type(error).__name__}")
        return otherwise
