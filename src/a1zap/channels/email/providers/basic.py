"""Secrets that come in the Authorization header."""

from __future__ import annotations

import base64
import binascii

from a1zap.channels.contract import Posted


def bearer_in(posted: Posted) -> str | None:
    """The token after `Bearer`; None where there is none."""
    scheme, _, token = posted.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def basic_in(posted: Posted) -> tuple[str, str] | None:
    """User and password after `Basic`; None where there are none."""
    scheme, _, encoded = posted.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None
