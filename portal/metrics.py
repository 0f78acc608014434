"""The numbers of the portal, one for each thing that somebody would alarm on. docs/metrics.md lists them.

A route is named as it is declared (`/api/containers/{name}`), never as it was asked for, so that nobody outside makes
new series.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
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
BACKUP_AGE = Gauge("homeport_backup_age_seconds", "Age of the newest verified point, by where it lies", ["copy"])
VAULT_MARGIN = Gauge(
    "homeport_vault_lock_margin_seconds", "Until the first lock ends of all that is needed in the vault"
)
VAULT_MARGIN.set(math.nan)  # without a label it is shown at once, and nothing was measured yet
DRILL_SECONDS = Gauge(
    "homeport_backup_drill_seconds", "Duration of the newest restore drill of each kind", ["asset_kind", "origin"]
)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Given the route as it is declared, or "" when none was found."""
    REQUESTS.labels(method if method in METHODS else "other", route or "none", str(status)).inc()
    REQUEST_SECONDS.labels(route or "none").observe(seconds)


def show_backups(age_s: Mapping[str, float], margin_s: float, drill_s: Mapping[tuple[str, str], float]) -> None:
    """What the catalog says now; not a number where nothing is known.

    age_s    by copy: local, vault
    drill_s  by kind of asset and origin
    """
    for copy, seconds in age_s.items():
        BACKUP_AGE.labels(copy).set(seconds)
    VAULT_MARGIN.set(margin_s)
    DRILL_SECONDS.clear()
    for labels, seconds in drill_s.items():
        DRILL_SECONDS.labels(*labels).set(seconds)


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
