"""`POST /v1/messages` over a real socket into a real Dovecot: the rows of wire.md's tables that need no broken part."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.signing import Key
from mail_api.envelope import Envelope
from mail_api.signature import WINDOW_S, signed_headers
from tests.services.dovecot import Dovecot, Mailbox
from tests.services.homeport import Answer, Homeport, Poster, answer_on, eventually, message, received

NOBODY = "nobody@home.test"
RETAINED_AT = 1_700_000_000
LOOP = b"Received: from here by there; Mon, 1 Jan 2024 00:00:00 +0000\r\n"


@pytest.fixture(scope="module")
def strict(start_homeport: Callable[..., Homeport]) -> Homeport:
    """One that accepts two domains, one message at a time, and refuses mail for full mailboxes."""
    return start_homeport(DOMAINS="home.test, bücher.test", MAX_CONCURRENT="1", MAILBOX_FULL_IS_FINAL="true")


def refusal_of(answer: Answer, message_id: str) -> tuple[int, str, int, str]:
    """Check that a final refusal is one that the Worker believes; return status, type, SMTP code and enhanced code."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.document["message_id"] == message_id
    assert answer.smtp is not None
    text = answer.smtp["text"]
    assert text.isascii()
    assert text.isprintable()
    return answer.status, answer.type, answer.smtp["code"], answer.smtp["enhanced"]


def assert_held(homeport: Homeport, answer: Answer, message_id: str) -> None:
    assert (answer.status, answer.document["status"]) == (202, "held")
    assert answer.document["queue_id"] == message_id
    assert message_id in homeport.entries("hold")


@pytest.fixture
def message_id() -> str:
    return secrets.token_hex(16)


class TestReceipt:
    @pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
    def test_message_is_delivered_under_its_id(
        self, homeport: Homeport, mailbox: Mailbox, message_id: str, chunked: bool
    ) -> None:
        raw = message()
        headers = homeport.poster.headers(raw, rcpt_to=mailbox.address, message_id=message_id)
        answer = homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id, chunked=chunked)
        assert answer.status == 200
        assert answer.document == {
            "status": "delivered",
            "message_id": message_id,
            "sha256": headers["homeport-content-sha256"],
            "queue_id": None,
        }
        (stored,) = mailbox.files().values()
        assert received(stored) == (message_id, raw.replace(b"\r\n", b"\n"))
        (seen,) = mailbox.messages()
        assert received(seen) == (message_id, raw)

    @pytest.mark.parametrize("sender", ["", "<>"])
    def test_null_sender_stays_null(self, homeport: Homeport, mailbox: Mailbox, sender: str) -> None:
        assert homeport.post(message(), mail_from=sender, rcpt_to=mailbox.address).status == 200
        (stored,) = mailbox.files().values()
        assert stored.startswith(b"Return-Path: <>\n")

    def test_recipient_in_an_international_domain_is_known_by_its_a_label(
        self, homeport: Homeport, dovecot: Dovecot
    ) -> None:
        local = f"u{secrets.token_hex(4)}"
        mailbox = dovecot.add_user(f"{local}@xn--bcher-kva.test")
        assert homeport.post(message(), rcpt_to=f"{local}@BÜCHER.test").status == 200
        assert len(mailbox.files()) == 1

    def test_recipient_in_capitals_reaches_the_same_mailbox(self, homeport: Homeport, mailbox: Mailbox) -> None:
        assert homeport.post(message(), rcpt_to=mailbox.address.upper()).status == 200
        assert len(mailbox.files()) == 1

    def test_subaddress_reaches_its_mailbox(self, homeport: Homeport, mailbox: Mailbox) -> None:
        local, domain = mailbox.address.split("@")
        assert homeport.post(message(), rcpt_to=f"{local}+news@{domain}").status == 200
        assert len(mailbox.files()) == 1

    @pytest.mark.parametrize(
        "raw",
        [
            b"no header at all",
            b"Subject: unfolded\r\n broken\r\n:no name\r\n\r\nbody",
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n--y--",
            b"\r\n\r\n",
            b"\x00\xff\xfe",
        ],
    )
    def test_malformed_message_is_delivered_as_it_is(self, homeport: Homeport, mailbox: Mailbox, raw: bytes) -> None:
        assert homeport.post(raw, rcpt_to=mailbox.address).status == 200
        (stored,) = mailbox.files().values()
        assert received(stored)[1] == raw.replace(b"\r\n", b"\n")


