"""What the HTTP face counts about itself, for Prometheus. One set an app: nothing is shared between two in a process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Meters:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "a1zap_http_requests",
            "Requests answered, by route template, method and status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._durations = Histogram(
            "a1zap_http_request_duration_seconds",
            "Seconds until a request was answered whole; live streams are not in here.",
            ("route",),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.open_streams = Gauge(
            "a1zap_live_streams_open", "Live event streams being watched.", registry=self.registry
        )
        self.waiting = Gauge(
            "a1zap_queue_waiting", "Entries waiting in a queue.", ("queue",), registry=self.registry
        )
        self.late_s = Gauge(
            "a1zap_queue_late_seconds",
            "Seconds since the oldest entry of a queue was due.",
            ("queue",),
            registry=self.registry,
        )

    def observe(self, route: str, method: str, status: int, took_s: float, *, is_stream: bool) -> None:
        known = method if method in _METHODS else "OTHER"
        self._requests.labels(route, known, str(status)).inc()
        if not is_stream:
            self._durations.labels(route).observe(took_s)

    def text(self) -> bytes:
        return generate_latest(self.registry)
