"""`kill -9` while a scanner looks at the message: nothing was promised yet, or the entry is still in the spool.

The scanner is one that never answers; after the death it answers at once.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.harness import FaultyHomeport, delivered, message, unanswered
from tests.mail_api.scan.peers import ScriptedClamd
from tests.services.dovecot import SENTINEL, Dovecot, Mailbox
from tests.services.homeport import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def clamd() -> Iterator[ScriptedClamd]:
    with ScriptedClamd(b"stream: OK\0", silent=True) as peer:
        yield peer


@pytest.fixture
def homeport(dovecot: Dovecot, clamd: ScriptedClamd, tmp_path: Path) -> Iterator[FaultyHomeport]:
    with FaultyHomeport(
        tmp_path, transport=dovecot.lmtp_url, sentinel=SENTINEL, settings={"CLAMD": clamd.address}
    ) as running:
        yield running


def test_ingress_killed_in_mid_scan_loses_nothing(
    homeport: FaultyHomeport, clamd: ScriptedClamd, mailbox: Mailbox
) -> None:
    raw, message_id = message(), secrets.token_hex(16)
    heard: list[bool] = []
    client = threading.Thread(
        target=lambda: heard.append(unanswered(homeport.post, raw, rcpt_to=mailbox.address, message_id=message_id))
    )
    client.start()
    eventually(lambda: clamd.requests == [raw])
    homeport.ingress.kill()
    client.join()
    assert heard == [True]
    assert (homeport.state_of(message_id), homeport.places(message_id)) == ("in-flight", [])
    assert delivered(mailbox, message_id, raw) == 0
    clamd.silent = False
    homeport.revive("ingress")
    assert homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 200
    assert len(clamd.requests) == 2
    assert delivered(mailbox, message_id, raw) == 1


def test_delivery_killed_in_mid_scan_scans_again(
    homeport: FaultyHomeport, clamd: ScriptedClamd, mailbox: Mailbox
) -> None:
    raw, message_id = message(), secrets.token_hex(16)
    answer = homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id)  # ingress does not wait that long
    assert (answer.status, answer.document["status"]) == (202, "queued")
    eventually(lambda: clamd.requests == [raw, raw])
    homeport.delivery.kill()
    assert (homeport.state_of(message_id), homeport.places(message_id)) == ("queued", ["active"])
    clamd.silent = False
    homeport.revive("delivery")
    homeport.drain(message_id)
    assert len(clamd.requests) == 3
    assert delivered(mailbox, message_id, raw) == 1