class TestSignature:
    def assert_refused(self, answer: Answer) -> None:
        assert (answer.status, answer.type, answer.smtp) == (401, "signature-refused", None)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Homeport"
        assert "message_id" not in answer.document

    def test_signature_is_checked_for_each_header(self, homeport: Homeport, mailbox: Mailbox) -> None:
        raw = message()
        headers = homeport.poster.headers(raw, rcpt_to=mailbox.address)
        signed = [name for name in headers if name.startswith("homeport-")]
        for name, value in itertools.product(signed, [None, "", "1"]):
            self.assert_refused(homeport.post(raw, rcpt_to=mailbox.address, change={name: value}))
        self.assert_refused(homeport.post(raw, rcpt_to=mailbox.address, change={"homeport-retained-at": "1700000000"}))
        assert homeport.post(raw, rcpt_to=mailbox.address).status == 200
        assert len(mailbox.files()) == 1

    def test_header_that_occurs_twice_is_refused(self, homeport: Homeport, mailbox: Mailbox) -> None:
        raw = message()
        fields = [*homeport.poster.headers(raw, rcpt_to=mailbox.address).items(), ("content-length", len(raw))]
        for repeated, status in [([], 200), ([("Homeport-Rcpt-To", fields[3][1])], 401)]:
            with homeport.poster.begin([*fields, *repeated]) as connection:
                connection.sendall(raw)
                assert answer_on(connection).status == status

    @pytest.mark.parametrize("offset_s", [-WINDOW_S - 5, WINDOW_S + 5])
    def test_signature_of_another_time_is_refused(self, homeport: Homeport, mailbox: Mailbox, offset_s: int) -> None:
        now = int(time.time())
        self.assert_refused(homeport.post(message(), rcpt_to=mailbox.address, timestamp=now + offset_s))
        nearly = offset_s - 10 if offset_s > 0 else offset_s + 10
        assert homeport.post(message(), rcpt_to=mailbox.address, timestamp=now + nearly).status == 200

    def test_signature_by_an_unknown_key_is_refused(self, homeport: Homeport, mailbox: Mailbox) -> None:
        for key_id in ("stranger", homeport.key.key_id):
            stranger = Poster(homeport.port, Key.generate(key_id))
            self.assert_refused(stranger.post(message(), rcpt_to=mailbox.address))
            self.assert_refused(stranger.get_health())
        assert mailbox.files() == {}

    def test_signature_for_another_path_is_refused(self, homeport: Homeport) -> None:
        headers = signed_headers(homeport.key, now=int(time.time()), method="GET", path="/v1/messages")
        self.assert_refused(homeport.poster.request("GET", "/v1/health", headers=headers))

    def test_keys_are_followed_while_the_ingress_runs(
        self, start_homeport: Callable[..., Homeport], mailbox: Mailbox
    ) -> None:
        homeport = start_homeport()
        new = Poster(homeport.port, Key.generate("new"))

        def statuses() -> list[int]:
            return [poster.post(message(), rcpt_to=mailbox.address).status for poster in (homeport.poster, new)]

        assert statuses() == [200, 401]
        homeport.keys_file.write_text(f"{new.key.line}\n{homeport.key.line}\n")
        eventually(lambda: statuses() == [200, 200])
        homeport.keys_file.write_text(f"{new.key.line}\n")
        eventually(lambda: statuses() == [401, 200])
        homeport.keys_file.write_text("no key at all\n")
        eventually(lambda: statuses() and "keys_file_unusable" in homeport.ingress.log.read_text())
        assert statuses() == [401, 200]
        assert homeport.key.secret.hex() not in homeport.ingress.log.read_text()


