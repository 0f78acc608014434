"""What the owner of a mailbox does with it on the real stack: reads by IMAP and POP3, files, filters, teaches."""

from __future__ import annotations

import imaplib
import json
import poplib
import random
import re
import smtplib
import socket
import ssl
import string

import pytest

from tests.services.edge import TAKEN, Edge
from tests.services.homeport import eventually
from tests.stacks.deployment import Deployment
from tests.stacks.mailbox import HOST, StackMailbox
from tests.stacks.test_way_in import letter


def test_pop3s_shows_the_same_message(edge: Edge, anna: StackMailbox) -> None:
    assert edge.receive(letter(anna, "by POP3"), rcpt_to=anna.address) == TAKEN
    (kept,) = anna.wait_for(1)
    with anna.pop3() as pop3:
        assert pop3.stat()[0] == 1
        assert b"\r\n".join(pop3.retr(1)[1]) + b"\r\n" == kept


def test_wrong_password_is_refused_by_every_protocol(anna: StackMailbox) -> None:
    wrong = StackMailbox(anna.address, "wrong", anna.ports, anna.authority)
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"), wrong.imap():
        pass
    with pytest.raises(poplib.error_proto, match="Authentication failed"), wrong.pop3():
        pass
    with pytest.raises(smtplib.SMTPAuthenticationError), wrong.submission():
        pass


@pytest.mark.parametrize("protocol", ["imaps", "pop3s", "submissions"])
def test_nothing_is_said_before_tls(anna: StackMailbox, protocol: str) -> None:
    with socket.create_connection((HOST, anna.ports[protocol]), timeout=5.0) as plain:
        plain.sendall(b"a LOGIN x y\r\n")
        assert b"OK" not in plain.recv(1000)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")  # to offer them is the point
@pytest.mark.parametrize("protocol", ["imaps", "pop3s", "submissions", "webmail"])
def test_tls_begins_at_1_2(anna: StackMailbox, protocol: str) -> None:
    """1.0 and 1.1 are refused by the server's own alert, not for want of a client that offers them; 1.2 is spoken."""
    old, oldest_allowed = anna.tls, anna.tls
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection((HOST, anna.ports[protocol]), timeout=10.0) as plain,
        pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"),
    ):
        old.wrap_socket(plain, server_hostname=HOST)
    oldest_allowed.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection((HOST, anna.ports[protocol]), timeout=10.0) as plain,
        oldest_allowed.wrap_socket(plain, server_hostname=HOST) as secured,
    ):
        assert secured.version() == "TLSv1.2"


def test_special_folders_are_there(anna: StackMailbox) -> None:
    with anna.imap() as connection:
        _, listed = connection.list()
    folders = b"\n".join(each for each in listed if isinstance(each, bytes)).decode()
    for flag, name in (("Junk", "Junk"), ("Sent", "Sent"), ("Drafts", "Drafts"), ("Trash", "Trash")):
        assert re.search(rf"\(.*\\{flag}.*\) \"/\" \"?{name}\"?", folders), folders


def test_filter_set_by_managesieve_files_what_comes_then(edge: Edge, anna: StackMailbox) -> None:
    offered = anna.put_script(
        "lists",
        'require ["fileinto", "mailbox"]; if header :contains "Subject" "[list]" { fileinto :create "Lists"; }\r\n',
    )
    assert '"STARTTLS"' in offered
    assert re.search(r'^"SASL" ""\r$', offered, re.MULTILINE)  # no password before TLS
    assert edge.receive(letter(anna, "[list] one"), rcpt_to=anna.address) == TAKEN
    assert edge.receive(letter(anna, "two"), rcpt_to=anna.address) == TAKEN
    (listed,) = anna.wait_for(1, "Lists")
    assert b"[list] one" in listed
    (other,) = anna.wait_for(1)
    assert b"Subject: two" in other


STATISTICS = """
import sys, urllib.request
url, password = sys.argv[1:]
asked = urllib.request.Request(url, headers={"Password": password})
print(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=10).read().decode())
"""


def learned(stack: Deployment) -> dict[str, int]:
    """How many messages Rspamd has learned, by class; asked as Dovecot does."""
    url = f"http://{stack.address('mail-rspamd', 'mail_learn')}:11334/stat"
    password = (stack.secrets / "rspamd_controller_password").read_text().strip()
    statistics = json.loads(stack.inside("mail-dovecot", STATISTICS, url, password))
    return {each["symbol"]: each["revision"] for each in statistics["statfiles"]}


def words() -> bytes:
    """A text of its own: Bayes wants a dozen different words, and learns the same text once only."""
    return " ".join("".join(random.choices(string.ascii_lowercase, k=7)) for _ in range(40)).encode()


def test_moving_into_junk_and_out_of_it_teaches(stack: Deployment, edge: Edge, anna: StackMailbox) -> None:
    before = learned(stack)
    assert edge.receive(letter(anna, "teach", words()), rcpt_to=anna.address) == TAKEN
    anna.wait_for(1)
    assert learned(stack) == before  # nothing is learned from what Rspamd thinks itself
    anna.move("INBOX", "Junk")
    eventually(lambda: learned(stack)["BAYES_SPAM"] == before["BAYES_SPAM"] + 1, within_s=30.0)
    assert learned(stack)["BAYES_HAM"] == before["BAYES_HAM"]
    anna.move("Junk", "INBOX")
    eventually(lambda: learned(stack)["BAYES_HAM"] == before["BAYES_HAM"] + 1, within_s=30.0)
    assert learned(stack)["BAYES_SPAM"] == before["BAYES_SPAM"]  # what was spam is ham now, not both
    after = learned(stack)
    anna.move("INBOX", "Trash")
    assert edge.receive(letter(anna, "barrier"), rcpt_to=anna.address) == TAKEN
    anna.wait_for(1)
    assert learned(stack) == after
