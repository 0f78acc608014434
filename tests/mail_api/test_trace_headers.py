"""Header sections as Cloudflare and strangers write them: tables, any bytes at all, and Dovecot as the judge."""

from __future__ import annotations

import email.policy
import imaplib
import itertools
import os
import random
import re
import time
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mail_api.content import CHUNK_BYTES, Content
from mail_api.trace_headers import (
    HEAD_BYTES,
    Trace,
    compose,
    fields,
    fingerprint,
    inspect,
    read_trace,
    received,
)
from tests.services.dialogue import Dialogue
from tests.services.dovecot import PASSWORD, Dovecot

OURS = "mail.example.com"
RECEIVED = (
    b"Received: from mail-lf1-f45.sender.example (192.0.2.45)\r\n"
    b"        by cloudflare-email.net (cloudflare) id 4FtPN9Zk4dY3\r\n"
    b"        for <bob@example.com>; Wed, 25 Nov 2026 20:43:42 +0000\r\n"
)
ARC = (
    b"ARC-Seal: i=1; a=rsa-sha256; s=cf2024-1; d=cloudflare-email.net; cv=none;\r\n\tb=AAAA;\r\n"
    b"ARC-Message-Signature: i=1; a=rsa-sha256; d=cloudflare-email.net; c=relaxed/relaxed;\r\n\th=to:from; b=BBBB;\r\n"
    b"ARC-Authentication-Results: i=1; mx.cloudflare.net;\r\n\tdkim=pass header.d=sender.example; spf=pass"
    b" smtp.remote-ip=192.0.2.45\r\n"
)
SPF = (
    b"Received-SPF: pass (mx.cloudflare.net: domain of alice@sender.example designates 192.0.2.46 as permitted)\r\n"
    b"\treceiver=mx.cloudflare.net; client-ip=192.0.2.46;\r\n"
    b'\tenvelope-from="alice@sender.example"; helo=helo.sender.example;\r\n'
)
RESULTS = b"Authentication-Results: mx.cloudflare.net;\r\n\tdkim=pass header.d=sender.example\r\n"
SCORE = b"X-CF-SpamH-Score: 0\r\n"
BLOCK = RECEIVED + ARC + SPF + RESULTS + SCORE
REST = (
    b"Received: by relay.sender.example; Wed, 25 Nov 2026 20:43:40 +0000\r\n"
    b"Date: Wed, 25 Nov 2026 20:43:39 +0000\r\nFrom: alice@sender.example\r\nSubject: hi\r\n\r\nbody: not a field\r\n"
)


def _names(head: bytes) -> list[bytes]:
    return [field.name for field in fields(head)]


def _content(data: bytes) -> Content:
    return Content(data, len(data), "")


# -- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "names"),
    [
        (b"", []),
        (b"\r\nA: 1\r\n", []),
        (b"\nA: 1\n", []),
        (b"A: 1", [b"a"]),
        (b"A: 1\r\nB:\r\n\r\nC: 3\r\n", [b"a", b"b"]),
        (b"A: 1\nB: 2\n\nC: 3\n", [b"a", b"b"]),
        (b"A: 1\r\nB: 2\n\nC: 3\n", [b"a", b"b"]),
        (b"A: 1\r\n folded\r\n\tB: 2\r\nC: 3\r\n", [b"a", b"c"]),
        (b"A:\r\n \r\n\t\r\nB: 2\r\n\r\n", [b"a", b"b"]),  # lines of white space do not end the section
        (b"A : 1\nB\t: 2\n", [b"a", b"b"]),  # RFC 5322 4.5.8
        (b"A:1\nB::\n", [b"a", b"b"]),
        (b"A: 1\rB: 2\r\nC: 3\r\n", [b"a", b"c"]),  # a bare CR ends nothing
        (b"A: 1\r\r\nC: 3\r\n\r\r\nD: 4\n", [b"a", b"c", b"d"]),
        (b" A: 1\r\nB: 2\r\n", [b"b"]),  # continues nothing
        (b"From bob Mon Jan 1 00:00:00\nA: 1\n", [b"a"]),  # mbox
        (b"A: 1\njunk\nB: 2\n: nameless\nC: 3\n\x80\xff\x00\nD D: 4\nE: 5\n", [b"a", b"b", b"c", b"e"]),
        (b"junk\n folded: junk\nA: 1\n", [b"a"]),
        (b"N\x00 NUL: 1\nN \x00: 1\nA: 1\n", [b"n", b"a"]),
    ],
)
def test_fields_are_those_that_dovecot_sees(head: bytes, names: list[bytes]) -> None:
    assert _names(head) == names


