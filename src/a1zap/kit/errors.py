"""Whose move is it, and does trying again help?

* A1ZapError
  + Rejected         the caller asked for what we will not do     4xx, problem+json (RFC 9457)   never retried
    - NotFound · NotAllowed · NotSignedIn · Invalid · Conflict · OverLimit
  + Unavailable      the outside world failed us, for now         503                            retried
    - ChannelUnavailable · ModelUnavailable · NotConfigured

A bug is neither: nobody catches it, it fails the turn, and it is seen.
"""

from __future__ import annotations


class A1ZapError(Exception):
    """Root of what we raise on purpose. `str(error)` may be shown to a person and holds no message text or secret."""

    status = 500
    title = "Something went wrong"


class Rejected(A1ZapError):
    """The caller asked for what we will not do; trying again as it stands does not help."""

    status = 400
    title = "Rejected"

    def __init__(self, detail: str, *, field: str | None = None, value: object = None) -> None:
        super().__init__(detail)
        self.field = field
        self.value = value


class Invalid(Rejected):
    status = 422
    title = "Invalid"


class Malformed(Rejected):
    status = 400
    title = "Malformed"


class TooLarge(Rejected):
    status = 413
    title = "Too large"


class NotSignedIn(Rejected):
    status = 401
    title = "Not signed in"


class NotAllowed(Rejected):
    status = 403
    title = "Not allowed"


class NotFound(Rejected):
    status = 404
    title = "Not found"


class Conflict(Rejected):
    status = 409
    title = "Conflict"


class OverLimit(Rejected):
    """A plan, a budget or a rate is used up; `retry_after_s` says when trying again may help, if ever."""

    status = 429
    title = "Over the limit"

    def __init__(self, detail: str, *, retry_after_s: float | None = None, field: str | None = None) -> None:
        super().__init__(detail, field=field)
        self.retry_after_s = retry_after_s


class Unavailable(A1ZapError):
    """The outside world failed us, for now; `retry_after_s` is its own wish, where it said one."""

    status = 503
    title = "Unavailable"

    def __init__(self, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class ChannelUnavailable(Unavailable):
    title = "Channel unavailable"


class ModelUnavailable(Unavailable):
    title = "Model unavailable"


class NotConfigured(Unavailable):
    """A secret or an address that the operator or owner must set is missing: we refuse instead of skipping the check."""

    title = "Not configured"
