"""A letter's way in on the real stack: Worker, tunnel, ingress, scanners, LMTP, mailbox."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from email import policy
from email.message import EmailMessage

import pytest

from tests.mail_api.corpus.messages import hostile, shown, stored, without_spam_fields
from tests.services.edge import TAKEN, Edge, Outcome
from tests.services.homeport import eventually, message
from tests.stacks.deployment import DOMAIN, Deployment, eicar, full, gtube
from tests.stacks.mailbox import StackMailbox

CLEAN = (
    b"Message-ID: <%s.1@example.org>\r\nDate: Sun, 22 Nov 2026 09:00:00 +0000\r\nFrom: A <a@example.org>\r\n"
    b"To: <%s>\r\nSubject: %s\r\n\r\n%s\r\n"
)
SPAM = (
    b"X-Spam: No\r\nFrom: A <a@example.org>\r\n\r\nYOU HAVE WON\r\n"  # what it lacks is 7.5 points: Junk, not refused
)


def letter(to: StackMailbox, subject: str, text: bytes = b"Shall we meet on Tuesday at the lake?") -> bytes:
    """A message that no scanner has anything against."""
    return CLEAN % (secrets.token_hex(8).encode(), to.address.encode(), subject.encode(), text)


def waiting_recipients(stack: Deployment) -> list[str]:
    """Whose mail waits in the queue, once there is any: in between it is being tried."""
    return [entry["rcpt_to"] for entry in eventually(stack.spooled, within_s=30.0)]


def test_letter_from_the_edge_lies_in_the_mailbox_byte_for_byte(
    stack: Deployment, edge: Edge, anna: StackMailbox
) -> None:
    raw = letter(anna, "exact", b"one\r\n.\r\n..two\r\n\ttabs and \xe6\x97\xa5\xe6\x9c\xac\r\nno end")
    assert edge.receive(raw, rcpt_to=anna.address) == TAKEN
    (kept,) = anna.wait_for(1)
    assert kept.endswith(shown(stored(raw, "BDAT"))), kept
    ours = kept.removesuffix(shown(stored(raw, "BDAT"))).decode()
    assert re.search(r"^X-Homeport-Id: [0-9a-f]{32}\r$", ours, re.MULTILINE)
    assert re.search(r"^Received: [^;]*with HTTPS\s+id \w+\s+for <\S+>;", ours, re.MULTILINE)
    assert edge.retained() == []
    assert stack.spooled() == []


def test_hostile_messages_are_refused_or_arrive_as_they_are(edge: Edge, anna: StackMailbox) -> None:
    """Whatever Rspamd thinks of them: the sender hears of it, or nothing is changed, cut, taken for two or lost."""
    taken = {}
    for name, raw in hostile().items():
        outcome = edge.receive(raw, rcpt_to=anna.address)
        assert outcome == TAKEN or (outcome.reject or "").startswith("5.7.1"), (name, outcome)
        if outcome == TAKEN:
            taken[name] = shown(stored(without_spam_fields(raw), "BDAT"))
    assert len(taken) > len(hostile()) / 2
    found = eventually(
        lambda: both if len(both := anna.messages() + anna.messages("Junk")) >= len(taken) else None, within_s=60.0
    )
    assert len(found) == len(taken)
    for name, expected in taken.items():
        assert any(kept.endswith(expected) for kept in found), name


def plain(to: StackMailbox, content: bytes) -> bytes:
    return letter(to, "plain", content)


def attached(to: StackMailbox, content: bytes) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", to.address, "invoice"
    message["Message-ID"] = f"<{secrets.token_hex(8)}.1@example.org>"
    message["Date"] = "Sun, 22 Nov 2026 09:00:00 +0000"
    message.set_content("see the attachment")
    message.add_attachment(content, maintype="application", subtype="octet-stream", filename="invoice.txt")
    return message.as_bytes(policy=policy.SMTP)


@pytest.mark.parametrize(
    ("pack", "content"),
    [(plain, gtube()), (plain, eicar()), (attached, eicar())],
    ids=["GTUBE", "EICAR", "EICAR attached"],
)
def test_refused_in_the_session_and_nowhere_to_be_found(
    stack: Deployment, edge: Edge, anna: StackMailbox, pack: Callable[[StackMailbox, bytes], bytes], content: bytes
) -> None:
    outcome = edge.receive(pack(anna, content), rcpt_to=anna.address)
    assert outcome.outcome == "ok"
    assert outcome.reject is not None
    assert outcome.reject.startswith("5.7.1"), outcome
    assert edge.receive(pack(anna, b"nothing bad"), rcpt_to=anna.address) == TAKEN
    (kept,) = anna.wait_for(1)
    assert content not in kept
    assert anna.messages("Junk") == []
    assert stack.spooled() + stack.spooled("hold") == []


def test_spam_lies_in_junk_with_our_verdict_and_not_the_senders(edge: Edge, anna: StackMailbox) -> None:
    assert edge.receive(SPAM, rcpt_to=anna.address) == TAKEN
    (kept,) = anna.wait_for(1, "Junk")
    assert re.findall(rb"^X-Spam: (\w+)\r$", kept, re.MULTILINE) == [b"Yes"]
    assert anna.messages() == []


def test_forged_verdict_of_a_clean_message_counts_for_nothing(edge: Edge, anna: StackMailbox) -> None:
    raw = letter(anna, "clean")
    assert edge.receive(b"X-Spam: Yes\r\n" + raw, rcpt_to=anna.address) == TAKEN
    (kept,) = anna.wait_for(1)
    assert not re.search(rb"^X-Spam:", kept, re.MULTILINE)
    assert kept.endswith(raw)


def test_alias_tag_and_letter_case_lead_to_the_mailbox(stack: Deployment, edge: Edge, anna: StackMailbox) -> None:
    alias = stack.add_alias(anna)
    tagged = anna.address.replace("@", "+lists@")
    for address in (alias, tagged, anna.address.upper()):
        assert edge.receive(letter(anna, address), rcpt_to=address) == TAKEN
    kept = anna.wait_for(3)
    subjects = re.findall(rb"^Subject: (\S+)\r$", b"".join(kept), re.MULTILINE)
    assert subjects == [alias.encode(), tagged.encode(), anna.address.upper().encode()]


def test_unknown_mailbox_is_refused_for_good(edge: Edge) -> None:
    outcome = edge.receive(message(), rcpt_to=f"nobody{secrets.token_hex(4)}@{DOMAIN}")
    assert outcome == Outcome("ok", outcome.reject)
    assert outcome.reject is not None
    assert outcome.reject.startswith("5.1.1")


def test_foreign_domain_is_undecided(edge: Edge) -> None:
    """Not ours: kept at the edge, never bounced by a wrong setting here."""
    assert edge.receive(message(), rcpt_to="somebody@elsewhere.test").reject is None
    (kept,) = edge.retained()
    edge.delete(kept.key)


def test_mailbox_over_quota_queues_and_delivers_when_there_is_room(stack: Deployment, edge: Edge) -> None:
    small = stack.add_mailbox(quota="1M")
    assert edge.receive(letter(small, "first", b"x" * 70 + b"\r\n" + b"y" * 700_000), rcpt_to=small.address) == TAKEN
    small.wait_for(1)
    second = letter(small, "second", b"z" * 700_000)
    assert edge.receive(second, rcpt_to=small.address) == TAKEN
    assert waiting_recipients(stack) == [small.address]
    small.remove_all()
    stack.retry()
    (kept,) = small.wait_for(1)
    assert kept.endswith(shown(stored(second, "BDAT")))
    eventually(stack.is_idle)


def test_same_id_delivered_twice_is_shown_once(stack: Deployment, anna: StackMailbox) -> None:
    """What the ledger cannot know after an answer that was lost: Dovecot drops the second copy by the topmost id."""
    first, second = secrets.token_hex(16), secrets.token_hex(16)
    raw = letter(anna, "once").decode()
    for ids in ([first], [first], [second, first], [first, second]):
        fields = "".join(f"X-Homeport-Id: {each}\r\n" for each in ids)
        stack.inside("mail-ingress", LMTP, stack.address("mail-dovecot", "mail_lmtp"), anna.address, fields + raw)
    assert len(anna.wait_for(2)) == 2


LMTP = """
import smtplib, sys
host, recipient, raw = sys.argv[1:]
with smtplib.LMTP(host, 2424, local_hostname="test.invalid") as lmtp:
    assert lmtp.sendmail("a@example.org", [recipient], raw) == {}