def test_field_says_where_it_stands() -> None:
    head = b"junk\r\nSubject : one\r\n two\r\n\r\n"
    (field,) = fields(head)
    assert field.name == b"subject"
    assert head[field.start : field.end] == b"Subject : one\r\n two\r\n"
    assert head[field.value_start : field.end] == b" one\r\n two\r\n"


@pytest.mark.parametrize("last", [b"X-Spam-Flag: ", b"X-Spam-Flag: 1\n"])
def test_field_that_touches_the_end_of_a_full_head_counts_as_absent(last: bytes) -> None:
    filler = b"F: " + b"f" * (HEAD_BYTES - len(last) - 4) + b"\n"
    full = filler + last
    assert len(full) == HEAD_BYTES
    assert _names(full) == [b"f"]  # its next line may be a continuation
    assert _names(full[1:]) == [b"x-spam-flag"] or _names(full[1:]) == [b"f", b"x-spam-flag"]


LINES = st.sampled_from(
    b"A: 1|Received: x|X-Spam-Flag: YES|x-spamd-bar: +|Date: x|Authentication-Results: mail.example.com; none"
    b"|authentication-results: (a) mail.example.com| f|\t|junk||\x00\xff|A : (|:|\r".split(b"|")
)
HEADS = st.binary(max_size=200) | st.builds(
    b"".join,
    st.lists(st.builds(lambda line, end: line + end, LINES, st.sampled_from([b"\n", b"\r\n", b""])), max_size=12),
)


@given(HEADS)
def test_fields_lie_in_order_and_whole_lines_apart(head: bytes) -> None:
    position = 0
    for field in fields(head):
        assert position <= field.start < field.value_start <= field.end <= len(head)
        assert head[field.start : field.value_start].rstrip(b": \t").lower() == field.name
        assert field.start == 0 or head[field.start - 1 : field.start] == b"\n"
        assert field.end == len(head) or head[field.end - 1 : field.end] == b"\n"
        assert head[field.end : field.end + 1] not in (b" ", b"\t")
        gap = head[position : field.start]
        assert not re.search(rb"^\r?\n", gap, re.MULTILINE)
        position = field.end


# -- cuts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "left"),
    [
        (b"A: 1\nX-Spam-Flag: YES\nB: 2\n\n", b"A: 1\nB: 2\n\n"),
        (b"x-spam: 1\r\nX-SPAMD-RESULT : a\r\n b\r\nA: 1\r\n\r\nX-Spam: body", b"A: 1\r\n\r\nX-Spam: body"),
        (b"junk\nX-Spam-Flag: NO\n\n", b"junk\n\n"),
        (b"X-Spam-Flag: NO", b""),
        (b"X-Spa: 1\nXX-Spam: 1\n\n", b"X-Spa: 1\nXX-Spam: 1\n\n"),
        (b"X-Homeport-Id: forged\nReturn-Path: <a@b>\nDelivered-To: x\n\n",) * 2,
    ],
)
def test_cuts_take_spam_headers_and_leave_every_other_byte(head: bytes, left: bytes) -> None:
    assert _without_cuts(head) == left


def _without_cuts(head: bytes) -> bytes:
    for start, end in reversed(inspect(head, OURS).cuts):
        head = head[:start] + head[end:]
    return head


@pytest.mark.parametrize(
    "value",
    [
        b" mail.example.com; dkim=pass",
        b"mail.example.com;none",
        b" MAIL.Example.COM 1; none",
        b" mail.example.com/1; none",
        b" mail.example.com.; none",
        b" mail.example.com",
        b"\r\n mail.example.com;\r\n dkim=pass",
        b" (comment) mail.example.com; none",
        b"(a(b)c)(d)\t(\\)\\() mail.example.com(x) 1; none",
        b'(") mail.example.com; dkim=pass (")',
        b' "mail.example.com"; none',
        b' "mail\\.example.com" 1; none',
    ],
)
def test_cuts_take_results_that_claim_to_be_ours(value: bytes) -> None:
    field = b"Authentication-Results:" + value + b"\r\n"
    assert inspect(b"A: 1\r\n" + field + b"B: 2\r\n\r\n", OURS).cuts == ((6, 6 + len(field)),)


