"""The numbers of the mail pipe, one for each event that somebody would alarm on. docs/metrics.md lists them.

With several ingress workers, prometheus-client adds them up through files in PROMETHEUS_MULTIPROC_DIR, which must be
set before this module is imported (`processes.py` does).
"""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

RECEIVED = Counter("homeport_mail_received", "Signed messages whose body began to arrive")
DELIVERED = Counter("homeport_mail_delivered", "Messages the transport took, at once or from the queue")
QUEUED = Counter("homeport_mail_queued", "Messages ingress made durable in the spool for later delivery")
HELD = Counter("homeport_mail_held", "Messages put on hold for an operator")
DUPLICATES = Counter("homeport_mail_duplicates", "Repeats answered with the receipt of the message's present state")
REFUSED = Counter("homeport_mail_refused", "Requests answered with a problem, by its type", ["type"])
DEFERRED = Counter("homeport_mail_deferred", "Delivery attempts from the queue that failed for now")
CORRUPT = Counter("homeport_mail_corrupt", "Queue entries found damaged and set aside: look at once")
VERDICTS = Counter("homeport_mail_verdicts", "Messages that scanners were asked about, by what follows", ["action"])
SCANNER_FINDINGS = Counter(
    "homeport_mail_scanner_findings", "Answers of each scanner, failures included", ["scanner", "finding"]
)
SCANNER_SECONDS = Histogram(
    "homeport_mail_scanner_seconds",
    "Time until each scanner had answered or failed",
    ["scanner"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 8, 10, 15, 30, 60),
)
STAGE_SECONDS = Histogram(
    "homeport_mail_stage_seconds",
    "Time a message spent in a stage: upload, recipient, scan, transport, spool, total",
    ["stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)
STAGES = {name: STAGE_SECONDS.labels(name) for name in ("upload", "recipient", "scan", "transport", "spool", "total")}
QUEUE_LENGTH = Gauge(
    "homeport_mail_queue_length", "Entries in the spool, by place", ["place"], multiprocess_mode="mostrecent"
)
QUEUE_OLDEST_SECONDS = Gauge(
    "homeport_mail_queue_oldest_seconds",
    "Age of the oldest entry that waits for delivery",
    multiprocess_mode="mostrecent",
)


def exposition() -> tuple[bytes, str]:
    """Return (text, content type) for /metrics."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
