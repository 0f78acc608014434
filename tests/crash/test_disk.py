"""A disk that is full, or becomes full in the middle, or read-only: nothing is acknowledged that is not kept, and when
there is room again everything goes on by itself. Here on a real small file system; test_errors.py has every step.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mail_api.settings import MAX_MESSAGE_BYTES, MIN_FREE_FACTOR
from tests.crash.harness import NOBODY, PATIENCE_S, copies, delivered, is_empty, message
from tests.crash.small_disk import MIB, NoNamespaces, SmallDisk
from tests.services.dovecot import Dovecot, Mailbox
from tests.services.homeport import Homeport, eventually

pytestmark = pytest.mark.slow
DISK_BYTES = 80 * MIB
LARGE_BYTES = 24 * MIB


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    try:
        with SmallDisk(DISK_BYTES) as running:
            yield running
    except NoNamespaces as error:
        if os.geteuid() == 0:
            raise
        pytest.skip(f"without root this test needs user namespaces: {error}")


class HomeportOnDisk(Homeport):
    """A Homeport whose state is on a small disk.

    spools   its ingress cannot reach the transport, so it spools what it takes; its delivery can
    """

    def __init__(self, directory: Path, disk: SmallDisk, *, transport: str, spools: bool) -> None:
        super().__init__(directory, transport=transport, state_dir=disk.path / "state")
        for daemon in (self.ingress, self.delivery):
            is_cut_off = spools and daemon is self.ingress
            daemon.argv[:0] = [
                *disk.enter,
                "env",
                f"HOMEPORT_MAIL_STATE_DIR={disk.inside / 'state'}",
                f"HOMEPORT_MAIL_TRANSPORT={NOBODY if is_cut_off else transport}",
            ]

    def wait_until_empty(self) -> None:
        eventually(lambda: is_empty(self), within_s=PATIENCE_S)


@pytest.fixture
def homeport(disk: SmallDisk, dovecot: Dovecot, tmp_path: Path) -> Iterator[HomeportOnDisk]:
    with HomeportOnDisk(tmp_path, disk, transport=dovecot.lmtp_url, spools=False) as running:
        yield running


@pytest.fixture
def spooling(disk: SmallDisk, dovecot: Dovecot, tmp_path: Path) -> Iterator[HomeportOnDisk]:
    with HomeportOnDisk(tmp_path, disk, transport=dovecot.lmtp_url, spools=True) as running:
        yield running


def test_disk_with_little_space_is_refused_before_anything_is_written(
    disk: SmallDisk, homeport: HomeportOnDisk, mailbox: Mailbox
) -> None:
    raw, message_id = message(), secrets.token_hex(16)
    disk.fill(leave_bytes=int(MIN_FREE_FACTOR * MAX_MESSAGE_BYTES) - MIB)
    answer = homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id)
    assert (answer.status, answer.type, answer.smtp) == (507, "insufficient-storage", None)
    assert homeport.entries("tmp") == []
    disk.empty()
    eventually(lambda: homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 200)
    assert delivered(mailbox, message_id, raw) == 1


def test_disk_filled_by_uploads_refuses_what_does_not_fit(
    disk: SmallDisk, spooling: HomeportOnDisk, mailbox: Mailbox
) -> None:
    """Each of these uploads is let in, since there is room for one; there is none for all."""
    raws = {secrets.token_hex(16): message(LARGE_BYTES) for _ in range(5)}
    spooling.delivery.pause()

    def status(message_id: str) -> int:
        answer = spooling.post(raws[message_id], rcpt_to=mailbox.address, message_id=message_id)
        assert answer.status == 202 or (answer.status, answer.smtp) == (507, None)
        return answer.status

    with ThreadPoolExecutor(len(raws)) as threads:
        statuses = dict(zip(raws, threads.map(status, raws), strict=True))
    kept = sorted(message_id for message_id in raws if statuses[message_id] == 202)
    assert len(kept) < len(raws)
    assert spooling.entries("queue") == kept
    assert spooling.entries("tmp") == []

    spooling.delivery.resume()
    for message_id in sorted(raws.keys() - kept):
        eventually(lambda: status(message_id) == 202, within_s=PATIENCE_S)  # noqa: B023 - ends within the iteration
    spooling.wait_until_empty()
    assert copies(mailbox) == {message_id: [raw] for message_id, raw in raws.items()}


def test_disk_full_to_the_last_byte_loses_nothing(disk: SmallDisk, spooling: HomeportOnDisk, mailbox: Mailbox) -> None:
    """Also not what was acknowledged before: it is delivered although nothing can be written."""
    raws = {secrets.token_hex(16): message() for _ in range(3)}
    spooling.delivery.pause()
    for message_id, raw in raws.items():
        assert spooling.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 202
    disk.fill(leave_bytes=0)
    raw, message_id = message(), secrets.token_hex(16)
    answer = spooling.post(raw, rcpt_to=mailbox.address, message_id=message_id)
    assert (answer.status, answer.smtp) == (507, None)
    spooling.delivery.resume()
    spooling.wait_until_empty()
    assert copies(mailbox) == {message_id: [raw] for message_id, raw in raws.items()}

    disk.empty()
    raws[message_id] = raw
    eventually(lambda: spooling.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 202)
    eventually(lambda: copies(mailbox) == {message_id: [raw] for message_id, raw in raws.items()})


def test_spool_read_only_for_a_while_loses_nothing(disk: SmallDisk, spooling: HomeportOnDisk, mailbox: Mailbox) -> None:
    raws = {secrets.token_hex(16): message() for _ in range(3)}
    spooling.delivery.pause()
    for message_id, raw in raws.items():
        assert spooling.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 202
    raw, message_id = message(), secrets.token_hex(16)
    with disk.read_only("state/spool"):
        spooling.delivery.resume()
        for body in (raw, message(2 * MIB)):
            answer = spooling.post(body, rcpt_to=mailbox.address)
            assert (answer.status, answer.type, answer.smtp) == (503, "spool-unavailable", None)
        assert spooling.entries("queue") == sorted(raws)
        assert spooling.delivery.is_running

    raws[message_id] = raw
    assert spooling.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 202
    spooling.control("POST", "/v1/queue/retry")
    spooling.wait_until_empty()
    assert copies(mailbox) == {message_id: [raw] for message_id, raw in raws.items()}
