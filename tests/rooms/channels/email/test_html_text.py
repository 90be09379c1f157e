from __future__ import annotations

import time

import pytest

from a1zap.channels.email.html_text import html_to_reply_text

ANSWER = "<div>Fine, see you then.</div><div><br></div><div>Ann</div>"
EXPECTED = ["Fine,", "see", "you", "then.", "Ann"]
WROTE = "On Mon, Feb 8, 2021 at 9:12 AM Bob &lt;bob@stone.example&gt; wrote:<br>"
BELOW = "<div>Shall we meet?</div>"
OUTLOOK_HEADERS = "<b>From:</b> Bob<br><b>Sent:</b> Monday<br>"

MAILS = {
    "Gmail": f'<div dir="ltr">{ANSWER}</div><br><div class="gmail_quote"><div class="gmail_attr">{WROTE}</div><blockquote class="gmail_quote" style="margin:0 0 0 .8ex">{BELOW}</blockquote></div>',
    "Apple Mail": f'<body>{ANSWER}<div><br><blockquote type="cite"><div>{WROTE}</div>{BELOW}</blockquote></div></body>',
    "Apple Mail, intro outside": f'{ANSWER}<div>{WROTE}</div><blockquote type="cite">{BELOW}</blockquote>',
    "Thunderbird": f'<p>{ANSWER}</p><div class="moz-cite-prefix">On 2/8/21 9:12 AM, Bob wrote:<br></div><blockquote type="cite" cite="mid:x">{BELOW}</blockquote>',
    "Thunderbird, reply below": f'<div class="moz-cite-prefix">On 2/8/21 9:12 AM, Bob wrote:<br></div><blockquote type="cite">{BELOW}</blockquote>{ANSWER}',
    "Outlook": f'<style>p{{}}</style><div class="WordSection1">{ANSWER}<div><div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0in 0in 0in">{OUTLOOK_HEADERS}</div></div>{BELOW}</div>',
    "Outlook on the web": f'{ANSWER}<div id="appendonsend"></div><hr><div id="divRplyFwdMsg">{OUTLOOK_HEADERS}</div>{BELOW}',
    "Outlook, headers only": f"{ANSWER}<hr><div><b>From:</b> Bob &lt;bob@stone.example&gt;<br><b>Sent:</b> Monday 9:12<br><b>To:</b> Ann<br><b>Subject:</b> Us</div>{BELOW}",
    "Outlook for Mac": f'{ANSWER}<span id="OLK_SRC_BODY_SECTION">{OUTLOOK_HEADERS}{BELOW}</span>',
    "Yahoo": f'{ANSWER}<div id="ydp1234yahoo_quoted_5" class="ydp1234yahoo_quoted"><div>On Monday, Bob wrote:</div>{BELOW}</div>',
    "Proton": f'{ANSWER}<div class="protonmail_quote">{WROTE}<blockquote class="protonmail_quote" type="cite">{BELOW}</blockquote></div>',
    "Hotmail": f'{ANSWER}<hr id="stopSpelling">{OUTLOOK_HEADERS}{BELOW}',
    "forwarded through Exchange": f'{ANSWER}<div id="x_divRplyFwdMsg">{OUTLOOK_HEADERS}</div>{BELOW}',
    "a marked signature": f'{ANSWER}<div class="moz-signature">-- <br>Ann Field, Fields Ltd</div>',
    "a phone's signature": f'{ANSWER}<div id="ms-outlook-mobile-signature">Hol dir <a href="x">Outlook</a></div>',
    "German": f'{ANSWER}<div class="gmail_quote">Am Mo., 8. Feb. 2021 um 09:12 Uhr schrieb Bob &lt;<a href="mailto:b@s.example">b@s.example</a>&gt;:<br><blockquote class="gmail_quote">{BELOW}</blockquote></div>',
}


@pytest.mark.parametrize("program", MAILS)
def test_the_quotes_of_every_mail_program_are_recognised(program):
    assert html_to_reply_text(MAILS[program]).split() == EXPECTED