@pytest.mark.parametrize(
    "value",
    [
        b" mx.cloudflare.net; spf=pass",
        b" other.example; header.from=mail.example.com",
        b" (mail.example.com) other.example; none",
        b" xmail.example.com; none",
        b" mail.example.com.evil.example; none",
        b" mail.example.comx; none",
        b' "mail.example.com',
        b' ""; none',
        b" (mail.example.com; none",
        b" ) mail.example.com; none",
        b" ;mail.example.com",
        b"",
        b' "' + b"\\a" * 300 + b'"',
    ],
)
def test_cuts_leave_results_of_others(value: bytes) -> None:
    assert inspect(b"Authentication-Results:" + value + b"\r\n\r\n", OURS).cuts == ()


def test_cuts_beside_each_other_are_one() -> None:
    head = b"X-Spam-A: 1\nX-Spam-B: 2\nAuthentication-Results: mail.example.com\nB: 1\nX-Spam-C: 3\n"
    assert inspect(head, OURS).cuts == ((0, head.index(b"B: 1")), (head.index(b"X-Spam-C"), len(head)))


@given(HEADS)
def test_cuts_are_ascending_apart_and_whole_fields(head: bytes) -> None:
    found = inspect(head, OURS).cuts
    bounds = [bound for cut in found for bound in cut]
    assert bounds == sorted(set(bounds))
    starts, ends = {field.start for field in fields(head)}, {field.end for field in fields(head)}
    assert {start for start, _ in found} <= starts
    assert {end for _, end in found} <= ends
    left = _without_cuts(head)
    assert inspect(left, OURS).cuts == ()
    kept = [field.name for field in fields(head) if not any(start <= field.start < end for start, end in found)]
    assert _names(left) == kept
    assert re.split(rb"(?:\A|\n)\r?\n", left, maxsplit=1)[1:] == re.split(rb"(?:\A|\n)\r?\n", head, maxsplit=1)[1:]


# -- the trace block --------------------------------------------------------------------------------------------------


def test_trace_block_is_read_whole() -> None:
    assert read_trace(BLOCK + REST) == Trace("192.0.2.45", "helo.sender.example", len(BLOCK))
    assert read_trace((BLOCK + REST).replace(b"\r\n", b"\n")).end == len(BLOCK.replace(b"\r\n", b"\n"))


def test_trace_block_may_lack_any_of_its_fields() -> None:
    parts = [BLOCK[field.start : field.end] for field in fields(BLOCK)]
    assert len(parts) == 7
    for kept in itertools.product([False, True], repeat=7):
        block = b"".join(itertools.compress(parts, kept))
        trace = read_trace(block + REST)
        assert trace.end == len(block)
        assert trace.client_ip == ("192.0.2.45" if RECEIVED in block else "192.0.2.46" if SPF in block else None)


@pytest.mark.parametrize(
    ("head", "end"),
    [
        (REST, 0),
        (b"\r\n" + BLOCK, 0),
        (b" \r\n" + BLOCK + REST, 0),
        (b"junk\r\n" + BLOCK + REST, 0),
        (b"A: 1\r\n" + BLOCK + REST, 0),
        (RECEIVED + b"A: 1\r\n" + SPF + REST, len(RECEIVED)),
        (RECEIVED + b"junk\r\n" + SPF + REST, len(RECEIVED)),
        (RECEIVED + RECEIVED + REST, len(RECEIVED)),  # the second is the sender's
        (BLOCK + BLOCK + REST, len(BLOCK)),
        (SPF + RECEIVED + REST, len(SPF)),  # out of order
        (SCORE + BLOCK + REST, len(SCORE)),
        (RECEIVED.replace(b"cloudflare-email.net", b"evil.example") + REST, 0),
        (RESULTS.replace(b"cloudflare", b"evil") + REST, 0),
        (SPF.replace(b"receiver=mx.cloudflare.net", b"receiver=mx.evil.example") + REST, 0),
    ],
)
def test_trace_block_is_contiguous_from_the_first_byte_and_in_order(head: bytes, end: int) -> None:
    trace = read_trace(head)
    assert trace.end == end
    if not end:
        assert trace == Trace(None, None, 0)


