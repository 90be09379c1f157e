"""What a file is, is asked of its bytes."""

from __future__ import annotations

import gzip

import pytest
from tests.rooms.attachments.pictures import office, picture, zip_with_names

from a1zap.attachments.names import NAME_CHARACTERS_MAX, clean_name, with_extension_of
from a1zap.attachments.sniff import UNKNOWN, is_drawable, sniff

WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.mark.parametrize(
    ("content", "claimed", "mime_type", "kind"),
    [
        (picture("JPEG"), "", "image/jpeg", "image"),
        (picture("PNG"), "text/html", "image/png", "image"),
        (picture("GIF", mode="P"), "", "image/gif", "image"),
        (picture("WEBP"), "", "image/webp", "image"),
        (picture("AVIF"), "", "image/avif", "image"),
        (picture("BMP"), "", "image/bmp", "image"),
        (picture("TIFF"), "image/jpeg", "image/tiff", "document"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "image/jpeg", "image/heic", "document"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "", "video/mp4", "video"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "audio/mp4; codecs=aac", "audio/mp4", "audio"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "", "video/quicktime", "video"),
        (b"OggS\0\x02" + bytes(22) + b"OpusHead", "image/png", "audio/ogg", "audio"),
        (b"OggS\0\x02" + bytes(22) + b"\x80theora", "", "video/ogg", "video"),
        (b"RIFF\0\0\0\0WAVEfmt ", "", "audio/wav", "audio"),
        (b"RIFF\0\0\0\0ACONfmt ", "image/webp", UNKNOWN, "document"),
        (b"ID3\x04\0\0", "", "audio/mpeg", "audio"),
        (b"\xff\xfb\x90\x64" + bytes(400), "", "audio/mpeg", "audio"),
        (b"\xff\xf1\x50\x80" + bytes(400), "", "audio/aac", "audio"),
        (b"#!AMR\n\x3c", "", "audio/amr", "audio"),
        (b"\x1a\x45\xdf\xa3....webm", "audio/webm", "audio/webm", "audio"),
        (b"\x1a\x45\xdf\xa3....webm", "", "video/webm", "video"),
        (b"%PDF-1.7\n%\xe2\xe3", "image/png", "application/pdf", "document"),
        (office("word"), "application/zip", WORD, "document"),
        (office("xl"), "", SHEET, "document"),
        (zip_with_names("../../etc/passwd"), WORD, "application/zip", "document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "application/msword", "application/msword", "document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "image/png", "application/x-ole-storage", "document"),
        (gzip.compress(b"x", mtime=0), "", "application/gzip", "document"),
        (b"MZ\x90\0", "image/jpeg", "application/vnd.microsoft.portable-executable", "document"),
        (b"\x7fELF\x02", "application/pdf", "application/x-executable", "document"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "image/png", "image/svg+xml", "document"),
        (b"<?xml version='1.0'?>\n<!-- x -->\n<svg onload='alert(1)'/>", "image/svg+xml", "image/svg+xml", "document"),
        (b"<!DOCTYPE html><html><body>hi", "text/plain", "text/html", "document"),
        (b"words first, and then <script>alert(1)</script>", "text/plain", "text/html", "document"),
        (b"<?xml version='1.0'?><feed/>", "", "text/xml", "document"),
        (b"BEGIN:VCARD\r\nVERSION:3.0", "", "text/vcard", "document"),
        (b"a,b\n1,2\n", "text/csv", "text/csv", "document"),
        (b"a,b\n1,2\n", "text/html", "text/plain", "document"),
        ("Grüße, 你好".encode(), "", "text/plain", "document"),
        ("你".encode() * 2000, "", "text/plain", "document"),  # cut in the middle of a character
        ("hello".encode("utf-16"), "", "text/plain", "document"),
        (b"\xff\xff\xff\xff\0\0", "image/jpeg", UNKNOWN, "document"),
        (b"\0", "", UNKNOWN, "document"),
        (b"", "image/png", UNKNOWN, "document"),
    ],
)  # fmt: skip
def test_a_file_is_what_its_bytes_are(content: bytes, claimed: str, mime_type: str, kind: str):
    found = sniff(content[:4096], claimed)
    assert (found.mime_type, found.kind) == (mime_type, kind)


def test_markup_is_never_a_picture():
    assert not is_drawable("image/svg+xml")
    assert not is_drawable("text/html")


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\system32\\evil.exe", "evil.exe"),
        ("..", "file"),
        ("", "file"),
        (None, "file"),
        ("a\r\nSet-Cookie: x=1\r\n.txt", "a Set-Cookie x=1 .txt"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),  # shown, it would read invoiceexe.jpg
        ("zero\u200bwidth\0.pdf", "zerowidth.pdf"),
        ('a"b<c>d|e?.txt', "a b c d e .txt"),
        ("  .hidden. ", "hidden"),
        ("naïve 你好 🎉.png", "naïve 你好 🎉.png"),
        ("\ud800half.txt", "half.txt"),
    ],
)
def test_a_name_from_outside_is_made_harmless(name: str | None, clean: str):
    assert clean_name(name, "file") == clean


def test_a_huge_name_is_cut_and_keeps_its_ending():
    clean = clean_name("x" * 100_000 + ".pdf", "file")
    assert len(clean) == NAME_CHARACTERS_MAX and clean.endswith("x.pdf")
    assert len(clean_name("x." + "y" * 5000, "file")) <= NAME_CHARACTERS_MAX


def test_a_picture_in_another_form_is_called_after_it():
    assert with_extension_of("photo.bmp", "image/png") == "photo.png"
    assert with_extension_of("photo.JPEG", "image/jpeg") == "photo.JPEG"
    assert with_extension_of("photo.php", "image/jpeg") == "photo.jpg"
    assert with_extension_of("photo", "image/jpeg") == "photo.jpg"
    assert with_extension_of("a.long-ending-that-is-none", "image/jpeg") == "a.long-ending-that-is-none.jpg"
