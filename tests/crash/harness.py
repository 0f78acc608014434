"""Homeport under fault.py, and what a test does around its deaths: arm, wait, revive, repeat, look into the mailbox."""

from __future__ import annotations

import contextlib
import http.client
import re
import secrets
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.crash import fault
from tests.crash.fault import Plan
from tests.services.dovecot import Mailbox
from tests.services.homeport import Answer, Homeport, eventually, received
from tests.services.process import POLL_S, Daemon

FAULT = [sys.executable, "-P", fault.__file__]
NOBODY = "lmtp://127.0.0.1:9"  # the discard port: nobody listens, every connection is refused at once
FULL_BYTES, ROOMY_BYTES = 1, 2**30  # quotas; without one, Dovecot would go by the last one in its maildirsize file
PATIENCE_S = 30.0  # for what takes milliseconds on an idle machine

_NAMES = (
    (re.compile(r"[0-9a-f]{32}(\.mx\.test)?(\.[0-9a-f]{8,12})?"), "ID"),
    (re.compile(r"(?<=tmp/#)[0-9]+"), ""),
    (re.compile(r"(?<=unlink tmp/ID/)\S+"), "*"),
)


def message(size_bytes: int = 0) -> bytes:
    """A message of its own Message-ID with CRLF line ends and at least so many bytes of body."""
    line = secrets.token_hex(38).encode() + b"\r\n"
    identity = secrets.token_hex(8).encode()
    return b"From: <a@example.org>\r\nMessage-ID: <%s@example.org>\r\n\r\n" % identity + line * (size_bytes // 78 + 1)


class FaultyHomeport(Homeport):
    """Both processes under fault.py.

    spools   its ingress cannot reach the transport, so it spools what it takes; its delivery can
    """

    def __init__(
        self,
        directory: Path,
        *,
        transport: str,
        sentinel: str | None = None,
        settings: Mapping[str, str] | None = None,
        spools: bool = False,
    ) -> None:
        super().__init__(
            directory, transport=transport, sentinel=sentinel, settings=settings, argv=[*FAULT, str(directory)]
        )
        if spools:
            self.ingress.argv[:0] = ["env", f"HOMEPORT_MAIL_TRANSPORT={NOBODY}"]

    def daemon(self, role: str) -> Daemon:
        return self.ingress if role == "ingress" else self.delivery

    # -- faults ---------------------------------------------------------------------------------------------------

    def arm(self, role: str, act: str | None = None, at: int | str = -1) -> None:
        """Let fault.py count this process's steps from its next one, and do `act` at one of them."""
        self._steps_path(role).unlink(missing_ok=True)
        Plan(act, at).write(self.directory / f"{role}.plan")

    def disarm(self, role: str) -> None:
        (self.directory / f"{role}.plan").unlink(missing_ok=True)

    def steps(self, role: str) -> list[str]:
        """The steps since `arm`, as lives.py names them."""
        text = self._steps_path(role).read_text() if self._steps_path(role).exists() else ""
        for pattern, name in _NAMES:
            text = pattern.sub(name, text)
        return text.splitlines()

    def wait_for_death(self, role: str) -> None:
        eventually(lambda: not self.daemon(role).is_running, within_s=PATIENCE_S)

    def wait_until_calm(self, role: str, number: int) -> None:
        """Wait until the step of this number was made, and then until there are no more for a while."""
        seen = -1
        while not number < len(self.steps(role)) == seen:
            seen = len(self.steps(role))
            time.sleep(10 * POLL_S)

    def revive(self, role: str) -> None:
        """Wait until a process has died and start it again unarmed, 20 s later as far as claims are concerned."""
        self.wait_for_death(role)
        self.expire_leases()
        self._start(role)

    def expire_leases(self) -> None:
        """Let the claims of the dead end now: a lease lasts 20 s, which each test would have to wait for."""
        with contextlib.closing(sqlite3.connect(self.state_dir / "ledger.sqlite3")) as ledger, ledger:
            ledger.execute("UPDATE messages SET lease_until = 0 WHERE state = 'in-flight'")

    def heal(self) -> None:
        """Bring both processes back, unarmed, whatever the test before left."""
        for role in ("ingress", "delivery"):
            if self.daemon(role).is_running:
                self.disarm(role)
            else:
                self._start(role)

    def _start(self, role: str) -> None:
        """Start a process that has ended. Returns when what it does by itself at its start is done."""
        self.arm(role)
        self.daemon(role).kill()  # reaps it
        self.daemon(role).start()
        if role == "delivery":
            eventually(lambda: "ledger COMMIT" in self.steps(role))  # its first housekeeping
        self.disarm(role)

    def _steps_path(self, role: str) -> Path:
        return self.directory / f"{role}.steps"

    # -- what clients and operators do ----------------------------------------------------------------------------

    def operate(self, message_id: str, act: str) -> Answer:
        """Retry, hold, release or drop an entry. Raise OSError or http.client.HTTPException as `control` does."""
        reason = {"reason": "a test"} if act in ("hold", "drop") else None
        return self.control("POST", f"/v1/queue/{message_id}/{act}", reason)

    def is_deferred(self, message_id: str) -> bool:
        """Whether the entry lies in the queue after a failed attempt."""
        entry = self.control("GET", f"/v1/queue/{message_id}").document
        return entry.get("place") == "queue" and entry["attempts"] > 0

    def drain(self, message_id: str) -> None:
        """Have everything queued tried now, again and again until this message is no longer to be delivered."""
        give_up = time.monotonic() + PATIENCE_S
        while {"queue", "active"}.intersection(self.places(message_id)):
            assert time.monotonic() < give_up, f"{message_id} stays in {self.places(message_id)}"
            assert self.control("POST", "/v1/queue/retry").status == 202
            time.sleep(10 * POLL_S)
        # Its removal goes on in tmp/, and is no step of what comes next; what a crash has left there stays as it is.
        removing: list[Path] | None = None
        spool = self.state_dir / "spool"
        while removing != (now := [*spool.glob(f"tmp/{message_id}*"), *spool.glob(f"tmp/{message_id}*/*")]):
            assert time.monotonic() < give_up
            removing = now
            time.sleep(10 * POLL_S)

    def open_files(self, role: str) -> list[str]:
        """The files below the spool that a process has open, the lock left out."""
        found = []
        for path in Path(f"/proc/{self.daemon(role).pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.append(str(path.readlink()))
        spool = f"{self.state_dir}/spool/"
        return [path for path in found if path.startswith(spool) and path != f"{spool}delivery.lock"]

    # -- what is there --------------------------------------------------------------------------------------------

    def state_of(self, message_id: str) -> str | None:
        """The state in the ledger."""
        with contextlib.closing(sqlite3.connect(self.state_dir / "ledger.sqlite3")) as ledger:
            row = ledger.execute("SELECT state FROM messages WHERE message_id = ?", (message_id,)).fetchone()
        return row[0] if row else None

    def places(self, message_id: str) -> list[str]:
        """In which directories of the spool something of the message is. Looks twice: it may move on meanwhile."""
        spool = self.state_dir / "spool"
        return sorted({path.parent.name for _ in range(2) for path in spool.glob(f"*/{message_id}*")})


def is_empty(homeport: Homeport) -> bool:
    """Whether nothing is queued or being delivered; an entry may go back into the queue while one looks elsewhere."""
    return not any(homeport.entries(place) for place in ("queue", "active", "queue"))


def unanswered(ask: Callable[..., Answer], *args: Any, **options: Any) -> bool:
    """Ask, and return whether the process that was asked ended without an answer."""
    try:
        ask(*args, **options)
    except (OSError, http.client.HTTPException):
        return True
    return False


def copies(mailbox: Mailbox) -> dict[str, list[bytes]]:
    """The messages in a mailbox by their Homeport id, each as it was posted."""
    found: dict[str, list[bytes]] = {}
    for stored in mailbox.files().values():
        message_id, below = received(stored)
        found.setdefault(message_id, []).append(below.replace(b"\n", b"\r\n"))  # a Maildir's lines end in LF
    return found


def delivered(mailbox: Mailbox, message_id: str, raw: bytes) -> int:
    """Return how many copies of `raw` are in the mailbox. Fail when there is anything else, or under another id."""
    found = copies(mailbox)
    assert found.keys() <= {message_id}
    contents = found.get(message_id, [])
    assert all(content == raw for content in contents)
    return len(contents)
