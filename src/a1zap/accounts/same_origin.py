"""Cross-site request forgery: may a request that a cookie signs in change anything?

A browser sends our cookie along with requests that foreign pages start. So whatever is not GET, HEAD or OPTIONS and
was signed in by the cookie alone must prove that one of our own pages sent it. Requests with an `Authorization` or
API-key header need no proof: no foreign page can add one. No token rides in forms: browsers say it themselves now.

1. `Sec-Fetch-Site` (every browser since 2023, over https and on localhost; no script can set it):
   `same-origin`, or `none` (typed by the user) is a proof. `same-site` and `cross-site` are the contrary, unless
   `Origin` is one of the allowed ones.
2. Without it (plain http in a local network, old browsers): `Origin`, else the origin of `Referer`, must be one of the
   allowed ones or name the same host and port as `Host`. A cookie belongs to a host, so a page of that host is ours.
3. With none of them there is no proof, and so no. A program should use an API key, not a cookie.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_same_origin(headers: Mapping[str, str], allowed_origins: Collection[str]) -> bool:
    """Whether the headers prove that one of our own pages sent the request, by the three rules above.

    `headers` by lower-case name (Starlette's are indifferent to case); `allowed_origins` like `https://a1.example.com`.
    """
    allowed = {_origin(origin) for origin in allowed_origins} - {None}
    site = headers.get("sec-fetch-site")
    if site in {"same-origin", "none"}:
        return True
    claimed = headers.get("origin")
    if site is not None:
        return claimed is not None and _origin(claimed) in allowed
    if claimed is None:
        claimed = headers.get("referer", "")
    origin = _origin(claimed)
    if origin is None:
        return False
    scheme, _, _ = origin
    return origin in allowed or origin == _origin(f"{scheme}://{headers.get('host', '')}")


def _origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an http(s) URL; None for anything else, `null` included."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port if port is not None else _DEFAULT_PORTS[parts.scheme]
