"""A letter's way out on the real stack: submission, sender check, Rspamd's proxy, the smarthost and its record."""

from __future__ import annotations

import re
import secrets
import smtplib

import pytest

from tests.services.homeport import eventually
from tests.stacks import dkim
from tests.stacks.deployment import DOMAIN, RELAY_PASSWORD, RELAY_USER, SUBMISSION_RATE, Deployment, gtube
from tests.stacks.mailbox import StackMailbox


def subject() -> str:
    return f"out{secrets.token_hex(6)}"


@pytest.mark.parametrize("implicit_tls", [False, True], ids=["587", "465"])
def test_letter_reaches_the_smarthost_with_tls_login_and_nothing_of_where_it_was_written(
    stack: Deployment, anna: StackMailbox, implicit_tls: bool
) -> None:
    name = subject()
    letter = anna.letter(name)
    with anna.submission(implicit_tls=implicit_tls) as session:
        client = session.sock.getsockname()[0]  # type: ignore[union-attr]
        assert session.send_message(letter) == {}
    relayed = stack.smarthost.wait_for(name)
    assert relayed.tls in ("TLSv1.2", "TLSv1.3")
    assert relayed.login == (RELAY_USER, RELAY_PASSWORD)
    assert relayed.mail_from == anna.address
    assert relayed.rcpt_to == ("bob@remote.test",)
    head, _, body = relayed.content.partition(b"\r\n\r\n")
    assert body == letter.get_payload().replace("\n", "\r\n").encode()  # type: ignore[union-attr]
    assert relayed.message["Message-ID"] == letter["Message-ID"]
    assert b"phone.invalid" not in head
    gateway = stack.address("mail-postfix", f"{stack.project}-network").rpartition(".")[0].encode()
    assert client.encode() not in head
    assert not re.search(rb"\[" + re.escape(gateway) + rb"\.\d+\]", head), head


@pytest.mark.parametrize("where", ["envelope", "header"])
def test_spoofed_sender_is_refused(stack: Deployment, anna: StackMailbox, where: str) -> None:
    other = stack.add_mailbox()
    name = subject()
    letter = anna.letter(name, sender=other.address if where == "header" else None)
    envelope = other.address if where == "envelope" else anna.address
    with anna.submission() as session, pytest.raises(smtplib.SMTPException) as refused:
        session.sendmail(envelope, ["bob@remote.test"], letter.as_bytes())
    assert re.search(r"5\.7\.1", str(refused.value))
    with anna.submission() as session:  # success in the same set-up
        assert session.send_message(anna.letter(f"{name}ok")) == {}
    stack.smarthost.wait_for(f"{name}ok")
    assert stack.smarthost.of(name) == []


def test_alias_may_send_and_a_receive_only_mailbox_may_not(stack: Deployment, anna: StackMailbox) -> None:
    alias, name = stack.add_alias(anna), subject()
    with anna.submission() as session:
        assert session.send_message(anna.letter(name, sender=alias)) == {}
    assert stack.smarthost.wait_for(name).mail_from == alias
    silent = stack.add_mailbox(receive_only=True)
    with silent.submission() as session, pytest.raises(smtplib.SMTPException):
        session.send_message(silent.letter(f"{name}no"))
    assert stack.smarthost.of(f"{name}no") == []


@pytest.mark.parametrize("recipient", ["bob@remote.test", f"postmaster@{DOMAIN}"])
def test_without_a_login_nothing_is_taken(anna: StackMailbox, recipient: str) -> None:
    with anna.submission(login=False) as session, pytest.raises(smtplib.SMTPException) as refused:
        session.sendmail(anna.address, [recipient], anna.letter(subject()).as_bytes())
    assert "5.7" in str(refused.value) or "530" in str(refused.value)


def test_login_is_offered_only_after_tls(anna: StackMailbox) -> None:
    with smtplib.SMTP("127.0.0.1", anna.ports["submission"], "phone.invalid", timeout=30.0) as session:
        session.ehlo()
        assert session.has_extn("starttls")
        assert not session.has_extn("auth")
        with pytest.raises(smtplib.SMTPException):
            session.sendmail(anna.address, ["bob@remote.test"], b"Subject: x\r\n\r\nx\r\n")


def test_own_domains_leave_too(stack: Deployment, anna: StackMailbox) -> None:
    """Postfix delivers nothing itself: Cloudflare brings it back, scanned like everything."""
    name = subject()
    with anna.submission() as session:
        assert session.send_message(anna.letter(name, to=anna.address)) == {}
    assert stack.smarthost.wait_for(name).rcpt_to == (anna.address,)


def test_smarthost_away_mail_waits_and_leaves_later(stack: Deployment, anna: StackMailbox) -> None:
    name = subject()
    with stack.smarthost.answering("451 4.3.0 later"), anna.submission() as session:
        assert session.send_message(anna.letter(name)) == {}
        eventually(lambda: "451 4.3.0 later" in stack.log("mail-postfix", 400), within_s=30.0)
    stack.execute("mail-postfix", "postqueue", "-f")
    stack.smarthost.wait_for(name)


def test_letter_is_signed_once_its_domain_has_a_key(stack: Deployment, anna: StackMailbox) -> None:
    name = subject()
    record = stack.execute("mail-rspamd", "dkim-key", DOMAIN)
    with anna.submission() as session:
        assert session.send_message(anna.letter(name)) == {}
    relayed = stack.smarthost.wait_for(name)
    public_key = "".join(re.findall(r'"([^"]*)"', record)).partition("p=")[2].partition(";")[0]
    signed = dkim.verify(relayed.content, public_key)
    assert (signed.domain, signed.selector) == (DOMAIN, "homeport")
    assert {"from", "to", "subject", "date", "message-id"} <= set(signed.fields)


def test_rate_limit_of_a_login_defers_it_and_nobody_else(stack: Deployment, anna: StackMailbox) -> None:
    other, name = stack.add_mailbox(), subject()
    recipients = [f"r{number}@remote.test" for number in range(SUBMISSION_RATE // 5)]

    def send_many() -> None:
        with anna.submission() as session:
            for number in range(10):
                session.sendmail(anna.address, recipients, anna.letter(f"{name}{number}").as_bytes())

    with pytest.raises(smtplib.SMTPException) as refused:
        send_many()
    assert re.search(r"\b4\d\d\b", str(refused.value)), refused.value
    with other.submission() as session:
        assert session.send_message(other.letter(f"{name}other")) == {}
    stack.smarthost.wait_for(f"{name}other")


def test_too_large_is_refused_before_it_is_sent(anna: StackMailbox) -> None:
    with anna.submission() as session:
        assert int(session.esmtp_features["size"]) == 25 * 1024**2
        with pytest.raises(smtplib.SMTPException, match="5\\.3\\.4"):
            session.sendmail(anna.address, ["bob@remote.test"], b"Subject: x\r\n\r\n" + b"x" * 76 * 400_000)


def test_gtube_does_not_leave(stack: Deployment, anna: StackMailbox) -> None:
    name = subject()
    letter = anna.letter(name)
    letter.set_content(gtube().decode())
    with anna.submission() as session, pytest.raises(smtplib.SMTPDataError) as refused:
        session.send_message(letter)
    assert refused.value.smtp_code // 100 == 5
    assert stack.smarthost.of(name) == []
