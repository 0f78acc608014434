"""Mail through the real ingress and delivery, with the real Rspamd, clamd and Dovecot: what a scanner says happens."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.mail_api.corpus import messages
from tests.mail_api.scan.samples import attached, zipped
from tests.services.clamd import TEST_FILES, Clamd, eicar
from tests.services.dovecot import Dovecot, Mailbox
from tests.services.homeport import HOMEPORT, Answer, Homeport, eventually, message
from tests.services.process import Daemon
from tests.services.rspamd import Rspamd, pattern

RETAINED_AT = 1_700_000_000
TRACE_BLOCK = (
    b"Received: from there.example (192.0.2.7)\r\n"
    b"        by cloudflare-email.net (cloudflare) id AbC\r\n"
    b"        for <a@home.test>; Sun, 22 Nov 2026 09:00:00 +0000\r\n"
)
StartHomeport = Callable[..., Homeport]


@pytest.fixture(scope="module")
def scanned(start_homeport: StartHomeport, rspamd: Rspamd, clamd: Clamd) -> Homeport:
    """A Homeport that asks the shared scanners; patient, since other test workers share the machine."""
    return start_homeport(RSPAMD=rspamd.url, CLAMD=clamd.address, RSPAMD_TIMEOUT_S="10", CLAMD_TIMEOUT_S="10")


def scan_of(homeport: Homeport, message_id: str) -> dict[str, Any]:
    """What the trace says of the scan."""
    [step] = [event for event in trace(homeport, message_id) if event["step"] == "scanned"]
    return step


def trace(homeport: Homeport, message_id: str) -> list[dict[str, Any]]:
    [found] = json.loads(command(homeport, "trace", message_id, "--json"))
    events: list[dict[str, Any]] = found["events"]
    return events


def command(homeport: Homeport, *arguments: str) -> str:
    environment = homeport.environment | {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [*HOMEPORT, "mail", *arguments], env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout


def metric(homeport: Homeport, name: str, *, port: int | None = None, **labels: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port or homeport.metrics_port}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    samples = [sample for family in families for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())


def readiness(port: int) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            document: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        document = json.load(error)
    checks: dict[str, Any] = document["checks"]
    return checks


# the topmost id is ours; behind it the verdict's fields, then our Received, which ends behind its date
_OUR_FIELDS = re.compile(
    rb"^X-Homeport-Id: (\w{32})\r?\n((?:(?!Received:)[^\n]*\n)*)Received: [^;]*;\r?\n\t[^\r\n]*\r?\n", re.MULTILINE
)


def taken_apart(stored: bytes) -> tuple[str, list[str], bytes]:
    """Given a message as a mailbox has it, return its id, the lines of the verdict's fields, and what was received."""
    match = _OUR_FIELDS.search(stored)
    assert match, stored[:1000]
    return match[1].decode(), match[2].decode("ascii").splitlines(), stored[match.end() :]


def arrived(mailbox: Mailbox, *, within_s: float = 30.0) -> tuple[str, list[str], bytes]:
    """Wait for the mailbox's only message and return it, taken apart."""
    eventually(mailbox.files, within_s=within_s)
    [stored] = mailbox.files().values()
    return taken_apart(stored)


def in_maildir(raw: bytes) -> bytes:
    return raw.replace(b"\r\n", b"\n")


def assert_refused(answer: Answer) -> None:
    assert (answer.status, answer.type) == (422, "content-refused"), answer
    assert answer.smtp == {"code": 554, "enhanced": "5.7.1", "text": "Message content refused"}


