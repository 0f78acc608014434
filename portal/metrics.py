"""The numbers of the portal, one for each thing that somebody would alarm on. docs/metrics.md lists them.

A route is named as it is declared (`/api/containers/{name}`), never as it was asked for, so that nobody outside makes
new series.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest

REQUESTS = Counter(
    "homeport_portal_requests", "Requests answered, by method, route and status", ["method", "route", "status"]
)
REQUEST_SECONDS = Histogram(
    "homeport_portal_request_seconds",
    "Time to the beginning of an answer, by route",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
STREAMS = Gauge("homeport_portal_streams", "Open streams, by kind: events, logs, stats", ["kind"])
OPERATIONS_RUNNING = Gauge("homeport_portal_operations_running", "Operations whose work is under way")
OPERATIONS = Counter("homeport_portal_operations", "Operations that have ended, by how", ["state"])
LOGIN_FAILURES = Counter(
    "homeport_portal_login_failures", "Factors that did not fit, at the login and at the step-up, by factor", ["factor"]
)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Given the route as it is declared, or "" when none was found."""
    REQUESTS.labels(method if method in METHODS else "other", route or "none", str(status)).inc()
    REQUEST_SECONDS.labels(route or "none").observe(seconds)


@contextmanager
def open_stream(kind: str) -> Iterator[None]:
    gauge = STREAMS.labels(kind)
    gauge.inc()
    try:
        yield
    finally:
        gauge.dec()


def exposition() -> tuple[bytes, str]:
    """Return (text, content type) for /metrics."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
