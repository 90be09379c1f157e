"""Logs are events with keys. Only keys on this list come out, so that no text of a message ever does."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from a1zap.kit.settings import Settings

# Ids, counts, durations and the names of things: nothing that a person wrote, nothing that opens anything.
ALLOWED_KEYS = frozenset(
    (
        "event",
        "level",
        "timestamp",
        "logger",
        "exc_info",
        "exception",
        "stack",
        "attempt",
        "attempts",
        "answered",
        "action",
        "agent_id",
        "bytes",
        "channel",
        "chat_id",
        "code",
        "count",
        "did",
        "doing",
        "entry",
        "error",
        "error_type",
        "field",
        "held_reason",
        "hop",
        "host",
        "job",
        "kid",
        "kind",
        "limit",
        "message_id",
        "method",
        "model",
        "owner_id",
        "path",
        "port",
        "queue",
        "reason",
        "request_id",
        "route",
        "seq",
        "service",
        "size",
        "status",
        "step",
        "subject",
        "took_ms",
        "turn_id",
        "url_host",
        "version",
        "wait_s",
        "worker",
        "workers",
    )
)
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up_logging(settings: Settings) -> None:
    """Structured logs on stderr, for this process."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.is_log_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    level = _LEVELS.get(settings.log_level.lower(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _safe_exception,
            _only_allowed,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")


def _safe_exception(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The places an exception came through, without its message or any value: those may hold what people wrote."""
    error = event.pop("exc_info", None)
    if isinstance(error, BaseException):
        event["error_type"] = type(error).__name__
        frames: list[str] = []
        at = error.__traceback__
        while at is not None:
            frames.append(
                f"{at.tb_frame.f_code.co_filename.rsplit('/', 2)[-1]}:{at.tb_lineno} {at.tb_frame.f_code.co_name}"
            )
            at = at.tb_next
        event["stack"] = " > ".join(frames[-12:])
    return event


def _only_allowed(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in [k for k in event if k not in ALLOWED_KEYS]:
        del event[key]
    return event
