"""What Rspamd is told, what it may answer, and that of its answer nothing reaches a header unchecked."""

from __future__ import annotations

import asyncio
import json
import time
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_api.scan import rspamd as subject
from mail_api.scan.rspamd import MAX_ANSWER_BYTES, Rspamd, header_field, read_answer
from mail_api.scan.verdict import Finding, Opinion
from mail_api.trace_headers import Trace
from tests.mail_api.in_process import until
from tests.mail_api.scan.peers import ScriptedRspamd, http, opinion
from tests.mail_api.scan.samples import MESSAGE_ID, PLAIN, TRACE, envelope, in_file, in_memory
from tests.services.process import free_port
from tests.services.rspamd import Rspamd as RealRspamd
from tests.services.rspamd import pattern


async def ask(url: str, raw: bytes = PLAIN, *, trace: Trace = TRACE, timeout_s: float = 5.0, **about: str) -> Opinion:
    client = Rspamd(url, hostname="mx.test")
    try:
        return await client.scan(envelope(**about), in_memory(raw), trace, timeout_s=timeout_s)
    finally:
        await client.close()


class TestQuestion:
    async def test_envelope_client_and_bytes_are_told(self) -> None:
        raw = PLAIN + bytes(range(256))
        with ScriptedRspamd(opinion()) as peer:
            await ask(peer.url, raw)
        assert peer.requests[0].startswith(b"POST /checkv2 HTTP/1.1\r\n")
        fields = dict(peer.fields)
        assert {name: fields[name] for name in ("from", "rcpt", "ip", "helo", "queue-id", "mta-name")} == {
            "from": "a@example.org",
            "rcpt": "anna@home.test",
            "ip": "192.0.2.7",
            "helo": "there.example",
            "queue-id": MESSAGE_ID,
            "mta-name": "mx.test",
        }
        assert len(fields) == len(peer.fields)
        assert peer.body == raw

    async def test_null_sender_is_told_as_one(self) -> None:
        with ScriptedRspamd(opinion()) as peer:
            await ask(peer.url, mail_from="")
        assert ("from", "<>") in peer.fields

    async def test_client_that_cloudflare_did_not_name_is_left_out(self) -> None:
        with ScriptedRspamd(opinion()) as peer:
            await ask(peer.url, trace=Trace(None, None, 0))
        assert not {"ip", "helo"} & dict(peer.fields).keys()

    @pytest.mark.parametrize("client_ip", ["127.0.0.1", "10.1.2.3", "172.18.0.1", "::1", "fd00::1", "::ffff:127.0.0.1"])
    async def test_client_of_a_forged_block_is_not_taken_for_a_neighbour(self, client_ip: str) -> None:
        """Of its own network Rspamd asks neither SPF nor block lists."""
        with ScriptedRspamd(opinion()) as peer:
            await ask(peer.url, trace=Trace(client_ip, "there.example", 0))
        assert "ip" not in dict(peer.fields)

    async def test_address_cannot_write_header_fields(self) -> None:
        with ScriptedRspamd(opinion()) as peer:
            found = await ask(peer.url, mail_from="a@b\r\nIP: 127.0.0.1", rcpt_to="用户\x00@home.test")
        assert found.finding is Finding.CLEAN
        assert dict(peer.fields)["from"] == "a@b??IP: 127.0.0.1"
        assert dict(peer.fields)["rcpt"] == "用户?@home.test"
        assert [value for name, value in peer.fields if name == "ip"] == ["192.0.2.7"]

    async def test_large_message_streams_from_its_file(self, tmp_path: Path) -> None:
        raw = PLAIN + b"x" * 3_000_000
        with ScriptedRspamd(opinion()) as peer, in_file(raw, tmp_path) as content:
            client = Rspamd(peer.url, hostname="mx.test")
            found = await client.scan(envelope(), content, TRACE, timeout_s=5.0)
            await client.close()
        assert found.finding is Finding.CLEAN
        assert peer.body == raw
        assert "transfer-encoding" not in dict(peer.fields)

    async def test_proxy_of_the_environment_sees_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
        with ScriptedRspamd(opinion()) as peer:
            assert (await ask(peer.url)).finding is Finding.CLEAN