class TestEnvelope:
    @pytest.mark.parametrize(
        ("mail_from", "rcpt_to"),
        [
            ("a@example.org", "anna"),
            ("a@example.org", "anna@"),
            ("a@example.org", "@home.test"),
            ("a@example.org", "an\r\nRCPT TO:<evil@home.test>@home.test"),
            ("a@example.org", "anna\x00@home.test"),
            ("a@example.org", "anna\x9b@home.test"),
            ("a@example.org", "anna@home .test"),
            ("a@example.org", f"{'a' * 65}@home.test"),
            ("a@example.org", f"anna@{'a' * 64}.test"),
            ("a@example.org", f"anna@{'a.' * 128}test"),
            ("a@example.org", "anna@[192.0.2.1]"),
            ("a\n@example.org", "anna@home.test"),
            ("a", "anna@home.test"),
            (f"a@{'b.' * 128}org", "anna@home.test"),
        ],
    )
    def test_address_that_no_mailbox_can_have_is_refused_and_on_a_drain_held(
        self, homeport: Homeport, message_id: str, mail_from: str, rcpt_to: str
    ) -> None:
        raw = message()
        who: dict[str, Any] = {"mail_from": mail_from, "rcpt_to": rcpt_to, "message_id": message_id}
        assert refusal_of(homeport.post(raw, **who), message_id) == (422, "bad-address", 553, "5.1.3")
        assert_held(homeport, homeport.post(raw, retained_at=RETAINED_AT, **who), message_id)

    @pytest.mark.parametrize(
        "wrong", [{"message_id": "A" * 32}, {"message_id": "0" * 31}, {"sha256": "0" * 63}, {"rcpt_to": ""}], ids=str
    )
    def test_value_that_breaks_the_contract_is_undecided(self, homeport: Homeport, wrong: dict[str, str]) -> None:
        raw = message()
        right: dict[str, Any] = {"message_id": "0" * 32, "mail_from": "", "rcpt_to": "a@home.test", "sha256": "0" * 64}
        envelope = Envelope(size_bytes=len(raw), **right | wrong)
        headers = signed_headers(
            homeport.key, now=int(time.time()), method="POST", path="/v1/messages", message=envelope
        )
        answer = homeport.poster.request("POST", "/v1/messages", headers=headers, body=raw)
        assert (answer.status, answer.type, answer.smtp) == (400, "malformed-request", None)
        assert answer.document["message_id"] == envelope.message_id

    def test_domain_that_is_not_ours_is_undecided_even_on_a_drain(self, strict: Homeport, dovecot: Dovecot) -> None:
        elsewhere = dovecot.add_user(f"u{secrets.token_hex(4)}@elsewhere.test")
        for retained_at in (None, RETAINED_AT):
            answer = strict.post(message(), rcpt_to=elsewhere.address, retained_at=retained_at)
            assert (answer.status, answer.type, answer.smtp) == (421, "domain-not-accepted", None)
        assert elsewhere.files() == {}
        for domain in ("home.test", "HOME.test", "xn--bcher-kva.test", "bücher.test"):
            mailbox = dovecot.add_user(f"u{secrets.token_hex(4)}@{domain.encode('idna').decode().lower()}")
            local = mailbox.address.split("@")[0]
            assert strict.post(message(), rcpt_to=f"{local}@{domain}").status == 200


class TestMailbox:
    def test_unknown_mailbox_beside_a_known_sentinel_is_final_and_on_a_drain_held(
        self, homeport: Homeport, message_id: str
    ) -> None:
        raw = message()
        who: dict[str, Any] = {"rcpt_to": NOBODY, "message_id": message_id}
        assert refusal_of(homeport.post(raw, **who), message_id) == (404, "unknown-mailbox", 550, "5.1.1")
        assert_held(homeport, homeport.post(raw, retained_at=RETAINED_AT, **who), message_id)

    def test_unknown_mailbox_beside_an_unknown_sentinel_is_queued(
        self, start_homeport: Callable[..., Homeport], message_id: str
    ) -> None:
        emptied = start_homeport(sentinel="ghost@home.test")
        answer = emptied.post(message(), rcpt_to=NOBODY, message_id=message_id)
        assert (answer.status, answer.document["status"], answer.document["queue_id"]) == (202, "queued", message_id)
        assert emptied.poster.get_health().document["queue"]["length"] == 1

    def test_unknown_mailbox_without_a_sentinel_is_final_and_the_start_warns(
        self, start_homeport: Callable[..., Homeport], message_id: str
    ) -> None:
        bare = start_homeport(sentinel=None)
        answer = bare.post(message(), rcpt_to=NOBODY, message_id=message_id)
        assert refusal_of(answer, message_id) == (404, "unknown-mailbox", 550, "5.1.1")
        assert '"event": "no_sentinel"' in bare.ingress.log.read_text()

    def test_mailbox_made_a_moment_ago_is_not_refused(
        self, homeport: Homeport, dovecot: Dovecot, message_id: str
    ) -> None:
        raw, address = message(), f"u{secrets.token_hex(4)}@home.test"
        assert homeport.post(raw, rcpt_to=address, message_id=message_id).status == 404
        mailbox = dovecot.add_user(address)
        assert homeport.post(raw, rcpt_to=address, message_id=message_id).status == 200
        assert len(mailbox.files()) == 1

    def test_mailbox_removed_after_it_was_known_is_refused(self, homeport: Homeport, dovecot: Dovecot) -> None:
        mailbox = dovecot.add_user()
        assert homeport.post(message(), rcpt_to=mailbox.address).status == 200
        dovecot.remove_user(mailbox.address)
        assert homeport.post(message(), rcpt_to=mailbox.address).status == 404

    def test_full_mailbox_is_queued_by_default(self, homeport: Homeport, dovecot: Dovecot, message_id: str) -> None:
        full = dovecot.add_user(quota_bytes=10)
        answer = homeport.post(message(), rcpt_to=full.address, message_id=message_id)
        assert (answer.status, answer.document["status"], answer.document["queue_id"]) == (202, "queued", message_id)

    def test_full_mailbox_is_refused_by_setting_and_on_a_drain_held(
        self, strict: Homeport, dovecot: Dovecot, message_id: str
    ) -> None:
        full = dovecot.add_user(quota_bytes=10)
        raw = message()
        who: dict[str, Any] = {"rcpt_to": full.address, "message_id": message_id}
        assert refusal_of(strict.post(raw, **who), message_id) == (507, "mailbox-full", 552, "5.2.2")
        assert_held(strict, strict.post(raw, retained_at=RETAINED_AT, **who), message_id)

    def test_message_with_a_hundred_received_fields_passes_and_one_more_loops(
        self, homeport: Homeport, mailbox: Mailbox, message_id: str
    ) -> None:
        assert homeport.post(LOOP * 100 + message(), rcpt_to=mailbox.address).status == 200
        raw = LOOP * 101 + message()
        who: dict[str, Any] = {"rcpt_to": mailbox.address, "message_id": message_id}
        assert refusal_of(homeport.post(raw, **who), message_id) == (422, "mail-loop", 554, "5.4.6")
        assert_held(homeport, homeport.post(raw, retained_at=RETAINED_AT, **who), message_id)
        assert len(mailbox.files()) == 1

    def test_drained_message_is_delivered_as_usual(self, homeport: Homeport, mailbox: Mailbox) -> None:
        assert homeport.post(message(), rcpt_to=mailbox.address, retained_at=RETAINED_AT).status == 200
        assert len(mailbox.files()) == 1