class TestWhatScannersSay:
    def test_clean_message_arrives_byte_for_byte(self, scanned: Homeport, mailbox: Mailbox) -> None:
        raw = TRACE_BLOCK + message(b"Hello.\r\n\r\n.\r\n..\r\n\xff\x00 no end")
        answer = scanned.post(raw, rcpt_to=mailbox.address)
        assert answer.status == 200
        message_id, fields, below = arrived(mailbox)
        assert below == in_maildir(raw)
        assert [line.partition(":")[0] for line in fields] == ["Authentication-Results", "X-Spam-Status", "X-Spamd-Bar"]
        assert fields[1] == "X-Spam-Status: No, score=0.00"
        scan = scan_of(scanned, message_id)
        assert (scan["action"], scan["scanned"]) == ("deliver", True)
        assert scan["reason"] == "rspamd: no action, score 0.00 of 15.00; clamd: clean"

    def test_corpus_arrives_byte_for_byte(self, scanned: Homeport, dovecot: Dovecot) -> None:
        """Hostile header sections and bodies: what scanners make of them changes nothing of them."""
        mailbox = dovecot.add_user()
        sent = {}
        for name, raw in messages.hostile().items():
            answer = scanned.post(raw, rcpt_to=mailbox.address, message_id=(message_id := secrets.token_hex(16)))
            assert answer.document.get("status") == "delivered", (name, answer)
            sent[message_id] = (name, raw)
        found = {}
        for stored in mailbox.files().values():
            message_id, _, below = taken_apart(stored)
            found[message_id] = below
        changed = [
            name
            for message_id, (name, raw) in sent.items()
            if found[message_id] != messages.stored(messages.without_spam_fields(raw), "BDAT")
        ]
        assert changed == []

    def test_spam_is_marked_and_delivered(self, scanned: Homeport, mailbox: Mailbox) -> None:
        forged = b"X-Spam: No\r\nX-Spam-Status: No, score=-100\r\n"
        below_forged = b"X-Test-Action: score\r\nX-Homeport-Id: %s\r\n" % (b"0" * 32) + message(b"Buy.\r\n")
        assert scanned.post(forged + below_forged, rcpt_to=mailbox.address).status == 200
        message_id, fields, below = arrived(mailbox)
        assert [fields[0], *fields[-2:]] == ["X-Spam: Yes", "X-Spam-Status: Yes, score=7.50", "X-Spamd-Bar: +++++++"]
        assert below == in_maildir(below_forged)
        assert message_id != "0" * 32

    @pytest.mark.parametrize("action", ["add header", "rewrite subject"])
    def test_spam_is_marked_though_rspamd_gives_no_field(
        self, scanned: Homeport, mailbox: Mailbox, action: str
    ) -> None:
        raw = message(pattern(action) + b"\r\n")
        assert scanned.post(raw, rcpt_to=mailbox.address).status == 200
        _, fields, below = arrived(mailbox)
        assert fields[0] == "X-Spam: Yes"
        assert fields[1].startswith("X-Spam-Status: Yes, score=")
        assert below == in_maildir(raw)  # its subject too

    def test_message_cannot_write_header_fields_through_rspamd(self, scanned: Homeport, mailbox: Mailbox) -> None:
        raw = b"X-Test-Action: score\r\nX-Test-Milter: =?utf-8?q?=0D=0AX-Spam=3A_No=0D=0A=0D=0Abody?=\r\n" + message()
        assert scanned.post(raw, rcpt_to=mailbox.address).status == 200
        _, fields, below = arrived(mailbox)
        names = [line.partition(":")[0] for line in fields if not line.startswith("\t")]
        assert names.count("X-Spam") == 1
        assert set(names) <= {"X-Spam", "X-Spam-Quoted", "X-Spam-Status", "X-Spamd-Bar", "Authentication-Results"}
        assert below == in_maildir(raw)

    def test_reject_score_is_refused_in_the_session(self, scanned: Homeport, mailbox: Mailbox) -> None:
        assert_refused(scanned.post(message(pattern() + b"\r\n"), rcpt_to=mailbox.address))
        assert mailbox.files() == {}

    @pytest.mark.parametrize("wrap", ["plain", "base64", "zip", "zip in zip"])
    def test_virus_is_refused_however_it_is_wrapped(self, scanned: Homeport, mailbox: Mailbox, wrap: str) -> None:
        raw = {
            "plain": lambda: message(eicar() + b"\r\n"),
            "base64": lambda: attached(eicar()),
            "zip": lambda: attached(zipped(eicar())),
            "zip in zip": lambda: attached(zipped(zipped(eicar()))),
        }[wrap]()
        message_id = secrets.token_hex(16)
        assert_refused(scanned.post(raw, rcpt_to=mailbox.address, message_id=message_id))
        assert "clamd: found Eicar-Test" in scan_of(scanned, message_id)["reason"]
        assert mailbox.files() == {}

    def test_infected_archive_of_clamav_is_refused(self, scanned: Homeport, mailbox: Mailbox) -> None:
        assert_refused(scanned.post(attached((TEST_FILES / "clam.7z").read_bytes()), rcpt_to=mailbox.address))

    def test_client_and_envelope_reach_rspamd(self, scanned: Homeport, mailbox: Mailbox) -> None:
        raw = TRACE_BLOCK + b"X-Test-Action: soft reject\r\n" + message()
        answer = scanned.post(raw, rcpt_to=mailbox.address, mail_from="b@example.net")
        assert (answer.status, answer.document["status"]) == (202, "queued")
        queue_id = answer.document["queue_id"]
        entry = scanned.control("GET", f"/v1/queue/{queue_id}").document
        assert entry["verdict"]["report"]["rspamd"]["symbols"]["SEEN"]["options"] == [
            "ip=192.0.2.7",
            "helo=there.example",
            "from=b@example.net",
            f"rcpt={mailbox.address}",
            f"queue={queue_id}",
        ]

    def test_soft_reject_is_asked_again_from_the_queue(self, scanned: Homeport, mailbox: Mailbox) -> None:
        answer = scanned.post(b"X-Test-Action: soft reject\r\n" + message(), rcpt_to=mailbox.address)
        queue_id = answer.document["queue_id"]

        def attempts() -> int:
            return int(scanned.control("GET", f"/v1/queue/{queue_id}").document["attempts"])

        before = eventually(attempts)
        assert scanned.control("POST", f"/v1/queue/{queue_id}/retry").status == 202
        eventually(lambda: attempts() > before)
        assert mailbox.files() == {}

    def test_many_at_once_get_each_their_own_verdict(self, scanned: Homeport, dovecot: Dovecot) -> None:
        kinds: list[tuple[Callable[[], bytes], int]] = [
            (message, 200),
            (lambda: message(pattern() + b"\r\n"), 422),
            (lambda: message(eicar() + b"\r\n"), 422),
            (lambda: b"X-Test-Action: score\r\n" + message(), 200),
        ]
        mailbox = dovecot.add_user()
        with ThreadPoolExecutor(24) as threads:
            asked = [
                (status, threads.submit(scanned.post, build(), rcpt_to=mailbox.address)) for build, status in kinds * 24
            ]
            assert [answer.result().status for _, answer in asked] == [status for status, _ in asked]
        stored = list(mailbox.files().values())
        assert len(stored) == 48
        assert sum(b"\nX-Spam: Yes\n" in raw for raw in stored) == 24

    def test_largest_message_is_scanned_within_the_budgets(self, scanned: Homeport, mailbox: Mailbox) -> None:
        head = b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
        raw = head + message(base64.encodebytes(secrets.token_bytes(18 * 1024**2)).replace(b"\n", b"\r\n"))
        answer = scanned.post(raw, rcpt_to=mailbox.address)
        assert (answer.status, answer.document["status"]) == (200, "delivered"), answer
        _, _, below = arrived(mailbox)
        assert below == in_maildir(raw)

    def test_numbers_are_counted(self, scanned: Homeport, mailbox: Mailbox) -> None:
        def counted() -> tuple[float, ...]:
            return (
                metric(scanned, "homeport_mail_verdicts_total", action="refuse"),
                metric(scanned, "homeport_mail_scanner_findings_total", scanner="clamd", finding="refused"),
                metric(scanned, "homeport_mail_scanner_seconds_count", scanner="rspamd"),
            )

        before = counted()
        assert_refused(scanned.post(message(eicar() + b"\r\n"), rcpt_to=mailbox.address))
        assert counted() == tuple(number + 1 for number in before)

    def test_readiness_names_the_scanners(self, scanned: Homeport, rspamd: Rspamd, clamd: Clamd) -> None:
        for port in (scanned.metrics_port, scanned.delivery_metrics_port):
            checks = readiness(port)
            assert (checks["rspamd"]["ok"], checks["rspamd"]["detail"]) == (True, rspamd.url)
            assert checks["clamd"]["ok"]
            assert checks["clamd"]["detail"].startswith(f"{clamd.address} ClamAV 1.")


