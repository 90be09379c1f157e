"""The channels that the simulation runs over, by their kind."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.line_a1base import A1BaseLine
from tests.simulation.line_email import EmailLine
from tests.simulation.line_webhook import WebhookLine
from tests.simulation.line_whatsapp import WhatsAppLine
from tests.simulation.lines import Line

LINES: dict[str, Callable[..., Line]] = {
    line.kind: line for line in (A1BaseLine, WhatsAppLine, EmailLine, WebhookLine)
}