class TestLimits:
    def test_more_messages_at_once_than_allowed_are_told_to_come_again(
        self, strict: Homeport, mailbox: Mailbox, message_id: str
    ) -> None:
        raw = message()
        fields = [*strict.poster.headers(raw, rcpt_to=mailbox.address).items(), ("content-length", len(raw))]
        with strict.poster.begin(fields) as connection:
            connection.sendall(raw[:10])

            def refused() -> Answer | None:
                answer = strict.post(message(), rcpt_to=mailbox.address, message_id=message_id)
                return answer if answer.status != 200 else None

            answer = eventually(refused)  # the ingress has read the head
            assert (answer.status, answer.type, answer.smtp) == (503, "too-many-requests", None)
            assert answer.headers["retry-after"] == "5"
            assert answer.document["message_id"] == message_id
            connection.sendall(raw[10:])
            assert answer_on(connection).status == 200
        assert strict.post(message(), rcpt_to=mailbox.address).status == 200

    def test_public_listener_has_nothing_but_its_three_routes(self, homeport: Homeport) -> None:
        request = homeport.poster.request
        assert request("GET", "/livez").document == {"status": "ok"}
        for path in ["/", "/readyz", "/metrics", "/docs", "/openapi.json", "/v1/queue", "/v1/messages/"]:
            answer = request("GET", path)
            assert (answer.status, answer.type) == (404, "not-found"), path
        for method, path in [("GET", "/v1/messages"), ("PUT", "/v1/messages"), ("POST", "/v1/health")]:
            answer = request(method, path)
            assert (answer.status, answer.type) == (405, "method-not-allowed"), path
            assert answer.headers["allow"]

    def test_health_tells_the_queue_to_whoever_signs(self, homeport: Homeport) -> None:
        answer = homeport.poster.get_health()
        assert answer.status == 200
        assert answer.document["status"] == "ok"
        assert answer.document["queue"].keys() == {"length", "oldest_s"}
        assert homeport.poster.request("GET", "/v1/health").status == 401


def test_log_has_neither_content_nor_addresses(
    start_homeport: Callable[..., Homeport], dovecot: Dovecot, tmp_path: Path
) -> None:
    homeport = start_homeport()
    canary = f"canary{secrets.token_hex(4)}"
    raw = f"Subject: {canary}\r\nMessage-ID: <{canary}@example.org>\r\n\r\n{canary}\r\n".encode()
    known = dovecot.add_user(f"k{canary}@home.test").address
    full = dovecot.add_user(f"f{canary}@home.test", quota_bytes=10).address
    statuses = [
        homeport.post(raw, rcpt_to=rcpt_to, mail_from=f"s{canary}@example.org", retained_at=retained_at).status
        for retained_at in (None, RETAINED_AT)
        for rcpt_to in (known, full, f"n{canary}@home.test", f"{canary}\n@home.test")
    ]
    assert statuses == [200, 202, 404, 422, 200, 202, 202, 202]
    assert homeport.post(raw, rcpt_to=known, announced=raw + b"x").status == 400
    assert homeport.post(raw, rcpt_to=known, change={"homeport-signature": f"v1={canary}"}).status == 401
    eventually(lambda: b"message_deferred" in homeport.delivery.log.read_bytes())
    for log in (homeport.ingress.log, homeport.delivery.log):
        assert [line for line in log.read_text().splitlines() if canary in line] == []
    assert "f***@home.test" in homeport.ingress.log.read_text()