class TestQuarantine:
    def held(self, homeport: Homeport, raw: bytes, mailbox: Mailbox) -> str:
        """Drain a message that a scanner refuses; return its queue id."""
        answer = homeport.post(raw, rcpt_to=mailbox.address, retained_at=RETAINED_AT)
        assert (answer.status, answer.document["status"], answer.smtp) == (202, "held", None)
        return str(answer.document["queue_id"])

    def test_virus_from_the_edges_store_is_held_with_its_report(self, scanned: Homeport, mailbox: Mailbox) -> None:
        queue_id = self.held(scanned, message(eicar() + b"\r\n"), mailbox)
        shown = command(scanned, "queue", "show", queue_id)
        assert "refuse: rspamd: no action, score 0.00 of 15.00; clamd: found Eicar-Test.UNOFFICIAL" in shown
        assert "name: Eicar-Test.UNOFFICIAL" in shown
        assert "SEEN +0.00" in shown

    def test_release_delivers_with_its_trace_and_who_did_it(self, scanned: Homeport, mailbox: Mailbox) -> None:
        raw = TRACE_BLOCK + message(pattern() + b"\r\n")
        queue_id = self.held(scanned, raw, mailbox)
        scans = metric(
            scanned, "homeport_mail_scanner_seconds_count", port=scanned.delivery_metrics_port, scanner="clamd"
        )
        command(scanned, "queue", "release", queue_id)
        message_id, fields, below = arrived(mailbox)
        assert (message_id, fields) == (queue_id, [])  # nothing files it to Junk: a human has let it go
        assert below == in_maildir(raw)
        eventually(lambda: trace(scanned, queue_id)[-1]["step"] == "delivered")
        events = {event["step"]: event for event in trace(scanned, queue_id)}
        assert list(events) == ["retained", "drained", "scanned", "held", "released", "delivered"]
        assert events["released"]["actor"] == f"uid:{os.getuid()}"
        assert events["released"]["reason"].startswith(f"released by uid:{os.getuid()}; was refuse: rspamd: reject")
        assert scans == metric(
            scanned, "homeport_mail_scanner_seconds_count", port=scanned.delivery_metrics_port, scanner="clamd"
        )

    def test_release_records_the_override_in_the_entry(self, scanned: Homeport, dovecot: Dovecot) -> None:
        mailbox = dovecot.add_user(quota_bytes=10)  # so that it stays in the queue to be looked at
        queue_id = self.held(scanned, message(eicar() + b"\r\n"), mailbox)
        command(scanned, "queue", "release", queue_id)
        entry = eventually(lambda: _queued(scanned, queue_id))
        assert entry["verdict"]["released_by"] == f"uid:{os.getuid()}"
        assert entry["verdict"]["report"]["overruled"]["action"] == "refuse"
        assert "overruled" in command(scanned, "queue", "show", queue_id)

    def test_what_was_never_scanned_is_scanned_on_release(self, scanned: Homeport, dovecot: Dovecot) -> None:
        """Held because its mailbox was unknown: releasing it says nothing about what is in it."""
        mailbox = Mailbox(dovecot, f"u{secrets.token_hex(6)}@home.test")
        queue_id = self.held(scanned, message(eicar() + b"\r\n"), mailbox)
        dovecot.add_user(mailbox.address)
        command(scanned, "queue", "release", queue_id)

        def refused() -> dict[str, Any] | None:
            entry = scanned.control("GET", f"/v1/queue/{queue_id}").document
            return entry if entry.get("place") == "hold" and entry["verdict"] else None

        assert "found Eicar-Test" in eventually(refused)["reason"]
        assert mailbox.files() == {}
        command(scanned, "queue", "release", queue_id)  # now the operator has seen what it is
        arrived(mailbox)

    def test_drop_wants_a_reason(self, scanned: Homeport, mailbox: Mailbox) -> None:
        queue_id = self.held(scanned, message(pattern() + b"\r\n"), mailbox)
        assert scanned.control("POST", f"/v1/queue/{queue_id}/drop", {}).status == 422
        with pytest.raises(subprocess.CalledProcessError):
            command(scanned, "queue", "drop", queue_id, "--yes")
        command(scanned, "queue", "drop", queue_id, "--yes", "--reason", "spam indeed")
        assert trace(scanned, queue_id)[-1] == trace(scanned, queue_id)[-1] | {
            "step": "dropped",
            "reason": "spam indeed",
            "actor": f"uid:{os.getuid()}",
        }


