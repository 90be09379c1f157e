"""Is the sender who the mail says? After RFC 8601 and RFC 7489.

Whoever writes a mail writes its headers too. So of the `Authentication-Results` under the name of our
own server only the topmost counts; that server must remove such headers from what comes in (RFC 8601 §5), which nobody
can check from here. A provider's verdict comes beside the mail and takes its place.

Two domains are aligned when they are the same or one is below the other. Without the public suffix list this is a
little narrower than RFC 7489 (siblings below one organisation do not align) and a little wider (below a domain that
lets strangers have subdomains); `dmarc=pass`, which comes first, is judged by the server with that list.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from a1zap.channels.email.mail import Mail

_RESULTS_MAX: Final = 100
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[();]|[^"();]+|"', re.DOTALL)
_PAIR = re.compile(r'([\w.\-/]{1,80})\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]+)', re.DOTALL)
_POLICY = re.compile(r"\bp\s*=\s*(none|quarantine|reject)\b", re.IGNORECASE)
_POLICY_PROPERTIES: Final = ("policy.dmarc", "policy.published-domain-policy", "policy.p", "action")
_ENFORCED: Final = frozenset({"reject", "oreject", "quarantine"})


class Verdicts(Protocol):
    """What a provider that took the mail found out: results in lower case (`pass`, `fail`, `none`), '' for unsaid."""

    @property
    def spf(self) -> str: ...
    @property
    def spf_domain(self) -> str: ...
    @property
    def dkim(self) -> str: ...
    @property
    def dkim_domains(self) -> Sequence[str]: ...
    @property
    def dmarc(self) -> str: ...
    @property
    def dmarc_policy(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Checked:
    """What counts of it. `dkim_domains` and `spf_domain` are those that passed; `dmarc_from` is whom DMARC looked at."""

    dmarc: str = ""
    dmarc_policy: str = ""
    dmarc_from: str = ""
    dkim_domains: tuple[str, ...] = ()
    spf_domain: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """`is_forged`: the domain's owner asks that such mail be refused; hold it. `why` is for the log and the owner."""

    is_proven: bool
    is_forged: bool
    why: str


@dataclass(frozen=True, slots=True)
class AuthResult:
    """One `method=result` with its properties (`header.d`) and the text of its comments."""

    method: str
    result: str
    properties: dict[str, str]
    comment: str


def is_sender_proven(
    mail: Mail, our_authserv_ids: Collection[str], provider_verdicts: Verdicts | None = None
) -> Proof:
    """Decide by what our own server or provider found. Nothing found, or in doubt: not proven, not forged."""
    domain = mail.from_address.rpartition("@")[2]
    if not domain:
        return Proof(is_proven=False, is_forged=False, why="no sender address")
    found = _told_by(provider_verdicts) or _written_in(mail, our_authserv_ids)
    if found is None:
        return Proof(is_proven=False, is_forged=False, why="nobody we trust checked it")
    if found.dmarc == "fail":
        is_forged = found.dmarc_policy in _ENFORCED
        return Proof(
            is_proven=False, is_forged=is_forged, why=f"dmarc=fail, policy {found.dmarc_policy or 'unknown'}"
        )
    if mail.is_from_ambiguous:
        return Proof(is_proven=False, is_forged=False, why="more than one sender")
    if found.dmarc_from and _domain(found.dmarc_from) != _domain(domain):
        return Proof(is_proven=False, is_forged=False, why="another sender was checked")
    if found.dmarc == "pass":
        return Proof(is_proven=True, is_forged=False, why="dmarc=pass")
    if any(is_aligned(domain, signer) for signer in found.dkim_domains):
        return Proof(is_proven=True, is_forged=False, why="dkim=pass, aligned")
    if found.spf_domain and is_aligned(domain, found.spf_domain):
        return Proof(is_proven=True, is_forged=False, why="spf=pass, aligned")
    return Proof(is_proven=False, is_forged=False, why="nothing passed for this domain")


def is_aligned(from_domain: str, proven_domain: str) -> bool:
    """The same domain, or one below the other; a top-level domain is aligned with nothing."""
    a, b = _domain(from_domain), _domain(proven_domain)
    if "." not in a or "." not in b:
        return False
    return a == b or a.endswith(f".{b}") or b.endswith(f".{a}")


def read_authentication_results(value: str) -> tuple[str, list[AuthResult]]:
    """The id of the server that checked, and its results; ('', []) where the value says nothing readable."""
    sections: list[tuple[str, str]] = []
    text, comment, depth = "", "", 0
    for piece in _TOKEN.findall(value):
        if piece in "()":
            depth = max(0, depth + (1 if piece == "(" else -1))
            comment += " "
        elif depth:
            comment += piece
        elif piece == ";":
            sections.append((text, comment))
            text, comment = "", ""
        else:
            text += piece
    sections.append((text, comment))
    server = sections[0][0].strip().partition(" ")[0].strip('"').lower()
    results = [_result(text, comment) for text, comment in sections[1:_RESULTS_MAX]]
    return server, [found for found in results if found]


def _result(text: str, comment: str) -> AuthResult | None:
    pairs = [(name.lower(), value.strip('"')) for name, value in _PAIR.findall(text)]
    if not pairs:
        return None
    (method, result), *properties = pairs
    named: dict[str, str] = {}
    for name, value in properties:
        named.setdefault(name, value)
    return AuthResult(method.partition("/")[0], result.lower(), named, comment.strip())


def _told_by(provider: Verdicts | None) -> _Checked | None:
    """The provider's verdicts; None where it gave none."""
    if provider is None or {provider.spf, provider.dkim, provider.dmarc} <= {"", "none"}:
        return None
    return _Checked(
        dmarc=provider.dmarc.lower(),
        dmarc_policy=provider.dmarc_policy.lower(),
        dkim_domains=tuple(provider.dkim_domains) if provider.dkim == "pass" else (),
        spf_domain=provider.spf_domain if provider.spf == "pass" else "",
    )


def _written_in(mail: Mail, our_authserv_ids: Collection[str]) -> _Checked | None:
    ours = {one.lower() for one in our_authserv_ids}
    for value in mail.headers.every("authentication-results"):
        server, results = read_authentication_results(value)
        if server and server in ours:
            return _checked(results)
    return None


def _checked(results: list[AuthResult]) -> _Checked:
    said = [found for found in results if found.method == "dmarc"]
    # One server says it once. Where it seems to say two things, one of them was slipped in: never the bad news.
    dmarc = next((found for found in said if found.result != "pass"), said[0] if said else None)
    spf = next((found for found in results if found.method == "spf" and found.result == "pass"), None)
    signers = [
        found.properties.get("header.d") or found.properties.get("header.i", "").rpartition("@")[2]
        for found in results
        if found.method == "dkim" and found.result == "pass"
    ]
    return _Checked(
        dmarc=dmarc.result if dmarc else "",
        dmarc_policy=_policy(dmarc) if dmarc else "",
        dmarc_from=dmarc.properties.get("header.from", "").rpartition("@")[2] if dmarc else "",
        dkim_domains=tuple(signer for signer in signers if signer),
        spf_domain=spf.properties.get("smtp.mailfrom", "").rpartition("@")[2] if spf else "",
    )


def _policy(dmarc: AuthResult) -> str:
    """What the domain's owner asks for. RFC 8601 has no place for it, so servers write it where they like."""
    for name in _POLICY_PROPERTIES:
        if said := dmarc.properties.get(name):
            return said.lower()
    said = _POLICY.search(dmarc.comment)
    return said[1].lower() if said else ""


def _domain(said: str) -> str:
    return said.strip(" .<>").lower()
