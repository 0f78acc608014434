"""Messages in every place of a running Homeport's spool, for the tests of its operator's tools.

What waits, waits for a reason that stays: a full mailbox (queue; the next try is due in a minute), or an unknown one
on a drain (hold). Both come right when the test says so.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.services.dovecot import Dovecot, Mailbox
from tests.services.homeport import Homeport, eventually, message
from tests.services.lmtp_proxy import LmtpProxy

RETAINED_AT = 1_700_000_000


@dataclass(frozen=True, slots=True)
class Queued:
    """A Homeport that reaches the shared Dovecot by `network`."""

    homeport: Homeport
    dovecot: Dovecot
    network: LmtpProxy

    def full(self, raw: bytes | None = None) -> tuple[str, Mailbox]:
        """Return the id of a message that was tried once and is queued, and its mailbox, which is full."""
        mailbox = self.dovecot.add_user(quota_bytes=10)
        queue_id = self._post(mailbox.address, raw)
        eventually(lambda: self.is_in("queue", queue_id, attempts=1))
        return queue_id, mailbox

    def held(self, address: str | None = None, **envelope: Any) -> tuple[str, str]:
        """Return the id of a held message, and its recipient, who is unknown."""
        address = address or f"u{secrets.token_hex(6)}@home.test"
        return self._post(address, None, retained_at=RETAINED_AT, **envelope), address

    def corrupt(self) -> str:
        """Return the id of a message that was damaged on disk and set aside."""
        queue_id, _ = self.full()
        (self.homeport.state_dir / "spool/queue" / queue_id / "message.eml").write_bytes(b"damaged")
        assert self.homeport.control("POST", f"/v1/queue/{queue_id}/retry").status == 202
        eventually(lambda: queue_id in self.homeport.entries("corrupt"))
        return queue_id

    @contextmanager
    def active(self) -> Iterator[str]:
        """Within it, a message that is being delivered to a server that says nothing."""
        queue_id, _ = self.full()
        self.network.refuse()
        self.network.is_silent = True
        self.network.listen()
        try:
            assert self.homeport.control("POST", f"/v1/queue/{queue_id}/retry").status == 202
            eventually(lambda: self.is_in("active", queue_id))
            yield queue_id
        finally:
            self.network.is_silent = False
            self.network.refuse()
            self.network.listen()

    def entry(self, queue_id: str) -> dict[str, Any]:
        """What the control socket shows of an entry; its problem when it has none."""
        return self.homeport.control("GET", f"/v1/queue/{queue_id}").document

    def is_in(self, place: str, queue_id: str, *, attempts: int | None = None) -> bool:
        entry = self.entry(queue_id)
        return entry.get("place") == place and attempts in (None, entry["attempts"])

    def _post(self, address: str, raw: bytes | None, **envelope: Any) -> str:
        answer = self.homeport.post(raw or message(), rcpt_to=address, **envelope)
        assert answer.status == 202, answer
        return str(answer.document["queue_id"])
