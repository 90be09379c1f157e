"""Times as providers write them."""

from __future__ import annotations

from datetime import UTC, datetime


def said_at(value: str, now: datetime) -> datetime:
    """ISO 8601; `now` where it is something else, and never in the future."""
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return now
    return min(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC), now)
