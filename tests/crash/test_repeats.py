"""The same message again: at once, after the ledger is lost, spoiled or replaced; and a second delivery process."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kit.clock import SystemClock
from mail_api.ledger import Ledger
from tests.crash.harness import (
    FULL_BYTES,
    PATIENCE_S,
    ROOMY_BYTES,
    FaultyHomeport,
    copies,
    delivered,
    is_empty,
    message,
)
from tests.services.dovecot import SENTINEL, Dovecot, Mailbox
from tests.services.homeport import Answer, Homeport, eventually
from tests.services.lmtp_proxy import LmtpProxy

pytestmark = pytest.mark.slow
AT_ONCE = 50
PAGE_BYTES = 4096  # SQLite's
GARBAGE = b"not what it was " * PAGE_BYTES


def post_at_once(homeport: Homeport, raw: bytes, mailbox: Mailbox, message_ids: list[str]) -> list[Answer]:
    with ThreadPoolExecutor(len(message_ids)) as threads:
        return list(
            threads.map(
                lambda message_id: homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id), message_ids
            )
        )


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def homeport(request: pytest.FixtureRequest, dovecot: Dovecot, tmp_path: Path) -> Iterator[Homeport]:
    with Homeport(tmp_path, transport=dovecot.lmtp_url, sentinel=SENTINEL, workers=request.param) as running:
        yield running


class TestAtOnce:
    """Fifty posts on fifty connections."""

    def test_one_id_is_delivered_once_and_all_get_the_same_receipt(self, homeport: Homeport, mailbox: Mailbox) -> None:
        raw, message_id = message(), secrets.token_hex(16)
        answers = post_at_once(homeport, raw, mailbox, [message_id] * AT_ONCE)
        assert {answer.status for answer in answers} == {200}
        assert all(answer.document == answers[0].document for answer in answers)
        assert delivered(mailbox, message_id, raw) == 1

    def test_one_content_under_many_ids_is_delivered_once(self, homeport: Homeport, mailbox: Mailbox) -> None:
        raw, message_ids = message(), [secrets.token_hex(16) for _ in range(AT_ONCE)]
        answers = post_at_once(homeport, raw, mailbox, message_ids)
        assert {answer.status for answer in answers} == {200}
        assert [answer.document["message_id"] for answer in answers] == message_ids
        [contents] = copies(mailbox).values()
        assert contents == [raw]

    def test_one_id_with_several_contents_is_one_message_and_conflicts(
        self, homeport: Homeport, mailbox: Mailbox
    ) -> None:
        raws, message_id = [message() for _ in range(AT_ONCE)], secrets.token_hex(16)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            statuses = list(
                threads.map(lambda raw: homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id).status, raws)
            )
        assert sorted(statuses) == [200] + [409] * (AT_ONCE - 1)
        assert copies(mailbox) == {message_id: [raws[statuses.index(200)]]}

    def test_one_id_is_spooled_once_and_delivered_once(self, spooling: FaultyHomeport, mailbox: Mailbox) -> None:
        raw, message_id = message(), secrets.token_hex(16)
        answers = post_at_once(spooling, raw, mailbox, [message_id] * AT_ONCE)
        assert {answer.status for answer in answers} <= {200, 202}
        spooling.drain(message_id)
        assert delivered(mailbox, message_id, raw) == 1


class TestLedger:
    """It may cost a duplicate, never a message."""

    @pytest.fixture
    def homeport(self, dovecot: Dovecot, tmp_path: Path) -> Iterator[FaultyHomeport]:
        with FaultyHomeport(tmp_path, transport=dovecot.lmtp_url, spools=True) as running:
            yield running

    def test_lost_ledger_loses_no_message(self, homeport: FaultyHomeport, mailbox: Mailbox) -> None:
        homeport.delivery.stop()
        raws = {secrets.token_hex(16): message() for _ in range(3)}
        for message_id, raw in raws.items():
            assert homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 202
        homeport.ingress.kill()
        for path in homeport.state_dir.glob("ledger.sqlite3*"):
            path.unlink()
        homeport.ingress.start()
        for message_id, raw in raws.items():
            assert homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 202
        assert homeport.entries("queue") == sorted(raws)
        homeport.delivery.start()
        eventually(lambda: is_empty(homeport))
        assert copies(mailbox) == {message_id: [raw] for message_id, raw in raws.items()}

    def test_ledger_that_is_no_database_is_set_aside(self, dovecot: Dovecot, mailbox: Mailbox, tmp_path: Path) -> None:
        state_dir = tmp_path / "state"
        state_dir.mkdir()
        (state_dir / "ledger.sqlite3").write_bytes(GARBAGE)
        raw, message_id = message(), secrets.token_hex(16)
        with Homeport(tmp_path, transport=dovecot.lmtp_url, workers=2) as homeport:
            answers = post_at_once(homeport, raw, mailbox, [message_id] * 10)  # to whichever worker
        assert {answer.status for answer in answers} == {200}
        assert delivered(mailbox, message_id, raw) == 1
        [aside] = state_dir.glob("ledger.sqlite3.corrupt-????????")
        assert aside.read_bytes() == GARBAGE

    def test_ledger_that_is_no_database_is_set_aside_by_one_of_those_who_open_it_at_once(self, tmp_path: Path) -> None:
        ledger = tmp_path / "ledger.sqlite3"
        ledger.write_bytes(GARBAGE)
        begin = threading.Barrier(4)

        def open_ledger(_: int) -> Ledger:
            begin.wait()
            return Ledger.open(ledger, clock=SystemClock())

        with ThreadPoolExecutor(begin.parties) as threads:
            opened = list(threads.map(open_ledger, range(begin.parties)))
        for each in opened:
            each.close()
        [aside] = tmp_path.glob("ledger.sqlite3.corrupt-????????")
        assert aside.read_bytes() == GARBAGE

    def test_ledger_damaged_within_is_set_aside(self, homeport: FaultyHomeport, mailbox: Mailbox) -> None:
        """Its first page says that it is a database; the others are lost."""
        for _ in range(20):
            assert homeport.post(message(), rcpt_to=mailbox.address).status == 202
        homeport.stop()  # the last one to close it moves all into the one file
        ledger = homeport.state_dir / "ledger.sqlite3"
        size_bytes = ledger.stat().st_size
        with ledger.open("r+b") as file:
            file.seek(PAGE_BYTES)
            file.write(b"\xa5" * (size_bytes - PAGE_BYTES))
        homeport.start()
        raw, message_id = message(), secrets.token_hex(16)
        eventually(lambda: homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 202)
        eventually(lambda: is_empty(homeport), within_s=PATIENCE_S)
        assert copies(mailbox)[message_id] == [raw]

    def test_ledger_lost_while_delivery_holds_the_entry_stops_nothing(self, dovecot: Dovecot, tmp_path: Path) -> None:
        """The edge's repeat is spooled anew beside the entry that is being delivered, and deferred."""
        full, raw, message_id = dovecot.add_user(quota_bytes=FULL_BYTES), message(), secrets.token_hex(16)
        with (
            LmtpProxy(dovecot.lmtp_port) as proxy,
            FaultyHomeport(tmp_path, transport=proxy.url, spools=True) as homeport,
        ):
            proxy.delay_s = 0.5  # for each of four replies
            assert homeport.post(raw, rcpt_to=full.address, message_id=message_id).status == 202
            eventually(lambda: homeport.entries("active") == [message_id])
            with contextlib.closing(sqlite3.connect(homeport.state_dir / "ledger.sqlite3")) as ledger, ledger:
                ledger.execute("DELETE FROM messages")
            assert homeport.post(raw, rcpt_to=full.address, message_id=message_id).status == 202
            assert homeport.entries("active") == homeport.entries("queue") == [message_id]
            proxy.delay_s = 0.0
            eventually(lambda: not homeport.entries("active"))

            dovecot.add_user(full.address, quota_bytes=ROOMY_BYTES)
            homeport.drain(message_id)
            assert delivered(full, message_id, raw) == 1


def test_second_delivery_process_refuses_to_start(homeport: Homeport) -> None:
    second = subprocess.run(
        homeport.delivery.argv, env=homeport.environment, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert second.returncode == 1
    assert "another delivery process holds" in second.stderr
    assert homeport.control("GET", "/v1/status").status == 200  # of the first one
