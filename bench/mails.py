"""Part `email`: mails read a second, parsing and reply extraction, through the child with its limits, on one core."""

from __future__ import annotations

import base64
import os
import random
import time
from dataclasses import asdict, dataclass
from email.message import EmailMessage

from a1zap.channels.email.bounded import MailReader
from bench.measure import Say, percentile
from bench.plan import Plan
from bench.processes import cpu_s

MAILS = 300
_WORDS = [
    "invoice",
    "delivery",
    "thank",
    "you",
    "could",
    "please",
    "tell",
    "me",
    "when",
    "our",
    "order",
    "comes",
    "and",
    "what",
    "it",
    "costs",
    "with",
    "kind",
    "regards",
]


@dataclass(frozen=True, slots=True)
class Read:
    """What one core does: our process and the child are both bound to it, and take turns.

    `mails_per_cpu_s` is by the CPU seconds of both, `mails_per_s` by the clock (less, where others work on that core).
    Sizes are of the raw mails.
    """

    mails: int
    mails_per_cpu_s: float
    mails_per_s: float
    p50_ms: float
    p99_ms: float
    p50_bytes: int
    max_bytes: int
    with_problems: int

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


async def measure_email(plan: Plan, say: Say) -> Read:
    """Read some hundred different mails of 2 to 20 KB, as Gmail, Outlook and Apple Mail shape them, again and again."""
    mails = typical_mails(MAILS)
    reader = MailReader()
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # the child inherits it
    try:
        await reader.read(mails[0])
        times_s: list[float] = []
        with_problems = 0
        used_s, began = cpu_s(os.getpid()), time.perf_counter()
        while time.perf_counter() - began < plan.window_s * plan.windows / 2:
            for raw in mails:
                at = time.perf_counter()
                mail = await reader.read(raw)
                times_s.append(time.perf_counter() - at)
                with_problems += bool(mail.problems)
        took_s, used_s = time.perf_counter() - began, cpu_s(os.getpid()) - used_s
    finally:
        os.sched_setaffinity(0, cores)
        await reader.close()
    sizes = [len(raw) for raw in mails]
    found = Read(
        len(times_s),
        len(times_s) / used_s,
        len(times_s) / took_s,
        percentile(times_s, 0.5) * 1000,
        percentile(times_s, 0.99) * 1000,
        int(percentile(sizes, 0.5)),
        max(sizes),
        with_problems,
    )
    say(f"{found.mails_per_cpu_s:.0f} mails a CPU second, {found.mails_per_s:.0f} by the clock")
    return found


def typical_mails(count: int, seed: int = 7) -> list[bytes]:
    """Replies with a quoted past and two dozen header fields; two in three with HTML beside or instead of the text."""
    chance = random.Random(seed)
    return [_mail(chance, number) for number in range(count)]


def _mail(chance: random.Random, number: int) -> bytes:
    mail = EmailMessage()
    for hop in range(chance.randint(3, 8)):
        mail["Received"] = (
            f"from mx{hop}.example.net (mx{hop}.example.net [192.0.2.{hop}]) by in.example.org with ESMTPS "
            f"id {chance.getrandbits(64):x} for <agent@in.example.org>; Mon, 3 Nov 2025 10:0{hop}:00 +0000"
        )
    for name in ("DKIM-Signature", "ARC-Seal", "ARC-Message-Signature", "X-Google-DKIM-Signature"):
        mail[name] = f"v=1; a=rsa-sha256; d=example.com; b={base64.b64encode(chance.randbytes(256)).decode()}"
    mail["Authentication-Results"] = (
        "mx.in.example.org; dkim=pass header.d=example.com; spf=pass; dmarc=pass (p=none)"
    )
    mail["From"] = f"Jürgen Example <writer{number}@example.com>"
    mail["To"] = ", ".join(f"Person {n} <person{n}@example.org>" for n in range(chance.randint(1, 6)))
    mail["Subject"] = f"Re: Größe der Bestellung {number}"
    mail["Message-ID"] = f"<{chance.getrandbits(64):x}@mail.example.com>"
    mail["In-Reply-To"] = f"<{chance.getrandbits(64):x}@in.example.org>"
    mail["References"] = " ".join(
        f"<{chance.getrandbits(64):x}@in.example.org>" for _ in range(chance.randint(1, 9))
    )
    mail["Date"] = "Mon, 03 Nov 2025 11:00:00 +0100"
    said, past = _prose(chance, chance.randint(1, 6)), _prose(chance, chance.randint(5, 40))
    intro = "On Mon, Nov 3, 2025 at 9:12 AM Agent <agent@in.example.org> wrote:"
    text = f"{said}\n\n{intro}\n\n" + "\n".join(f"> {line}" for line in past.splitlines())
    html = "".join(f"<p style='margin:0;font-family:Arial'>{line}</p>" for line in said.splitlines())
    html += f"<div class='gmail_quote'>{intro}<blockquote>{past.replace(chr(10), '<br>')}</blockquote></div>"
    if number % 6 == 5:
        mail.set_content(f"<html><body>{html}</body></html>", subtype="html")
        return bytes(mail)
    mail.set_content(text)
    if number % 3:
        mail.add_alternative(f"<html><body>{html}</body></html>", subtype="html")
    if number % 10 == 0:
        mail.add_attachment(chance.randbytes(3000), maintype="image", subtype="png", filename="logo.png")
    return bytes(mail)


def _prose(chance: random.Random, lines: int) -> str:
    return "\n".join(" ".join(chance.choices(_WORDS, k=10)) for _ in range(lines))
