"""`python -m tests.bench.fill_spool STATE_DIR N`: a spool with N queued entries, made by the spool's own code.

Flushes are left out while it fills, or 100,000 entries would take minutes; one sync at the end makes up for them.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from pathlib import Path

from kit.clock import SystemClock
from mail_api.content import Content
from mail_api.spool import Entry, Spool
from tests.bench.load import SENDER, build_message


def main() -> None:
    state_dir, count = Path(sys.argv[1]), int(sys.argv[2])
    os.fsync = os.fdatasync = lambda fd: None
    clock = SystemClock()
    spool = Spool(state_dir / "spool", clock=clock)
    spool.prepare()
    for i in range(count):
        message = build_message(1024)
        content = Content(message, len(message), hashlib.sha256(message).hexdigest())
        rcpt = f"u{i % 1000}@bench.test"
        spool.accept(
            Entry(secrets.token_hex(16), SENDER, rcpt, content.size_bytes, content.sha256, clock.now()), content
        )
    os.sync()


if __name__ == "__main__":
    main()
