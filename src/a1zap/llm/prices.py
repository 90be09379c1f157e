"""What well-known models cost, as a help for budgets and never as a bill.

List prices for standard calls, without caching, batch or long-context rates, in US dollars for a million tokens.
Sources: openai.com/api/pricing, docs.anthropic.com "Pricing", ai.google.dev "Gemini API pricing", at second hand through
published comparisons of these pages, the newest of 2026-04-30. Prices change: correct them here, with the date.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from a1zap.llm.contract import Price

AS_OF: Final = "2026-04-30"

_USD_PER_MTOK: Final[Mapping[str, tuple[str, str]]] = {  # in, out
    "openai:gpt-4o": ("2.50", "10"),
    "openai:gpt-4o-mini": ("0.15", "0.60"),
    "openai:gpt-4.1": ("2", "8"),
    "openai:gpt-4.1-mini": ("0.40", "1.60"),
    "openai:gpt-4.1-nano": ("0.10", "0.40"),
    "openai:o4-mini": ("1.10", "4.40"),
    "openai:gpt-5": ("1.25", "10"),
    "openai:gpt-5-mini": ("0.25", "2"),
    "openai:gpt-5-nano": ("0.05", "0.40"),
    "openai:gpt-5.4": ("2.50", "15"),
    "openai:gpt-5.4-mini": ("0.75", "4.50"),
    "openai:gpt-5.5": ("5", "30"),
    "anthropic:claude-haiku-4-5": ("1", "5"),
    "anthropic:claude-sonnet-4-5": ("3", "15"),
    "anthropic:claude-sonnet-4-6": ("3", "15"),
    "anthropic:claude-opus-4-5": ("5", "25"),
    "anthropic:claude-opus-4-7": ("5", "25"),
    "google:gemini-2.0-flash": ("0.10", "0.40"),
    "google:gemini-2.5-flash-lite": ("0.10", "0.40"),
    "google:gemini-2.5-flash": ("0.30", "2.50"),
    "google:gemini-2.5-pro": ("1.25", "10"),
    "google:gemini-3.1-pro": ("2", "12"),
    "google:gemini-3.1-flash-lite": ("0.25", "1.50"),
}
# gpt-4.1-mini-2025-04-14, claude-sonnet-4-5-20250929, gemini-2.5-flash-preview-09-2025, …-latest, …-001
_VERSION: Final = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{3}|latest|preview(?:-\d{2}-(?:\d{2}|\d{4}))?)$")


def price_of(name: str) -> Price:
    """The list price of `provider:model`, dated versions included; `is_known` False where we have none."""
    found = _USD_PER_MTOK.get(name) or _USD_PER_MTOK.get(_VERSION.sub("", name))
    return Price() if found is None else Price(Decimal(found[0]), Decimal(found[1]), is_known=True)