@pytest.mark.parametrize(
    ("helo_and_ip", "helo", "client_ip"),
    [
        (b"mx.sender.example (192.0.2.1)", "mx.sender.example", "192.0.2.1"),
        (b"mx.sender.example ([192.0.2.1])", "mx.sender.example", "192.0.2.1"),
        (b"mx.sender.example (2001:DB8:0::1)", "mx.sender.example", "2001:db8::1"),
        (b"mx.sender.example ([IPv6:2001:db8::1])", "mx.sender.example", "2001:db8::1"),
        (b"[192.0.2.9] (192.0.2.1)", "[192.0.2.9]", "192.0.2.1"),
        (b"evil(1.2.3.4) (192.0.2.1)", "evil(1.2.3.4)", "192.0.2.1"),
        (b"h" * 255 + b" (192.0.2.1)", "h" * 255, "192.0.2.1"),
        (b"h" * 256 + b" (192.0.2.1)", None, "192.0.2.1"),
        (b"mx.sender.example (999.0.2.1)", "mx.sender.example", None),
        (b"mx.sender.example (192.0.2.1.2)", "mx.sender.example", None),
        (b"mx.sender.example (fe80::1%eth0)", None, None),
        (b"\xe9\xe8 (192.0.2.1)", None, None),
        (b"mx.sender.example", None, None),
        (b"(192.0.2.1)", None, None),
    ],
)
def test_trace_received_gives_address_and_name(helo_and_ip: bytes, helo: str | None, client_ip: str | None) -> None:
    field = b"Received: from %s\r\n by cloudflare-email.net (cloudflare) id x; date\r\n" % helo_and_ip
    assert read_trace(field + REST) == Trace(client_ip, helo, len(field))


@pytest.mark.parametrize(
    ("value", "helo", "client_ip"),
    [
        (b'none receiver=mx.cloudflare.net; client-ip=::1; envelope-from=""; helo=x;', "x", "::1"),
        (
            b'pass (c)\r\n receiver=mx.cloudflare.net;\r\n client-ip=1.2.3.4;\r\n envelope-from="a";\r\n helo=x',
            "x",
            "1.2.3.4",
        ),
        (b"pass (c) receiver=mx.cloudflare.net; client-ip=1.2.3.4; helo=x;", "x", "1.2.3.4"),
        (b"pass (c) receiver=mx.cloudflare.net; client-ip=1.2.3.4;", None, "1.2.3.4"),
        (b"pass (c) receiver=mx.cloudflare.net; client-ip=nonsense;", None, None),
        # The sender's address stands in the comment, before the real values.
        (
            b"fail (receiver=mx.cloudflare.net; client-ip=6.6.6.6;@x) receiver=mx.cloudflare.net; client-ip=::1;",
            None,
            None,
        ),
        (b"fail (a) receiver=mx.cloudflare.net; client-ip=6.6.6.6; (@x) x; client-ip=::1;", None, None),
    ],
)
def test_trace_received_spf_gives_what_received_does_not(value: bytes, helo: str | None, client_ip: str | None) -> None:
    field = b"Received-SPF: " + value + b"\r\n"
    assert read_trace(field + REST) == Trace(client_ip, helo, len(field))
    assert read_trace(RECEIVED + field + REST).client_ip == "192.0.2.45"


# -- counts and fingerprint -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 100, 101])
def test_received_fields_are_counted_with_cloudflares_and_without_the_bodys(count: int) -> None:
    head = b"".join(b"ReCeived: %d\r\n folded: 1\r\nX-Received: no\r\n" % number for number in range(count))
    assert inspect(head + b"\r\nReceived: body\r\n", OURS).received_count == count
    assert inspect(BLOCK + head, OURS).received_count == count + 1


def test_fingerprint_survives_another_trace_block_and_nothing_else() -> None:
    first = fingerprint("a@x", "b@y", _content(BLOCK + REST))
    retried = (BLOCK + REST).replace(b"4FtPN9Zk4dY3", b"other-id").replace(b"b=AAAA", b"b=ZZZZ")
    assert first == fingerprint("a@x", "b@y", _content(retried))
    assert first == fingerprint("a@x", "b@y", _content(REST))
    assert first == fingerprint("a@x", "b@y", _content(BLOCK + REST), inspect(BLOCK + REST, OURS))
    others = [
        fingerprint("", "b@y", _content(REST)),
        fingerprint("a@xb@y", "", _content(REST)),
        fingerprint("b@y", "a@x", _content(REST)),
        fingerprint("a@x", "B@y", _content(REST)),
        fingerprint("a@x", "b@y", _content(REST[:-1])),
        fingerprint("a@x", "b@y", _content(b"A: 1\r\n" + REST)),
        fingerprint("a@x", "b@y", _content(b"A: 1\r\n" + BLOCK + REST)),
    ]
    assert len({first, *others}) == 1 + len(others)


