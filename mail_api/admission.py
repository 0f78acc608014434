"""May this message come in? Asked after its bytes have arrived, before anything looks into them.

Final refusals (bad address, loop, unknown mailbox) are decided elsewhere from pure facts; what stands here are the
checks that need the world: our own domains, free disk space, and how many messages are at work already.
"""

from __future__ import annotations

from kit.clock import Clock
from kit.problem import Problem
from mail_api.envelope import Envelope
from mail_api.refusal import MailLoop
from mail_api.settings import MAX_MESSAGE_BYTES, MIN_FREE_FACTOR
from mail_api.spool import NO_SPACE, Spool
from mail_api.trace_headers import Inspection

MAX_RECEIVED_FIELDS = 100  # RFC 5321 6.3
RETRY_AFTER_S = 5
DISK_LOOK_S = 1.0  # the uploads of one second cannot fill the margin unseen: writing fails safely too


class DomainNotAccepted(Problem):
    """The recipient's domain is not ours. Not final: a forgotten setting must not bounce mail."""

    status, type, title = 421, "domain-not-accepted", "Domain is not accepted here"


class InsufficientStorage(Problem):
    """The disk is too full to promise anything."""

    status, type, title = 507, "insufficient-storage", "Not enough disk space"


class SpoolUnavailable(Problem):
    """The message could neither be delivered nor be made durable."""

    status, type, title = 503, "spool-unavailable", "Message could not be stored"


class TooManyRequests(Problem):
    """As many messages as are allowed at once are at work already."""

    status, type, title = 503, "too-many-requests", "Too many messages at once"


class Slots:
    """Messages at work in this process; `with slots:` takes one or raises TooManyRequests. Never a queue in memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.taken = 0

    def __enter__(self) -> None:
        if self.taken >= self._limit:
            raise TooManyRequests(
                f"{self._limit} messages are being handled", headers={"Retry-After": str(RETRY_AFTER_S)}
            )
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self.taken -= 1


class Disk:
    """Free space where the spool lies, looked at once a second at most."""

    def __init__(self, spool: Spool, *, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock
        self._looked_at = float("-inf")
        self._free_bytes = 0

    def check(self) -> int:
        """Return the free bytes. Raise InsufficientStorage below the largest message and a margin."""
        now = self._clock.monotonic()
        if now - self._looked_at >= DISK_LOOK_S:
            self._free_bytes, self._looked_at = self._spool.free_bytes(), now
        if self._free_bytes < MIN_FREE_FACTOR * MAX_MESSAGE_BYTES:
            free_mib = self._free_bytes // 1024**2
            raise InsufficientStorage(f"{free_mib} MiB are free", headers={"Retry-After": str(RETRY_AFTER_S)})
        return self._free_bytes


def storage_problem(error: OSError) -> Problem:
    """The problem that an error of the spool's disk is answered with."""
    if error.errno in NO_SPACE:
        return InsufficientStorage("the disk is full")
    return SpoolUnavailable("the spool cannot be written")


def check_domain(envelope: Envelope, domains: frozenset[str]) -> None:
    """Raise DomainNotAccepted when domains are configured and the recipient's is not among them."""
    if domains and envelope.rcpt_domain not in domains:
        raise DomainNotAccepted("the recipient's domain is not in HOMEPORT_MAIL_DOMAINS")


def loop_refusal(inspection: Inspection) -> type[MailLoop] | None:
    """The refusal of a message that has been passed on too often."""
    return MailLoop if inspection.received_count > MAX_RECEIVED_FIELDS else None