GOOD = json.loads(opinion("add header", 7.0).partition(b"\r\n\r\n")[2])


def changed(**members: Any) -> bytes:
    return http(json.dumps(GOOD | members).encode())


class TestBadAnswer:
    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"garbage\r\n\r\n",
            http(b"<html>login</html>"),
            http(b""),
            http(b"[]"),
            http(b"null"),
            http(b"{" * 100_000),
            http(b'{"action":"no action","score":0,"required_score":15', length=51),
            http(b'{"action":"no action","score":0,"required_score":15}', length=5000),
            http(b'{"action":"no action","score":NaN,"required_score":15}'),
            http(b'{"action":"no action","score":1e999,"required_score":15}'),
            http(b'{"action":"no action","score":0}'),
            http(b'{"action":"no action","score":0,"required_score":"\\ud800"}'),
            changed(action=None),
            changed(action="explode"),
            changed(action="No Action"),
            changed(action=""),
            changed(score="much"),
            changed(symbols=[1]),
            changed(symbols={"A": {"score": "x"}}),
            changed(milter=[]),
            http(b'{"error":"cannot process"}', "500 Internal Server Error"),
            http(json.dumps(GOOD).encode(), "503 Busy"),
            http(json.dumps(GOOD).encode(), "404 Not Found"),
            http(json.dumps(GOOD).encode(), "201 Created"),
            http(b"", "302 Found", "Location: http://127.0.0.1:1/"),
            http(json.dumps(GOOD).encode(), "200 OK", "Content-Encoding: gzip"),
        ],
        ids=lambda answer: repr(answer[-60:]),
    )
    async def test_answer_that_is_not_surely_an_opinion_is_a_failure(self, answer: bytes) -> None:
        with ScriptedRspamd(answer) as peer:
            found = await ask(peer.url)
        assert (found.finding, found.headers, found.is_unreachable) == (Finding.FAILED, "", False)
        assert found.said.isprintable()
        assert peer.connections == 1  # a redirect is not followed

    async def test_huge_answer_is_not_read_to_its_end(self) -> None:
        with ScriptedRspamd(http(b" " * 64, length=10**12), *[b" " * 65536] * (MAX_ANSWER_BYTES // 65536 + 1)) as peer:
            found = await ask(peer.url)
        assert found.finding is Finding.FAILED
        assert "larger than" in found.said

    async def test_answer_that_drips_has_a_deadline(self) -> None:
        whole = opinion()
        began = time.monotonic()
        with ScriptedRspamd(*(whole[at : at + 1] for at in range(len(whole))), drip_s=0.05) as peer:
            found = await ask(peer.url, timeout_s=0.3)
        assert (found.finding, found.said) == (Finding.FAILED, "no answer within 0.3 s")
        assert time.monotonic() - began < 3

    @pytest.mark.parametrize("reads", [True, False])
    async def test_peer_that_says_nothing_has_a_deadline(self, reads: bool) -> None:
        began = time.monotonic()
        with ScriptedRspamd(silent=True, reads=reads) as peer:
            found = await ask(peer.url, PLAIN + b"x" * 20_000_000, timeout_s=0.5)
            assert time.monotonic() - began < 5
        assert (found.finding, found.is_unreachable) == (Finding.FAILED, False)

    async def test_nobody_there_is_an_outage(self) -> None:
        found = await ask(f"http://127.0.0.1:{free_port()}")
        assert (found.finding, found.is_unreachable) == (Finding.FAILED, True)
        assert "cannot be reached" in found.said

    async def test_message_over_its_limit_is_not_a_failure(self) -> None:
        with ScriptedRspamd(http(b"", "413 Request Entity Too Large")) as peer:
            assert (await ask(peer.url)).finding is Finding.OVER_LIMIT

    async def test_cancelled_scan_leaves_no_connection(self) -> None:
        with ScriptedRspamd(silent=True) as peer:
            client = Rspamd(peer.url, hostname="mx.test")
            scan = asyncio.create_task(client.scan(envelope(), in_memory(), TRACE, timeout_s=30))
            await until(lambda: peer.requests)
            scan.cancel()
            with pytest.raises(asyncio.CancelledError):
                await scan
            await client.close()


class TestCheck:
    async def test_worker_that_answers_is_named(self) -> None:
        with ScriptedRspamd(http(b"pong\r\n")) as peer:
            client = Rspamd(peer.url, hostname="mx.test")
            assert await client.check(timeout_s=2) == peer.url
            await client.close()

    @pytest.mark.parametrize("answer", [http(b"pong", "500 No"), http(b"<html>"), b""])
    async def test_anything_else_is_said(self, answer: bytes) -> None:
        with ScriptedRspamd(answer) as peer:
            client = Rspamd(peer.url, hostname="mx.test")
            with pytest.raises(OSError, match=r"127\.0\.0\.1"):
                await client.check(timeout_s=2)
            await client.close()


def read(action: str, add_headers: Any = None, **more: Any) -> Opinion:
    document = {"action": action, "score": 7.25, "required_score": 15, "milter": {"add_headers": add_headers or {}}}
    return read_answer(200, json.dumps(document | more).encode())


def fields_of(headers: str) -> list[tuple[str, str]]:
    """The header fields as a mail program reads them; fails if they are not exactly a header section."""
    headers.encode("ascii")
    parsed = message_from_bytes(headers.encode() + b"\r\nbody")
    assert parsed.get_payload() == "body"
    assert not parsed.defects
    return [(name, " ".join(str(value).split())) for name, value in parsed.items()]


class TestHeaders:
    def test_spam_is_marked_when_rspamd_gives_nothing(self) -> None:
        expected = [("X-Spam", "Yes"), ("X-Spam-Status", "Yes, score=7.25 required=15.00")]
        for action in ("add header", "rewrite subject"):
            assert fields_of(read(action).headers) == expected

    def test_rspamds_own_fields_are_taken(self) -> None:
        given = {
            "X-Spam-Status": {"order": -1, "value": "Yes, score=7.25"},
            "X-Spamd-Bar": "+++++++",
            "X-Spam-Level": [{"value": "a"}, "b"],
            "Authentication-Results": {"value": "mx.test;\r\n\tdkim=none;\r\n\tspf=pass"},
            "X-Rspamd-Server": "one",
        }
        assert fields_of(read("add header", given).headers) == [
            ("X-Spam", "Yes"),
            ("Authentication-Results", "mx.test; dkim=none; spf=pass"),
            ("X-Rspamd-Server", "one"),
            ("X-Spam-Level", "a"),
            ("X-Spam-Level", "b"),
            ("X-Spam-Status", "Yes, score=7.25"),
            ("X-Spamd-Bar", "+++++++"),
        ]

    @pytest.mark.parametrize(
        "name",
        [
            "X-Homeport-Id",
            "Received",
            "From",
            "Return-Path",
            "X-Spam",
            "x-spam",
            "X-Spam: a\r\nFrom",
            "",
            "X-Spam-",
            "é",
        ],
    )
    def test_other_fields_are_not_taken(self, name: str) -> None:
        assert read("no action", {name: "Yes"}).headers == ""

    def test_clean_message_cannot_be_marked(self) -> None:
        headers = read("no action", {"X-Spam": "Yes", "X-Spam-Status": "No, score=0"}).headers
        assert fields_of(headers) == [("X-Spam-Status", "No, score=0")]

    @pytest.mark.parametrize("action", ["reject", "soft reject", "greylist", "quarantine", "discard"])
    def test_what_is_not_delivered_gets_none(self, action: str) -> None:
        assert read(action, {"X-Spam-Status": "Yes"}).headers == ""

    @pytest.mark.parametrize("value", [None, 5, {}, {"value": 5}, [[]], "", " \r\n ", {"value": {"value": "x"}}])
    def test_value_that_is_no_text_is_left_out(self, value: Any) -> None:
        assert read("no action", {"X-Spam-Status": value}).headers == ""

    @given(st.text(max_size=300) | st.text(alphabet="\r\n\t :aX-Spam\x00\u2028é", max_size=300))
    def test_value_stays_in_its_field(self, value: str) -> None:
        assert [name for name, _ in fields_of(header_field("X-Spam-Quoted", value))] == ["X-Spam-Quoted"]

    def test_long_values_are_folded_and_cut(self) -> None:
        for value in ("word " * 5000, "x" * 20_000):
            field = header_field("X-Spamd-Result", value)
            assert all(len(line) < 998 for line in field.split("\r\n"))
            assert len(field) < subject.MAX_FIELD_CHARS + 200

    def test_number_of_fields_is_bounded(self) -> None:
        given = {"X-Spam-Report": ["a"] * 1000}
        assert len(fields_of(read("no action", given).headers)) == subject.MAX_FIELDS


class TestReport:
    def test_symbols_are_bounded_and_printable(self) -> None:
        symbols = {f"S{number}\x1b": {"score": number, "options": ["o\r\n\x00" * 200] * 50} for number in range(500)}
        report = read("reject", symbols=symbols, messages={"smtp_message": "a\nb"}).report
        assert next(iter(report["symbols"])) == "S499?"
        assert len(report["symbols"]) == subject.MAX_SYMBOLS
        assert all(option.isprintable() for about in report["symbols"].values() for option in about["options"])
        assert len(json.dumps(report)) < 200_000
        assert (report["action"], report["score"], report["message"]) == ("reject", 7.25, "a b")


class TestRealRspamd:
    @pytest.mark.parametrize(
        ("action", "finding"),
        [
            ("reject", Finding.REFUSED),
            ("add header", Finding.SPAM),
            ("rewrite subject", Finding.SPAM),
            ("no action", Finding.CLEAN),
        ],
    )
    async def test_patterns(self, rspamd: RealRspamd, action: str, finding: Finding) -> None:
        found = await ask(rspamd.url, PLAIN + pattern(action) + b"\r\n")
        assert (found.finding, found.report["action"]) == (finding, action)

    @pytest.mark.parametrize("action", ["soft reject", "greylist"])
    async def test_patience(self, rspamd: RealRspamd, action: str) -> None:
        found = await ask(rspamd.url, b"X-Test-Action: %s\r\n" % action.encode() + PLAIN)
        assert found.finding is Finding.PATIENCE

    async def test_client_and_envelope_reach_its_rules(self, rspamd: RealRspamd) -> None:
        found = await ask(rspamd.url, trace=Trace("2001:db8::7", "there.example", 0), mail_from="b@example.net")
        assert found.report["symbols"]["SEEN"]["options"] == [
            "ip=2001:db8::7",
            "helo=there.example",
            "from=b@example.net",
            "rcpt=anna@home.test",
            f"queue={MESSAGE_ID}",
        ]

    async def test_hostile_value_that_it_passes_on_stays_in_its_field(self, rspamd: RealRspamd) -> None:
        raw = b"X-Test-Milter: Yes =?utf-8?q?=0D=0AFrom=3A_evil=0D=0A=0D=0A?=\r\nX-Test-Action: score\r\n" + PLAIN
        found = await ask(rspamd.url, raw)
        assert found.finding is Finding.SPAM
        names = [name for name, _ in fields_of(found.headers)]
        assert "X-Spam-Quoted" in names
        assert names.count("X-Spam") == 1
        assert "From" not in names

    @pytest.mark.parametrize("raw", [b"", b"\0", b"\r\n", b"x", b"\xff" * 5000, b"--a\r\n" * 2000, b"a: b\r\n" * 5000])
    async def test_whatever_it_is_given_it_has_an_opinion(self, rspamd: RealRspamd, raw: bytes) -> None:
        assert (await ask(rspamd.url, raw)).finding is Finding.CLEAN

    @pytest.mark.services
    async def test_message_over_its_limit_is_a_failure_since_it_hangs_up_without_a_word(self) -> None:
        """Why its `max_message` must stay above 25 MiB: docs/adr/0018."""
        with RealRspamd(max_message_bytes=100_000) as small:
            found = await ask(small.url, PLAIN + b"x" * 200_000)
        assert (found.finding, found.is_unreachable) == (Finding.FAILED, False)

    async def test_check(self, rspamd: RealRspamd) -> None:
        client = Rspamd(rspamd.url, hostname="mx.test")
        assert rspamd.url in await client.check(timeout_s=2)
        await client.close()