@pytest.mark.parametrize(
    ("head", "has_one"),
    [
        (b"", False),
        (BLOCK, False),
        (BLOCK + b"From: a\r\n\r\nDate: body", False),
        (BLOCK + b"Resent-Date: x\r\nX-Message-ID: y\r\n\r\n", False),
        (BLOCK + b"DATE:\r\n\r\n", True),
        (b"Message-Id: <x>\r\n\r\n", True),
        (b"From me Mon Jan 1\r\nMessage-ID : <x>", True),
    ],
)
def test_fingerprint_needs_a_message_id_or_a_date(head: bytes, has_one: bool) -> None:
    assert (fingerprint("a@x", "b@y", _content(head)) is not None) == has_one


@pytest.mark.parametrize("size", [len(REST), HEAD_BYTES, HEAD_BYTES + 1, HEAD_BYTES + 2 * CHUNK_BYTES + 3])
def test_fingerprint_of_a_file_is_that_of_its_bytes(tmp_path: Path, size: int) -> None:
    data = BLOCK + REST + b"x" * (size - len(REST))
    path = tmp_path / "message"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        in_file = fingerprint("a@x", "b@y", Content(descriptor, len(data), ""))
    finally:
        os.close(descriptor)
    assert in_file == fingerprint("a@x", "b@y", _content(data))
    assert in_file is not None


# -- what we put in front ---------------------------------------------------------------------------------------------

ID = "00112233445566778899aabbccddeeff"
AT = 1_800_000_000.5


def test_received_names_each_station_in_rfc_5321s_order() -> None:
    field = received(
        message_id=ID, helo="mx.x.example", client_ip="192.0.2.1", hostname=OURS, rcpt_to="b@y.example", at=AT
    )
    assert field == (
        "Received: from mx.x.example ([192.0.2.1])\r\n"
        "\tby mail.example.com (Homeport) with HTTPS\r\n"
        "\tid 00112233445566778899aabbccddeeff\r\n"
        "\tfor <b@y.example>;\r\n"
        "\tFri, 15 Jan 2027 08:00:00 +0000\r\n"
    )


@pytest.mark.parametrize(
    ("helo", "client_ip", "begins"),
    [
        (None, None, "Received: by mail.example.com (Homeport) with HTTPS\r\n"),
        (None, "192.0.2.1", "Received: from unknown ([192.0.2.1])\r\n"),
        ("mx.x.example", None, "Received: from mx.x.example\r\n"),
        ("mx.x.example", "2001:db8::1", "Received: from mx.x.example ([IPv6:2001:db8::1])\r\n"),
        ("[192.0.2.9]", "192.0.2.1", "Received: from [192.0.2.9] ([192.0.2.1])\r\n"),
        ("evil(x);by", "192.0.2.1", "Received: from evil?x??by ([192.0.2.1])\r\n"),
    ],
)
def test_received_says_only_what_is_known(helo: str | None, client_ip: str | None, begins: str) -> None:
    field = received(message_id=ID, helo=helo, client_ip=client_ip, hostname=OURS, rcpt_to="b@y.example", at=AT)
    assert field.startswith(begins)


@pytest.mark.parametrize(
    ("rcpt_to", "shown"),
    [
        ("bob+tag@example.com", True),
        ("a!#$%&'*+-/=?^_`{|}~z@x.example", True),
        ("用户@example.com", False),
        ('"a b"@example.com', False),
        ("a(b)@example.com", False),
        ("a;b@example.com", False),
        ("a>b@example.com", False),
        ("a\r\nb@example.com", False),
        (f"{'a' * 300}@example.com", False),
    ],
)
def test_received_leaves_out_a_recipient_that_would_need_quoting(rcpt_to: str, shown: bool) -> None:
    field = received(message_id=ID, helo=None, client_ip=None, hostname=OURS, rcpt_to=rcpt_to, at=AT)
    assert (f"\tfor <{rcpt_to}>;\r\n" in field) == shown
    assert (f"\tid {ID};\r\n\tFri" in field) == (not shown)


