"""The Postfix of the bench takes mail by SMTP and puts it into Dovecot."""

from __future__ import annotations

import os
import smtplib
import time

import pytest

from tests.services.dovecot import Dovecot
from tests.services.postfix import Postfix
from tests.services.process import POLL_S, ServiceFailed

pytestmark = pytest.mark.services


@pytest.mark.skipif(os.geteuid() != 0, reason="Postfix needs root")
def test_postfix_delivers_into_dovecot_and_ends() -> None:
    with Dovecot() as dovecot, Postfix(dovecot.lmtp_port, domains=["home.test"]) as postfix:
        mailbox = dovecot.add_user()
        with smtplib.SMTP("127.0.0.1", postfix.smtp_port, timeout=5) as smtp:
            smtp.sendmail("sender@elsewhere.test", [mailbox.address], b"Subject: hi\r\n\r\nbody\r\n")
        give_up = time.monotonic() + 10
        while not mailbox.files() and time.monotonic() < give_up:
            time.sleep(POLL_S)
        (stored,) = mailbox.files().values()
        assert stored.endswith(b"\n\nbody\n")
        daemon = postfix.daemon
    assert not daemon.is_running
    assert not postfix.directory.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="asks for a refusal that root doesn't get")
def test_postfix_without_root_says_so() -> None:
    with pytest.raises(ServiceFailed, match="needs root"):
        Postfix(1, domains=[])
