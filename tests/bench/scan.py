"""`python -m tests.bench.mail --scan`: what scanning costs a message, and where its time goes.

Two routes into one Dovecot, as in mail.py: `scanned`, whose ingress asks a real Rspamd and a real clamd, and
`homeport`, whose ingress asks nobody. Rspamd has the configuration of tests/services/rspamd.py (two rules, no DNS, no
Bayes), clamd two signatures: so the figures are those of the way through the scanners, not of a full set of rules and
signatures.

The shares come from the ingress's own histograms. `clamd_25MiB` compares our INSTREAM with aioclamd's on one message
(docs/adr/0018), in turns.
"""

from __future__ import annotations

import hashlib
import io
import secrets
import statistics
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import aioclamd  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families

from mail_api.content import Content
from mail_api.scan.clamd import Clamd as OurClient
from mail_api.scan.verdict import Finding
from tests.bench.mail import HomeportRoute, Route, run_rounds
from tests.bench.measure import pair_ratio
from tests.services.clamd import Clamd
from tests.services.dovecot import Dovecot
from tests.services.homeport import Homeport
from tests.services.process import Daemon
from tests.services.rspamd import Rspamd

LARGE_BYTES = 25 * 1024**2
CLIENT_ROUNDS = 5
CLIENT_S = 60.0
STAGES = ("upload", "recipient", "scan", "transport", "spool")


class ScannedRoute(HomeportRoute):
    def __init__(self, dovecot: Dovecot, homeport: Homeport, *scanners: Daemon) -> None:
        super().__init__(dovecot, homeport)
        self.daemons = [*self.daemons, *scanners]


async def bench_scan(pairs: int, count: int, settings: dict[str, str]) -> None:
    with ExitStack() as stack:
        dovecot = stack.enter_context(Dovecot())
        rspamd, clamd = stack.enter_context(Rspamd()), stack.enter_context(Clamd())

        def homeport(**more: str) -> Homeport:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeport-bench-")))
            return stack.enter_context(
                Homeport(
                    directory,
                    transport=dovecot.lmtp_url,
                    sentinel=dovecot.sentinel.address,
                    settings=settings | more,
                )
            )

        scanned, plain = homeport(RSPAMD=rspamd.url, CLAMD=clamd.address), homeport()
        routes: dict[str, Route] = {
            "scanned": ScannedRoute(dovecot, scanned, rspamd.daemon, clamd.daemon),
            "homeport": HomeportRoute(dovecot, plain),
        }
        rounds = await run_rounds(dovecot, routes, pairs, count)
        rates = {name: [item.rate for item in items] for name, items in rounds.items()}
        for name, items in rounds.items():
            ack_ms = statistics.quantiles([1000 * ack for item in items for ack in item.ack_s], n=100)
            cpu_ms = 1000 * statistics.median(item.cpu_s for item in items)
            print(
                f"{name}_messages_per_s {statistics.median(rates[name]):.0f}  "
                f"[{min(rates[name]):.0f}, {max(rates[name]):.0f}]"
            )
            print(f"{name}_ack_p50_ms {ack_ms[49]:.1f}\n{name}_ack_p99_ms {ack_ms[98]:.1f}")
            print(f"# {name}: {cpu_ms:.2f} ms CPU a message")
        print("scanned_vs_unscanned", pair_ratio(rates["scanned"], rates["homeport"]))
        print_shares(scanned)
        await compare_clients(clamd)


def print_shares(homeport: Homeport) -> None:
    """Each stage's share of the time that messages spent in the ingress, and each scanner's mean."""
    with urllib.request.urlopen(f"http://127.0.0.1:{homeport.metrics_port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    values = {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}
    total_s = values["homeport_mail_stage_seconds_sum", "total"]
    shares = {stage: values["homeport_mail_stage_seconds_sum", stage] / total_s for stage in STAGES}
    for stage, share in (shares | {"rest": 1 - sum(shares.values())}).items():
        print(f"share_{stage} {share:.3f}")
    for scanner in ("rspamd", "clamd"):
        mean_s = (
            values["homeport_mail_scanner_seconds_sum", scanner]
            / values["homeport_mail_scanner_seconds_count", scanner]
        )
        print(f"{scanner}_mean_ms {1000 * mean_s:.1f}")


async def compare_clients(clamd: Clamd) -> None:
    """One large message through our client and through aioclamd, in turns."""
    raw = secrets.token_bytes(LARGE_BYTES)
    content = Content(raw, len(raw), hashlib.sha256(raw).hexdigest())
    ours, theirs = list[float](), list[float]()
    for _ in range(CLIENT_ROUNDS):
        began = time.perf_counter()
        opinion = await OurClient(clamd.address).scan(content, timeout_s=CLIENT_S)
        ours.append(time.perf_counter() - began)
        if opinion.finding is not Finding.CLEAN:
            raise RuntimeError(f"clamd: {opinion.said}")
        began = time.perf_counter()
        await aioclamd.ClamdAsyncClient("127.0.0.1", clamd.port, timeout=CLIENT_S).instream(io.BytesIO(raw))
        theirs.append(time.perf_counter() - began)
    print(f"clamd_25MiB_s {statistics.median(ours):.2f}\nclamd_25MiB_aioclamd_s {statistics.median(theirs):.2f}")
    print("clamd_25MiB_vs_aioclamd", pair_ratio(ours, theirs))
