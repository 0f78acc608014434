"""The Dovecot that other tests rely on does what `dovecot.py` promises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.dialogue import Dialogue
from tests.services.dovecot import Dovecot
from tests.services.process import ServiceFailed, process_stats

pytestmark = pytest.mark.services

MESSAGE = b"Subject: hi\r\n\r\nline\r\n.\r\n\x00\xff\r\n"


@pytest.fixture
def running() -> Iterator[Dovecot]:
    with Dovecot() as dovecot:
        yield dovecot


def _deliver(dovecot: Dovecot, address: str, message: bytes = MESSAGE) -> bytes:
    """Return the last reply to one delivery."""
    with Dialogue(dovecot.lmtp_port) as lmtp:
        return lmtp.transact([address], message)[-1]


def test_dovecot_delivered_message_is_read_back_over_imap_and_from_file(running: Dovecot) -> None:
    mailbox = running.add_user()
    assert _deliver(running, mailbox.address).startswith(b"250 2.0.0")
    (seen,) = mailbox.messages()
    ((path, stored),) = mailbox.files().items()
    assert path.parent.name == "new"
    assert stored.endswith(MESSAGE.replace(b"\r\n", b"\n"))
    assert seen.endswith(MESSAGE.replace(b"\x00", b"\x80"))  # mail.md 3.2: NUL shows as 0x80 in IMAP


def test_dovecot_unix_socket_greets(running: Dovecot) -> None:
    with Dialogue(running.lmtp_socket) as lmtp:
        assert lmtp.greeting.startswith(b"220 ")


def test_dovecot_users_come_and_go_at_once(running: Dovecot) -> None:
    assert _deliver(running, "anna@Other.test").startswith(b"503")
    anna = running.add_user("anna@other.test")
    assert _deliver(running, "Anna@Other.test").startswith(b"250")
    running.remove_user(anna.address)
    assert _deliver(running, anna.address).startswith(b"503")
    running.add_user(anna.address)
    assert _deliver(running, anna.address).startswith(b"250")
    assert len(anna.files()) == 2


def test_dovecot_full_mailbox_refuses_after_the_data(running: Dovecot) -> None:
    full = running.add_user(quota_bytes=10)
    assert _deliver(running, full.address).startswith(b"552 5.2.2")
    assert _deliver(running, running.sentinel.address).startswith(b"250")


def test_dovecot_stopped_refuses_and_restarted_knows_its_users(running: Dovecot) -> None:
    mailbox = running.add_user()
    running.stop()
    with pytest.raises(ConnectionRefusedError):
        _deliver(running, mailbox.address)
    running.start()
    running.kill()
    running.start()
    assert _deliver(running, mailbox.address).startswith(b"250")


def test_dovecot_paused_accepts_and_never_answers(running: Dovecot) -> None:
    running.pause()
    with pytest.raises(TimeoutError):
        Dialogue(running.lmtp_port, timeout_s=0.3)
    running.resume()
    assert _deliver(running, running.sentinel.address).startswith(b"250")
    running.pause()  # and leaving the context ends it all the same


def test_dovecot_process_limit_lets_one_more_connection_wait() -> None:
    with Dovecot(lmtp_processes=1) as dovecot, Dialogue(dovecot.lmtp_port), pytest.raises(TimeoutError):
        Dialogue(dovecot.lmtp_port, timeout_s=0.3)


def test_dovecot_leaves_neither_process_nor_file() -> None:
    with Dovecot() as dovecot:
        assert dovecot.daemon.members()
        daemon, pid = dovecot.daemon, dovecot.daemon.pid
    assert not daemon.is_running
    assert not dovecot.directory.exists()
    assert all(stat.session != pid or stat.state == "Z" for stat in process_stats())


def test_dovecot_that_cannot_start_says_why() -> None:
    with pytest.raises(ServiceFailed, match="nonsense"), Dovecot(extra="nonsense = yes"):
        pass
