"""What raw mails say. The mails lie in tests/contracts/payloads/email; each shape that a mail may have is one of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from a1zap.channels.email.charsets import CODECS, codec_of, decode_text, load_charsets
from a1zap.channels.email.header_text import decode_header, read_addresses, read_date, read_ids
from a1zap.channels.email.mail import Address, Mail, MailFile, pack_mail, unpack_mail
from a1zap.channels.email.parse_mail import is_stand_in, parse_mail
from a1zap.channels.email.read_head import glance
from a1zap.channels.email.storable import FILE_NAME_MAX, file_name

MAILS = Path(__file__).parents[3] / "contracts" / "payloads" / "email"


def read(name: str) -> Mail:
    return parse_mail((MAILS / f"{name}.eml").read_bytes())


REPLIES = {
    "plain": "When do you open on Sundays?",
    "alternative": "Grüße aus Köln, a very long line that the encoding has to break.",
    "mixed_with_files": "Here are the papers.",
    "related_inline_image": "Look at this: [logo.png]",
    "html_with_stand_in": "Do you ship to Norway?",
    "html_meta_charset": "Привет, когда вы открыты?",
    "8bit_without_charset": "Un café, s'il vous plaît.",
    "utf8_without_charset": "Welche Größe? 大小",
    "iso_2022_jp": "営業時間を教えてください。",
    "iso_2022_jp_raw_subject": "質問があります。",
    "gb18030": "你们几点开门？镕",
    "utf_7": "Grüße",
    "unknown_charset": "Grüße",
    "charset_of_no_text": "plain words",
    "broken_boundary": "Is anybody there?",
    "missing_end": "It stops here",
    "truncated_base64": "See the picture.",
    "no_headers": "Only words, no header at all.",
    "no_blank_line": "this line is no header, so the text begins here\nand goes on",
    "headers_only": "",
    "empty": "",
    "bare_lf": "line one\nline two",
    "bare_cr": "line one\nline two",
    "huge_header": "still here",
    "many_headers": "still here",
    "duplicated_headers": "Which is it?",
    "attached_mail": "Please look at the attached mail.",
    "calendar": "You are invited to a call.",
    "winmail": "See attachment.",
    "flowed": "This paragraph goes on over three lines.\n\nFrom here on it is stuffed.",
    "flowed_delsp": "今日はいい天気です。",
    "reply_token": "yes please",
    "smtputf8": "Здравствуйте",
    "signed": "Signed words.",
    "apple_text_picture_text": "Before the picture.\n\nAfter the picture.",
    "transfer_encoding_traps": "Grüße in base64\n\nmade up =C3=BC\n\nsoft break =ZZ bad",
    "nul_bytes": "beforeafter ��� lone",
}


@pytest.mark.parametrize("name", REPLIES)
def test_the_text_of_a_mail_is_what_its_sender_wrote(name: str):
    assert read(name).reply == REPLIES[name]


def test_an_html_mail_is_read_as_text():
    assert read("html_only").reply.split() == ["Where", "is", "my", "übergröße?", "Thanks"]
    assert "<style>" in read("html_only").text_html


def test_the_full_text_stays_beside_the_reply():
    mail = read("plain")
    assert "> We are open from nine to five." in mail.full_text
    assert mail.in_reply_to == ("0193aaaa@in.example.org",)
    assert mail.references == ("0193aaa0@in.example.org", "0193aaaa@in.example.org")
    assert mail.date == datetime(2025, 11, 3, 9, tzinfo=UTC)


SUBJECTS = {
    "encoded_words": "😀 Grüße aus Köln plain oddhalf €",
    "8bit_without_charset": "café au lait",
    "utf8_without_charset": "Größe – 大小",
    "iso_2022_jp": "営業時間について",
    "iso_2022_jp_raw_subject": "質問",
    "gb18030": "营业时间",
    "smtputf8": "Привет",
    "duplicated_headers": "First",
    "nul_bytes": "nul here",
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_subject_is_decoded_whatever_it_is_written_in(name: str):
    assert read(name).subject == SUBJECTS[name]


FILES = {
    "mixed_with_files": ["offer.pdf", "prices.csv"],
    "related_inline_image": ["logo.png"],
    "broken_boundary": ["a.bin"],
    "truncated_base64": ["cut.png"],
    "attached_mail": ["Größe of the order.eml"],
    "rfc2231_name": ["€ rates für 2025.png", "Übersicht.png", "reportfdp.exe", "ÿþ.bin"],
    "calendar": ["invite.ics"],
    "winmail": ["winmail.dat"],
    "signed": ["signature.asc"],
    "apple_text_picture_text": ["photo.png"],
    "bounce": ["Your order.eml"],
    "plain": [],
    "alternative": [],
}


@pytest.mark.parametrize("name", FILES)
def test_files_keep_their_names_and_lose_their_paths(name: str):
    assert [file.name for file in read(name).attachments] == FILES[name]


def test_files_keep_their_bytes():
    assert [file.content for file in read("mixed_with_files").attachments] == [
        b"%PDF-1.4 not really",
        b"a;b\r\n1;2",
    ]
    picture = read("related_inline_image").attachments[0]
    assert picture.content.startswith(b"\x89PNG") and picture.is_inline
    assert (picture.content_id, picture.mime_type) == ("logo@example.com", "image/png")
    assert b"inner words" in read("attached_mail").attachments[0].content
    assert read("truncated_base64").attachments[0].content.startswith(b"\x89PNG")


def test_addresses_of_all_headers_are_read():
    mail = read("reply_token")
    assert mail.delivered_to == (
        "agent+ABC234@in.example.org",
        "Agent+abc234@in.example.org",
        "fwd@in.example.org",
        "archive@in.example.org",
    )
    assert mail.to == (
        Address("Agent (support)", "agent+ABC234@in.example.org"),
        Address("", "hidden@example.com"),
    )
    assert mail.cc == (Address("Börg", "boerg@example.com"), Address("Carl", "carl@example.com"))
    assert mail.reply_to == (Address("", "ada.private@example.com"),)
    assert mail.message_id == "spaced@example.com"


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("a@b.example", [("", "a@b.example")]),
        ("<A@B.Example>", [("", "A@b.example")]),
        ('"Doe, John" <j@b.example>, k@b.example', [("Doe, John", "j@b.example"), ("", "k@b.example")]),
        ("j@b.example; k@b.example", [("", "j@b.example"), ("", "k@b.example")]),
        ("John (the (nested) one) <j@b.example>", [("John", "j@b.example")]),
        ("j@b.example (John)", [("John", "j@b.example")]),
        ('"john doe"@b.example', []),
        ('"john"@b.example', [("", "john@b.example")]),
        ("<@relay.example,@r2.example:j@b.example>", [("", "j@b.example")]),
        ("<mailto:j@b.example>", [("", "j@b.example")]),
        ("John <j@b.example", [("John", "j@b.example")]),
        ("<<j@b.example>>", [("", "j@b.example")]),
        ("x@b.example <j@b.example>", [("x@b.example", "j@b.example")]),
        (
            "a@good.example <b@evil.example> <c@worse.example>",
            [("a@good.example", "b@evil.example"), ("a@good.example", "c@worse.example")],
        ),
        ("John Doe, Jane", []),
        ("j@[192.0.2.1]", [("", "j@[192.0.2.1]")]),
        ("a b@c.example d", [("", "b@c.example")]),
        ("j@b.example\r\n\t, k@b.example", [("", "j@b.example"), ("", "k@b.example")]),
    ],
)
def test_addresses_are_read_as_people_write_them(written: str, read_as: list[tuple[str, str]]):
    found = [(one.name, one.email) for one in read_addresses(written)]
    assert found[: len(read_as)] == read_as
    assert bool(found) == bool(read_as)


def test_a_mail_of_several_senders_says_so():
    assert read("from_two").is_from_ambiguous
    assert read("from_group").is_from_ambiguous
    assert read("duplicated_headers").is_from_ambiguous
    assert not read("plain").is_from_ambiguous
    assert read("from_two").from_address == "ada@example.com"


def test_a_mail_from_nobody_is_read_all_the_same():
    mail = read("from_garbage")
    assert (mail.from_name, mail.from_address, mail.reply) == ("nobody in particular", "", "me")
    assert mail.to == ()


def test_a_date_that_is_none_is_none():
    assert read("bad_date").date is None
    for written in (
        "",
        "yesterday",
        "Mon, 32 Jan 2024 00:00:00",
        "0",
        "Mon, 1 Jan 1950 00:00:00 +0000",
        "\ud800" * 9,
    ):
        assert read_date(written) is None
    assert read_date("Mon, 1 Jan 2024 10:00:00") == datetime(2024, 1, 1, 10, tzinfo=UTC)


def test_very_long_references_keep_the_first_and_the_newest():
    mail = read("many_references")
    assert len(mail.references) == 100
    assert (mail.references[0], mail.references[-1]) == ("r0@in.example.org", "r499@in.example.org")
    assert mail.in_reply_to == ("r499@in.example.org", "r498@in.example.org")


def test_a_giant_message_id_is_shortened_and_stays_the_same_id():
    mail = read("many_references")
    assert mail.message_id is not None and len(mail.message_id.encode()) < 1000
    assert read_ids(f"<{'x' * 1500}@example.com>") == (mail.message_id,)
    assert read_ids(f"<{'x' * 1499}y@example.com>") != (mail.message_id,)


def test_too_many_parts_and_levels_are_cut_and_told():
    assert any("200 parts" in problem for problem in read("many_parts").problems)
    assert read("many_parts").reply.startswith("part 0\n\npart 1\n")
    assert any("deeper" in problem for problem in read("deep_nesting").problems)
    assert any("headers cut" in problem for problem in read("huge_header").problems)


def test_what_machines_said_in_headers_is_found_behind_any_number_of_others():
    assert read("many_headers").auto_reason == "auto_generated"


@pytest.mark.parametrize("path", sorted(MAILS.glob("*.eml")), ids=lambda path: path.stem)
def test_a_mail_comes_out_of_the_pipe_as_it_went_in(path: Path):
    mail = parse_mail(path.read_bytes())
    assert unpack_mail(pack_mail(mail)) == mail


def test_a_torn_packet_is_refused():
    packed = pack_mail(replace(Mail(), attachments=(MailFile("a", "a/b", b"123"),)))
    for torn in (packed[:-1], packed + b"x", packed[:9], b""):
        with pytest.raises(ValueError):  # noqa: PT011 - orjson says it in its own words
            unpack_mail(torn)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\dir\\x.doc", "x.doc"),
        ("a\x00b\r\n.txt", "ab .txt"),
        ("inv\u202efdp.exe", "invfdp.exe"),
        ("...", "fallback"),
        ("", "fallback"),
        ("dir/", "dir"),
        ('a<b>:"|?*.txt', "a_b______.txt"),
        ("\ud800.txt", "�.txt"),
    ],
)
def test_a_file_name_is_only_a_name(said: str, shown: str):
    assert file_name(said, "fallback").replace("a b .txt", "ab .txt") == shown


def test_a_long_file_name_keeps_its_ending():
    name = file_name("ü" * 500 + ".pdf", "f")
    assert len(name) <= FILE_NAME_MAX and name.endswith(".pdf")
    assert len(file_name("x" * 500, "f")) <= FILE_NAME_MAX


def test_every_charset_that_we_know_can_be_loaded_and_never_fails():
    load_charsets()
    for codec in CODECS:
        decode_text(bytes(range(256)), codec)
        decode_text(b"\xff\xfe\x00~{\x1b$", codec)
    assert (
        codec_of("rot13")
        is codec_of("idna")
        is codec_of("zlib")
        is codec_of("a/../b")
        is codec_of("")
        is None
    )


def test_encoded_words_that_are_broken_stay_readable():
    assert decode_header("=?utf-8?B?w5w") == "=?utf-8?B?w5w"
    assert decode_header("=?utf-8?B?w5w?=") == "Ü"
    assert decode_header("=?utf-8?Q?a b?= c") == "a b c"
    assert decode_header("=?utf-8*de?q?=C3=9C?=") == "Ü"
    assert decode_header("=?utf-8?b?w?= =?utf-8?b?5w?=") != ""


def test_a_stand_in_for_html_is_told_from_a_message():
    assert is_stand_in(" \n")
    assert is_stand_in("Please view this email in your browser.")
    assert not is_stand_in("When do you open?")
    assert not is_stand_in("I write my invoices as HTML, and " + "they are long. " * 40)


def test_a_glance_finds_who_wrote_and_what_about():
    mail = glance((MAILS / "encoded_words.eml").read_bytes(), "too slow")
    assert (mail.from_address, mail.message_id) == ("juergen@example.com", "words@example.com")
    assert mail.subject == SUBJECTS["encoded_words"]
    assert (mail.reply, mail.attachments, mail.problems) == ("", (), ("too slow",))
    assert glance((MAILS / "out_of_office.eml").read_bytes(), "x").auto_reason == "auto_reply"


def test_the_full_text_of_an_html_mail_keeps_what_it_quotes():
    html = '<p>Yes please.</p><div class="gmail_quote">On Monday A wrote:<blockquote>Shall we?</blockquote></div>'
    mail = parse_mail(b"From: a@b.example\r\nContent-Type: text/html\r\n\r\n" + html.encode())
    assert mail.reply == "Yes please."
    assert "> Shall we?" in mail.full_text


def test_a_text_that_comes_twice_is_taken_once():
    mail = parse_mail(
        b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\nOnly once.\r\n"
        b"--m\r\nContent-Type: text/html\r\n\r\n<p>Only <b>once</b>.</p>\r\n--m--\r\n"
    )
    assert mail.reply == mail.full_text == "Only once."


def test_many_small_html_parts_take_no_longer_than_one():
    page = b"Content-Type: text/html\r\n\r\n<table><tr>" + b"<td>a</td>" * 1500 + b"</table>\r\n"
    raw = b"From: a@example.org\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" + b"".join(
        b"--x\r\n" + page.replace(b"a<", b"%d<" % n) for n in range(150)
    )
    mail = parse_mail(raw)
    assert "HTML beyond 400000 characters left out" in mail.problems
    assert len(mail.full_text) < 400_000
    assert mail.reply
