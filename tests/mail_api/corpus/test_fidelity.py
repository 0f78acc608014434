"""What is posted lies in the mailbox, byte for byte: through the real ingress and Dovecot, from Maildir and by IMAP."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.mail_api.corpus import messages
from tests.mail_api.corpus.messages import shown, stored, with_crlf, without_spam_fields
from tests.services.dovecot import Dovecot
from tests.services.homeport import Homeport, eventually, received
from tests.services.lmtp_proxy import LmtpProxy


@dataclass(frozen=True, slots=True)
class Way:
    """A way into mailboxes: Homeport, which hands messages to Dovecot by `verb`."""

    homeport: Homeport
    dovecot: Dovecot
    network: LmtpProxy
    verb: str

    def carry(self, raws: Sequence[bytes], *, by_queue: bool = False) -> list[tuple[bytes, bytes]]:
        """Post messages to a fresh mailbox; return what is below our fields of each, from its file and by IMAP.

        by_queue   they are spooled first, and then delivered by the delivery process
        """
        mailbox = self.dovecot.add_user()
        with self._outage() if by_queue else nullcontext():
            message_ids = [self._post(raw, mailbox.address, "queued" if by_queue else "delivered") for raw in raws]
        if by_queue:
            assert self.homeport.control("POST", "/v1/queue/retry").status == 202
            eventually(lambda: len(mailbox.files()) == len(message_ids), within_s=30.0)
        files = dict(map(received, mailbox.files().values()))
        seen = dict(map(received, mailbox.messages()))
        assert set(files) == set(seen) == set(message_ids)
        return [(files[message_id], seen[message_id]) for message_id in message_ids]

    def assert_intact(self, expected: Iterable[tuple[str, bytes, bytes]], *, by_queue: bool = False) -> None:
        """Given name, message and what is to be left of it, check that all arrive like that."""
        names, raws, kept = zip(*expected, strict=True)
        changed = [
            (name, file[:300], seen[:300])
            for name, keep, (file, seen) in zip(names, kept, self.carry(raws, by_queue=by_queue), strict=True)
            if file != stored(keep, self.verb) or seen != shown(file)
        ]
        assert changed == []

    @contextmanager
    def _outage(self) -> Iterator[None]:
        self.network.refuse()
        try:
            yield
        finally:
            self.network.listen()

    def _post(self, raw: bytes, rcpt_to: str, state: str) -> str:
        message_id = secrets.token_hex(16)
        answer = self.homeport.post(raw, rcpt_to=rcpt_to, message_id=message_id, chunked=len(raw) % 2 == 0)
        assert answer.document.get("status") == state, answer
        return message_id


@pytest.fixture(scope="module", params=["BDAT", "DATA"])
def way(request: pytest.FixtureRequest, dovecot: Dovecot, start_homeport: Callable[..., Homeport]) -> Iterator[Way]:
    strip = {"BDAT": [], "DATA": ["CHUNKING"]}[request.param]
    with LmtpProxy(dovecot.lmtp_port, strip=strip) as network:
        yield Way(start_homeport(transport=network.url), dovecot, network, request.param)


@pytest.mark.parametrize(
    ("corpus", "at_least"),
    [(messages.cpython, 46), (messages.mail_parser, 20), (messages.hostile, 48)],
    ids=["cpython", "mail_parser", "hostile"],
)
def test_corpus_arrives_byte_for_byte(way: Way, corpus: Callable[[], dict[str, bytes]], at_least: int) -> None:
    as_found = corpus()
    assert len(as_found) >= at_least
    with_line_ends = {f"{name}, CRLF": with_crlf(raw) for name, raw in as_found.items()}
    distinct = {raw: name for name, raw in (with_line_ends | as_found).items()}  # the same again would be a repeat
    way.assert_intact((name, raw, without_spam_fields(raw)) for raw, name in distinct.items())


def test_25_mib_arrive_byte_for_byte(way: Way) -> None:
    raw = messages.largest()
    assert len(raw) == messages.MAX_BYTES
    way.assert_intact([("largest", raw, raw)])


def test_spooled_messages_arrive_byte_for_byte(way: Way) -> None:
    way.assert_intact([(name, raw, raw) for name, raw in messages.hostile().items()], by_queue=True)


def test_bare_cr_at_the_very_end_is_the_one_byte_that_is_lost(way: Way) -> None:
    [(file, _)] = way.carry([b"Subject: a\r\n\r\none\r"])
    assert file == {"BDAT": b"Subject: a\n\none", "DATA": b"Subject: a\n\none\r\n"}[way.verb]


FRAGMENTS = [b"\r\n", b"\n", b"\r", b".", b"\0", b" ", b"\t", b":", b"a", b"\xff", b"\r\n.\r\n", b"\n.\n", b"\r\n\r\n"]
FRAGMENTS += [b"X: ", b"Received: ", b"BDAT 1 LAST\r\n", b"QUIT\r\n", "é".encode(), b"z" * 1000]
FRAGMENTED = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=20), max_size=40).map(b"".join)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(raws=st.lists(FRAGMENTED | st.binary(max_size=3000), min_size=1, max_size=6))
@example(raws=[b"\r", b"\r\r", b"\n\r", b".", b".\r", b"..\r\n", b" "])
def test_any_bytes_arrive(way: Way, raws: list[bytes]) -> None:
    way.assert_intact((repr(raw), raw, raw) for raw in raws)


OURS = [  # the test's hostname, and so our authserv-id, is mx.test
    b"X-Spam: yes\r\n",
    b"X-Spam-Flag: NO\r\n",
    b"x-SPAM-status: No,\r\n\tscore=-1\r\n  required=5\r\n",
    b"X-Spamd-Bar \t: /\n",
    b"X-Spam-Level\0hidden: *\r\n",
    b"Authentication-Results: mx.test; spf=pass\r\n",
    b"AUTHENTICATION-RESULTS:\r\n (a (nested) comment)\r\n MX.Test. 1;\r\n dkim=pass\r\n",
    b'Authentication-Results: "mx.\\test"; none\r\n',
    b"Authentication-Results:mx.test\n",
]
FOREIGN = [
    b"Authentication-Results: mx.example.org; spf=pass\r\n",
    b"Authentication-Results: mx.test.example.org; spf=pass\r\n",
    b"Authentication-Results: (mx.test) other.test; spf=pass\r\n",
    b"ARC-Authentication-Results: i=1; mx.test; spf=pass\r\n",
    b"X-Not-Spam: X-Spam: yes\r\n",
    b"XX-Spam: yes\r\n",
    b"X-Spa: m\r\n",
    b"Subject: a\r\n\tX-Spam-Flag: YES\r\n",
    b"X-Homeport-Id: 00000000000000000000000000000000\r\n",
    b"not a field\r\n",
    b"DKIM-Signature: v=1; h=X-Spam-Flag:From\r\n",
]
BODIES = [b"", b"\r\n", b"\r\nX-Spam-Flag: YES\r\nAuthentication-Results: mx.test; spf=pass\r\n"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    drawn=st.lists(
        st.tuples(st.lists(st.sampled_from(OURS + FOREIGN), max_size=12), st.sampled_from(BODIES)),
        min_size=1,
        max_size=4,
    )
)
@example(drawn=[([*itertools.chain(*itertools.zip_longest(FOREIGN, OURS, fillvalue=b"X: y\r\n"))], BODIES[2])])
@example(drawn=[(OURS, body) for body in BODIES])
def test_only_what_claims_to_be_ours_is_removed(way: Way, drawn: list[tuple[list[bytes], bytes]]) -> None:
    way.assert_intact(
        (repr(fields), b"".join(fields) + body, b"".join(field for field in fields if field not in OURS) + body)
        for fields, body in drawn
    )


@pytest.mark.parametrize("by_queue", [False, True], ids=["at once", "by queue"])
def test_fields_are_removed_from_a_message_on_disk_too(way: Way, by_queue: bool) -> None:
    body = BODIES[2] * (2 * 1024**2 // len(BODIES[2]))  # above 1 MiB it is in a file
    fields = list(itertools.chain(*zip(OURS, FOREIGN, strict=False)))
    kept = [field for field in fields if field not in OURS]
    way.assert_intact([("on disk", b"".join(fields) + body, b"".join(kept) + body)], by_queue=by_queue)