def _queued(homeport: Homeport, queue_id: str) -> dict[str, Any] | None:
    entry = homeport.control("GET", f"/v1/queue/{queue_id}").document
    return entry if entry.get("place") == "queue" and entry["attempts"] else None


@pytest.fixture(scope="module")
def own() -> Iterator[tuple[Rspamd, Clamd]]:
    """Scanners that may be killed."""
    with Rspamd() as rspamd, Clamd() as clamd:
        yield rspamd, clamd


@pytest.fixture(scope="module")
def impatient(start_homeport: StartHomeport, own: tuple[Rspamd, Clamd]) -> Homeport:
    """A Homeport before them."""
    rspamd, clamd = own
    return start_homeport(RSPAMD=rspamd.url, CLAMD=clamd.address, RSPAMD_TIMEOUT_S="1.5", CLAMD_TIMEOUT_S="1.5")


@pytest.fixture(params=["rspamd", "clamd"])
def victim(request: pytest.FixtureRequest, own: tuple[Rspamd, Clamd]) -> Iterator[Daemon]:
    """One of them, which runs again afterwards."""
    daemon = own[request.param == "clamd"].daemon
    yield daemon
    daemon.resume()
    if not daemon.is_running:
        daemon.kill()
        daemon.start()


@pytest.mark.services
class TestScannersThatFail:
    def queued(self, homeport: Homeport, raw: bytes, mailbox: Mailbox) -> str:
        answer = homeport.post(raw, rcpt_to=mailbox.address)
        assert (answer.status, answer.document.get("status")) == (202, "queued"), answer
        return str(answer.document["queue_id"])

    def test_scanner_killed_queues_and_then_scans_anew(
        self, impatient: Homeport, victim: Daemon, mailbox: Mailbox, dovecot: Dovecot
    ) -> None:
        victim.kill()
        other = dovecot.add_user()
        raw = message()
        clean, bad = self.queued(impatient, raw, mailbox), self.queued(impatient, b"X-A: b\r\n" + message(), other)
        assert {"rspamd", "clamd"} & {
            name for name, check in readiness(impatient.metrics_port).items() if not check["ok"]
        }
        victim.start()
        assert impatient.control("POST", "/v1/queue/retry").status == 202
        message_id, _, below = arrived(mailbox)
        assert (message_id, below) == (clean, in_maildir(raw))
        arrived(other)
        eventually(lambda: trace(impatient, bad)[-1]["step"] == "delivered")
        assert [event["action"] for event in trace(impatient, clean) if event["step"] == "scanned"] == [
            "defer",
            "deliver",
        ]

    def test_scanner_that_hangs_queues_within_its_budget(
        self, impatient: Homeport, victim: Daemon, mailbox: Mailbox
    ) -> None:
        victim.pause()
        raw = message()
        queue_id = self.queued(impatient, raw, mailbox)
        reason = scan_of(impatient, queue_id)["reason"]
        assert "no answer within 1.5 s" in reason
        victim.resume()
        assert impatient.control("POST", "/v1/queue/retry").status == 202
        message_id, _, below = arrived(mailbox, within_s=90)
        assert (message_id, below) == (queue_id, in_maildir(raw))

    def test_virus_spooled_while_clamd_was_down_is_held(
        self, impatient: Homeport, own: tuple[Rspamd, Clamd], mailbox: Mailbox
    ) -> None:
        _, clamd = own
        clamd.kill()
        try:
            queue_id = self.queued(impatient, message(eicar() + b"\r\n"), mailbox)
        finally:
            clamd.start()
        assert impatient.control("POST", "/v1/queue/retry").status == 202
        eventually(lambda: queue_id in impatient.entries("hold"), within_s=30)
        assert mailbox.files() == {}

    def test_virus_is_refused_though_rspamd_is_down(
        self, impatient: Homeport, own: tuple[Rspamd, Clamd], mailbox: Mailbox
    ) -> None:
        rspamd, _ = own
        rspamd.kill()
        try:
            assert_refused(impatient.post(message(eicar() + b"\r\n"), rcpt_to=mailbox.address))
        finally:
            rspamd.start()

    def test_outage_of_rspamd_can_be_excused(
        self, start_homeport: StartHomeport, own: tuple[Rspamd, Clamd], mailbox: Mailbox
    ) -> None:
        rspamd, clamd = own
        excusing = start_homeport(RSPAMD=rspamd.url, CLAMD=clamd.address, SPAM_SCANNER_DOWN="deliver")
        rspamd.kill()
        try:
            assert_refused(excusing.post(message(eicar() + b"\r\n"), rcpt_to=mailbox.address))
            assert excusing.post(message(), rcpt_to=mailbox.address).status == 200
        finally:
            rspamd.start()
        message_id, fields, _ = arrived(mailbox)
        assert fields == []
        assert scan_of(excusing, message_id)["scanned"] is False

    def test_message_over_clamds_limit_is_held_at_once(
        self, start_homeport: StartHomeport, own: tuple[Rspamd, Clamd], mailbox: Mailbox
    ) -> None:
        with Clamd(stream_max_bytes=1_000_000) as small:
            homeport = start_homeport(RSPAMD=own[0].url, CLAMD=small.address)
            raw = message(base64.encodebytes(secrets.token_bytes(1_500_000)))
            answer = homeport.post(raw, rcpt_to=mailbox.address)
            assert (answer.status, answer.document["status"]) == (202, "held")
            assert "scanner_over_limit" in homeport.ingress.log.read_text()
            findings = metric(homeport, "homeport_mail_scanner_findings_total", scanner="clamd", finding="over-limit")
            assert findings == 1
            command(homeport, "queue", "release", answer.document["queue_id"])
            _, _, below = arrived(mailbox)
        assert below == in_maildir(raw)


class TestStart:
    def test_start_says_which_scanner_is_missing(
        self, start_homeport: StartHomeport, homeport: Homeport, scanned: Homeport, clamd: Clamd
    ) -> None:
        def missing(one: Homeport) -> list[list[str]]:
            lines = [json.loads(line) for line in one.ingress.log.read_text().splitlines() if line.startswith("{")]
            return [line["missing"] for line in lines if line["event"] == "no_scanner"]

        assert missing(homeport) == [["rspamd", "clamd"]]
        assert missing(start_homeport(CLAMD=clamd.address)) == [["rspamd"]]
        assert missing(scanned) == []

    def test_without_scanners_none_is_looked_at(self, homeport: Homeport) -> None:
        assert not {"rspamd", "clamd"} & readiness(homeport.metrics_port).keys()
