"""Bytes to text, whatever charset they claim: labels as browsers read them, then UTF-8, then Windows-1252."""

from __future__ import annotations

import codecs
import re
from encodings.aliases import aliases
from typing import Final

# A closed world: an unknown label never reaches the codec search (it imports modules by that name and remembers each
# miss), and what is no charset (`zlib`, `rot13`) or costs quadratic time (`idna`, `punycode`) is not in it.
_NO_CHARSETS: Final = frozenset(
    (
        *("base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"),
        *("mbcs", "oem", "tactis", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"),
    )
)
_WITHOUT_ALIAS: Final = (
    *("cp1006", "cp1125", "cp720", "cp737", "cp856", "cp874", "cp875", "koi8_r", "koi8_t", "koi8_u"),
    *("mac_croatian", "mac_farsi", "mac_romanian", "utf_8_sig"),
)
CODECS: Final = frozenset({*aliases.values(), *_WITHOUT_ALIAS} - _NO_CHARSETS)

# Senders name the small charset and use the big one (WHATWG Encoding Standard, "labels").
_REALLY: Final = {
    "latin_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "hz": "hz",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "big5": "big5hkscs",
    "iso2022_jp": "iso2022_jp_ext",
}
_LABELS: Final = {
    "ansi": "cp1252",
    "utf8mb4": "utf_8",
    "unicode_1_1_utf_8": "utf_8",
    "unicode_1_1_utf_7": "utf_7",
    "x_unicode_2_0_utf_7": "utf_7",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_6_i": "iso8859_6",
    "ks_c_5601": "cp949",
    "ks_c_5601_1987": "cp949",
    "ks_c_5601_1989": "cp949",
    "windows_949": "cp949",
    "gb_2312": "gb18030",
    "gb_2312_80": "gb18030",
    "x_gbk": "gb18030",
    "x_sjis": "cp932",
    "x_euc_jp": "euc_jp",
    "x_mac_roman": "mac_roman",
    "windows_31j": "cp932",
    "windows_874": "cp874",
    "dos_874": "cp874",
    "big5_hkscs": "big5hkscs",
    "cn_big5": "big5hkscs",
}
_LABEL = re.compile(r"[a-z0-9_.:()+]{1,40}")
_ESCAPES_TO_JAPANESE: Final = b"\x1b$"


def codec_of(label: str | None) -> str | None:
    """Python's name of the charset that `label` means; None where it means none that we know."""
    said = (label or "").partition("*")[0].strip(" \t\r\n\"'<>;").lower().replace("-", "_")
    said = said.removeprefix("charset=").replace(" ", "_")
    if not _LABEL.fullmatch(said):
        return None
    found = _LABELS.get(said) or aliases.get(said) or aliases.get(said.replace(".", "_")) or said
    if found not in CODECS and found.startswith("cp_"):
        found = found.replace("cp_", "cp", 1)
    if found not in CODECS and found.startswith("windows_"):
        found = found.replace("windows_", "cp", 1)
    if found not in CODECS:
        found = aliases.get(said.removeprefix("x_"), "")
    return _REALLY.get(found, found) if found in CODECS else None


def decode_text(raw: bytes, label: str | None = None) -> str:
    """The text that `raw` spells. Never fails: what cannot be read becomes U+FFFD.

    ASCII and unknown labels are tried as UTF-8, which is rarely right by accident, and end as Windows-1252.
    """
    codec = codec_of(label)
    if codec not in {None, "ascii", "utf_8", "utf_8_sig", "cp1252"}:
        try:
            return raw.decode(codec or "ascii", "replace").removeprefix("\ufeff")
        except (UnicodeError, ValueError):  # UTF-16 and HZ find ways to fail in spite of "replace"
            codec = None
    if codec == "cp1252":
        return _western(raw)
    if codec in {None, "ascii"} and _ESCAPES_TO_JAPANESE in raw[:10_000]:
        return raw.decode("iso2022_jp_ext", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("utf-8-sig", "replace") if codec else _western(raw)


def load_charsets() -> None:
    """Import every codec now, for a process that will not be allowed to open files later."""
    for codec in CODECS:
        codecs.lookup(codec)


def _western(raw: bytes) -> str:
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:  # five bytes of Windows-1252 mean nothing
        return raw.decode("latin-1")