def test_answers_between_quotes_keep_them():
    page = (
        '<div>Hi Bob,</div><blockquote type="cite">Shall we meet?</blockquote><div>Yes.</div>'
        '<blockquote type="cite">Where?<blockquote>At yours?</blockquote></blockquote><div>At mine.</div>'
    )
    lines = [line for line in html_to_reply_text(page).split("\n") if line.strip(" >")]
    assert lines == ["Hi Bob,", "> Shall we meet?", "Yes.", "> Where?", "> At yours?", "At mine."]


def test_a_mail_handed_on_without_a_word_is_whole():
    page = f'<div class="gmail_quote"><div>---------- Forwarded message ---------<br>From: Bob</div>{BELOW}</div>'
    assert "Shall we meet?" in html_to_reply_text(page)
    assert "Shall we meet?" in html_to_reply_text(f'<div id="divRplyFwdMsg">{OUTLOOK_HEADERS}</div>{BELOW}')


def test_lists_tables_and_lines_are_laid_out():
    page = "<p>Two&nbsp;things:<br>now</p><ul><li>one</li><li>two</li></ul><table><tr><td>a</td><td>b</td></tr></table>"
    assert html_to_reply_text(page) == "Two things:\nnow\n\n  * one\n  * two\na  b"


def test_what_is_not_shown_is_not_read():
    page = (
        "<title>no</title><style>no</style><script>no</script><!-- no --><p>Data: yes</p>"
        f'<img src="data:image/png;base64,{"A" * 3_000_000}"><p>and yes</p>'
    )
    assert html_to_reply_text(page).split() == ["Data:", "yes", "and", "yes"]


def test_an_indented_paragraph_is_no_quote():
    page = '<p>As agreed:</p><blockquote style="margin:0 0 0 40px;border:none;padding:0px">two kayaks</blockquote>'
    assert html_to_reply_text(page).split() == ["As", "agreed:", "two", "kayaks"]


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("", ""),
        ("   ", ""),
        ("just text &amp; more", "just text & more"),
        ("<div><p>Hello <b>you", "Hello you"),
        ("<p>a\0b</p>", "ab"),
        ("<p>a\ud800b</p>", "a?b"),
        ("a < b", "a < b"),
        ("<?xml version='1.0' encoding='utf-16'?><p>Hi</p>", "Hi"),
        ("<p>\ue0f0Hi\ue0f2 you</p>", "Hi you"),
        ("</p></div>Hi", "Hi"),
    ],
)
def test_odd_pages_are_read_as_well_as_can_be(page, text):
    assert html_to_reply_text(page) == text


HOSTILE = {
    "deep": "<div>" * 50_000 + "x",
    "deep and closed": "<div>" * 5_000 + "x" + "</div>" * 5_000,
    "paragraphs": "<p>hello world this is text</p>" * 40_000,
    "breaks": "x<br>" * 260_000,
    "tables": "<table><tr><td>x</td></tr></table>" * 30_000,
    "a long table": "<table>" + "<tr><td>x</td><td>y</td></tr>" * 40_000,
    "a wide table": "<table><tr>" + "<td>x</td>" * 12_000,
    "nested tables": "<table><tr><td>" * 2_000 + "x",
    "nested tables with text": "<table><tr><td>" * 40 + "x<br>" * 5_000,
    "a wide cell": "<table><tr><td colspan=100000000>x</td></tr></table>",
    "nested lists": "<ul>" * 200 + "<li>x" * 5_000,
    "quotes": "<blockquote>a</blockquote>b" * 3_000,
    "nested quotes": "<blockquote>" * 3_000 + "x",
    "styles": "<style>" * 100_000,
    "styles that close": "<style>a</style>" * 50_000 + "x",
    "comments": "<!-- " * 100_000,
    "brackets": "<" * 1_000_000,
    "ampersands": "&" * 500_000,
    "attributes": "<a " + "x=y " * 100_000 + ">hi",
    "classes": '<a class="' + "x_ " * 40_000 + '">hi',
    "ends": "<div id=yahoo_quoted>" * 5_000,
    "rules": ('<div style="' + "border-top: " * 100 + '">x') * 100,
    "closing tags": "</p>" * 100_000,
    "big": "<p>x</p>" * 2_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_page_takes_long(name):
    took: list[float] = []
    for _ in range(3):
        start = time.process_time()
        html_to_reply_text(HOSTILE[name])
        took.append(time.process_time() - start)
    assert min(took) < 0.1