"""


def test_worker_that_repeats_a_message_id_gets_the_same_answer_and_one_copy(
    stack: Deployment, anna: StackMailbox
) -> None:
    raw, message_id = letter(anna, "repeat"), secrets.token_hex(16)
    answers = [stack.poster.post(raw, rcpt_to=anna.address, message_id=message_id) for _ in range(2)]
    assert [(answer.status, answer.document["status"]) for answer in answers] == [(200, "delivered")] * 2
    anna.wait_for(1)


@pytest.mark.parametrize("scanner", ["mail-rspamd", "mail-clamav"])
def test_nothing_is_delivered_unscanned_while_a_scanner_is_away(
    stack: Deployment, edge: Edge, anna: StackMailbox, scanner: str
) -> None:
    with stack.stopped(scanner):
        assert edge.receive(letter(anna, "clean"), rcpt_to=anna.address) == TAKEN
        assert waiting_recipients(stack) == [anna.address]
        assert anna.messages() == []
    stack.retry()
    anna.wait_for(1)
    eventually(stack.is_idle)


def test_virus_found_after_acceptance_is_held_until_somebody_decides(
    stack: Deployment, edge: Edge, anna: StackMailbox
) -> None:
    with stack.stopped("mail-clamav"):
        assert edge.receive(plain(anna, eicar()), rcpt_to=anna.address) == TAKEN
    stack.retry()
    (held,) = eventually(lambda: stack.spooled("hold"), within_s=60.0)
    assert anna.messages() == anna.messages("Junk") == []
    stack.drop(held, "a virus")
    assert stack.spooled("hold") == []


def test_full_disk_queues_and_delivers_when_there_is_room(stack: Deployment, edge: Edge, anna: StackMailbox) -> None:
    raw = letter(anna, "squeezed", b"x" * 20_000)
    with full(stack.hdd):
        assert edge.receive(raw, rcpt_to=anna.address) == TAKEN
        assert waiting_recipients(stack) == [anna.address]
    stack.retry()
    (kept,) = anna.wait_for(1)
    assert kept.endswith(shown(stored(raw, "BDAT")))
    eventually(stack.is_idle)


def test_ingress_speaks_to_nobody_without_a_signature(stack: Deployment) -> None:
    poster = stack.poster
    assert poster.request("GET", "/livez").status == 200
    assert poster.request("GET", "/metrics").status == 404
    assert poster.post(message(), change={"homeport-signature": "v1=" + "0" * 64}).status == 401