ANYTHING = st.text() | st.text(st.sampled_from('\r\n :;()<>\\"\0\tab\xe9\x85\u2028'), max_size=20)


@given(
    message_id=ANYTHING,
    helo=st.none() | ANYTHING,
    client_ip=st.none() | ANYTHING,
    hostname=ANYTHING,
    rcpt_to=ANYTHING,
    at=st.floats(0, 4e9),
    body=st.sampled_from([b"", b"\r\nbody", b"From: a@b\r\n\r\n", b"junk\n"]),
)
@example(ID, "a\r\nX-Evil: 1", "1\n2", "h" * 2000, "b\r\n\r\n@x", 0.0, b"")
def test_what_is_put_in_front_is_two_fields_whatever_the_values(
    message_id: str, helo: str | None, client_ip: str | None, hostname: str, rcpt_to: str, at: float, body: bytes
) -> None:
    field = received(
        message_id=message_id, helo=helo, client_ip=client_ip, hostname=hostname, rcpt_to=rcpt_to, at=at
    ).encode("ascii")
    assert _names(field) == [b"received"]
    assert all(len(line) <= 998 for line in field.split(b"\r\n"))
    assert not re.search(rb"[^\t\r\n -~]|\r(?!\n)|(?<!\r)\n", field)
    head = compose(
        _content(body),
        inspect(body, OURS),
        message_id=message_id,
        rcpt_to=rcpt_to,
        hostname=hostname,
        received_at=at,
    )
    assert _names(head.prepend) == [b"x-homeport-id", b"received"]
    parsed = BytesHeaderParser(policy=email.policy.compat32).parsebytes(field + body)
    assert parsed.keys()[0] == "Received"
    assert parsed.keys().count("Received") == 1
    unfolded = re.sub(r"\r\n\t", " ", parsed["Received"])
    assert "\n" not in unfolded
    assert abs(parsedate_to_datetime(unfolded.rpartition(";")[2]).timestamp() - at) <= 1


def test_composed_message_is_our_fields_and_the_received_bytes_without_the_cuts() -> None:
    data = BLOCK + b"X-Spam-Flag: NO\r\n" + REST
    outgoing = compose(
        _content(data),
        inspect(data, OURS),
        message_id=ID,
        rcpt_to="b@y.example",
        hostname=OURS,
        received_at=AT,
        verdict_headers="X-Spam-Flag: YES\r\n",
    )
    whole = b"".join(outgoing.blocks())
    ours = whole.removesuffix(BLOCK + REST)
    assert _names(ours) == [b"x-homeport-id", b"x-spam-flag", b"received"]
    assert ours.startswith(f"X-Homeport-Id: {ID}\r\n".encode())
    assert b"Received: from helo.sender.example ([192.0.2.45])\r\n" in ours


# -- time, and Dovecot ------------------------------------------------------------------------------------------------

M = HEAD_BYTES - 1
HOSTILE = {
    "many fields": b"a:\n" * (M // 3),
    "one name": b"a" * M,
    "one value": b"A:" + b" " * (M - 2),
    "continuations": b"A:" + b"\n " * (M // 2 - 1),
    "junk lines": b"\x80\n" * (M // 2),
    "carriage returns": b"\r" * M,
    "names without colon": b"aaa \n" * (M // 5),
    "open comments": b"Authentication-Results:" + b"(" * (M - 23),
    "comments": b"Authentication-Results:" + b"()" * (M // 2 - 12),
    "open quote": b'Authentication-Results: "' + b"\\a" * (M // 2 - 13),
    "many results": b"Authentication-Results: (x) \n" * (M // 30),
    "many spam headers": b"X-Spam:\nA:\n" * (M // 11),
    "received by": b"Received: from" + b" by  " * (M // 5 - 3),
    "received spaces": b"Received: x by cloudflare-email.net from" + b" " * (M - 41),
    "received parentheses": b"Received: from a " + b"(" * (M - 45) + b" by cloudflare-email.net ",
    "spf spaces": b"Received-SPF: x receiver=mx.cloudflare.net;" + b" " * (M - 44),
    "spf comment": b"Received-SPF: x (" + b" receiver=mx.cloudflare.net;" * (M // 30),
    "spf quote": b'Received-SPF: x receiver=mx.cloudflare.net; client-ip=1; envelope-from="' + b"a" * (M - 80),
    "arc semicolons": b"ARC-Authentication-Results:" + b"; " * (M // 2 - 14),
    "arc spaces": b"ARC-Authentication-Results:;" + b" " * (M - 28),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_head_of_a_mebibyte_takes_linear_time(name: str) -> None:
    """Ten times the input may take thirty times as long, and a mebibyte 3 s on a busy machine (measured: < 0.2 s)."""
    head = HOSTILE[name]
    assert len(head) < HEAD_BYTES
    taken = []
    for part in (head[: len(head) // 10], head):
        began = time.process_time()
        inspect(part, OURS)
        taken.append(time.process_time() - began)
    assert taken[1] < max(30 * taken[0], 0.05)
    assert taken[1] < 3


@given(st.binary(max_size=2000) | HEADS)
def test_any_bytes_are_inspected_without_an_error(head: bytes) -> None:
    for text in (head, BLOCK[: len(head)] + head, b"Received-SPF: " + head, b"Authentication-Results:" + head):
        inspection = inspect(text, OURS)
        assert 0 <= inspection.trace.end <= len(text)
        fingerprint("a@x", "b@y", _content(text), inspection)


FRAGMENTS = (  # lines, one between two bars
    b"X-Spam-Flag: 1|X-Spam-Status: 2|X-Spam-Level:|X-Spamd-Bar: 4|Received: 5|Date: 6|x-spam-flag:7|X-SPAM-FLAG::|"
    b"X-Spam-Flag : space|X-Spam-Flag\t: tab|X-Spam-Flag\x00: nul|X-Spam-Flag\x00 \x00nul: nul|X-Spam-Flag \x00: nul|"
    b"X-Spam-Flag\r: cr|\rX-Spam-Flag: cr|X-Spam\xe9-Flag: 8-bit|X-Spam Flag: space|\x00X-Spam-Flag: nul|X-Spam-Flag|"
    b": nameless| : nameless|junk|junk junk| continued|\tX-Spam-Flag: folded| |\t|\r| \r|\x00|\xff\xfe|--boundary"
).split(b"|")


@pytest.mark.services
def test_dovecot_sees_the_same_header_section_and_nothing_that_was_cut(dovecot: Dovecot) -> None:
    """Dovecot finds the X-Spam fields that `fields` finds, behind broken lines too; after the cuts it finds none."""
    generator = random.Random(20261122)
    lines = [fragment + end for fragment in FRAGMENTS for end in (b"\r\n", b"\n")]
    heads = [b"".join(generator.choices(lines, k=generator.randint(1, 12))) for _ in range(100)]
    mailbox = dovecot.add_user()
    for head in heads:
        for text in (head, _without_cuts(head)):
            with Dialogue(dovecot.lmtp_port) as lmtp:
                *_, reply = lmtp.transact([mailbox.address], b"Subject: x\r\n" + text + b"\r\nX-Spam-Flag: body\r\n")
            assert reply.startswith(b"250")
    seen = _spam_fields_by_dovecot(dovecot, mailbox.address)
    assert len(seen) == 2 * len(heads)
    for number, head in enumerate(heads):
        stored = head.replace(b"\r\n", b"\n") + b"\n"  # in the Maildir, so CR CR LF has become an empty line
        ours = [field for field in fields(stored) if field.name.startswith(b"x-spam")]
        assert seen[2 * number] == [field.name for field in ours], head
        assert seen[2 * number + 1] == [], head


def _spam_fields_by_dovecot(dovecot: Dovecot, address: str) -> list[list[bytes]]:
    with imaplib.IMAP4("127.0.0.1", dovecot.imap_port, timeout=10) as imap:
        imap.login(address, PASSWORD)
        imap.select("INBOX", readonly=True)
        _, parts = imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (X-Spam-Flag X-Spam-Status X-Spam-Level X-Spamd-Bar)])")
    texts = [part[1].lower() for part in parts if isinstance(part, tuple)]
    return [
        re.findall(rb"^(x-spam[a-z-]*)(?:[ \t]|\x80[^:\n]*)*:", text, re.MULTILINE) for text in texts
    ]  # NUL is 0x80
