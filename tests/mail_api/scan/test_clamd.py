"""What clamd may do with a stream: answer, answer early and leave, hang, talk nonsense. Only a whole OK is OK."""

from __future__ import annotations

import asyncio
import gc
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mail_api.scan.clamd import Clamd, read_answer
from mail_api.scan.verdict import Finding, Opinion
from tests.mail_api.in_process import until
from tests.mail_api.scan.peers import ScriptedClamd
from tests.mail_api.scan.samples import PLAIN, attached, in_file, in_memory, zipped
from tests.services.clamd import TEST_FILES, eicar
from tests.services.clamd import Clamd as RealClamd
from tests.services.process import free_port

LARGE = 8_000_000


async def ask(address: str, raw: bytes = PLAIN, *, timeout_s: float = 5.0) -> Opinion:
    return await Clamd(address).scan(in_memory(raw), timeout_s=timeout_s)


class TestStream:
    @pytest.mark.parametrize("size_bytes", [0, 1, 256 * 1024, 3_000_001])
    async def test_peer_gets_the_very_bytes(self, tmp_path: Path, size_bytes: int) -> None:
        raw = secrets.token_bytes(size_bytes)
        for is_file in (False, True):
            with ScriptedClamd(b"stream: OK\0") as peer, in_file(raw, tmp_path) as from_file:
                content = from_file if is_file else in_memory(raw)
                found = await Clamd(peer.address).scan(content, timeout_s=5)
            assert found == Opinion(Finding.CLEAN, "clean")
            assert peer.requests == [raw]

    async def test_answer_may_come_in_pieces(self) -> None:
        with ScriptedClamd(b"stre", b"am: O", b"K", b"\0", drip_s=0.01) as peer:
            assert (await ask(peer.address)).finding is Finding.CLEAN


ANSWERS = {
    "stream: OK": Finding.CLEAN,
    "stream: Win.Test.EICAR_HDB-1 FOUND": Finding.REFUSED,
    "stream: Eicar-Test.UNOFFICIAL FOUND": Finding.REFUSED,
    "stream: Heuristics.Encrypted.Zip FOUND": Finding.REFUSED,
    "stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND": Finding.OVER_LIMIT,
    "stream: Heuristics.Limits.Exceeded FOUND": Finding.OVER_LIMIT,
    "INSTREAM size limit exceeded. ERROR": Finding.OVER_LIMIT,
    "stream: OK ERROR": Finding.FAILED,
    "stream: Can't allocate memory ERROR": Finding.FAILED,
    "INSTREAM: Can't write to temporary file. ERROR": Finding.FAILED,
    "COMMAND READ TIMED OUT": Finding.FAILED,
    "UNKNOWN COMMAND": Finding.FAILED,
    "stream: ok": Finding.FAILED,
    "stream: OK\n": Finding.FAILED,
    "1: stream: OK": Finding.FAILED,
    "OK": Finding.FAILED,
    "": Finding.FAILED,
    "stream:  FOUND": Finding.FAILED,
}


class TestAnswer:
    @pytest.mark.parametrize(("answer", "finding"), ANSWERS.items())
    async def test_answer_means(self, answer: str, finding: Finding) -> None:
        assert read_answer(answer).finding is finding
        with ScriptedClamd(answer.encode() + b"\0") as peer:
            assert (await ask(peer.address)).finding is finding

    def test_name_is_kept_and_printable(self) -> None:
        found = read_answer("stream: Evil\x1b[2J\u202e" + "x" * 500 + " FOUND")
        assert found.finding is Finding.REFUSED
        assert found.said.isprintable()
        assert len(found.report["name"]) == 120

    @pytest.mark.parametrize(
        "pieces",
        [(), (b"stream: OK",), (b"stream: OK\n",), (b"\xff\xfe\0",), (b"x" * 100_000,), (b"HTTP/1.1 400 Bad\r\n\r\n",)],
    )
    async def test_answer_without_its_end_is_a_failure(self, pieces: tuple[bytes, ...]) -> None:
        with ScriptedClamd(*pieces) as peer:
            found = await ask(peer.address)
        assert (found.finding, found.is_unreachable) == (Finding.FAILED, False)


class TestPeerThatLeaves:
    @pytest.mark.parametrize("attempt", range(5))
    async def test_why_it_left_is_heard_though_the_stream_broke(self, attempt: int) -> None:
        with ScriptedClamd(b"INSTREAM size limit exceeded. ERROR\0", leaves_after=300_000) as peer:
            found = await ask(peer.address, b"x" * LARGE)
        assert found.finding is Finding.OVER_LIMIT

    async def test_peer_that_left_without_a_word_is_a_failure(self) -> None:
        with ScriptedClamd(leaves_after=0) as peer:
            found = await ask(peer.address, b"x" * LARGE)
        assert (found.finding, found.is_unreachable) == (Finding.FAILED, False)


class TestPeerThatHangs:
    @pytest.mark.parametrize("reads", [True, False])
    async def test_deadline_holds_and_nothing_stays_open(self, reads: bool) -> None:
        """A peer that stops reading: what was not sent must not keep the connection, nor the scan, alive."""
        began = time.monotonic()
        with ScriptedClamd(silent=True, reads=reads) as peer:
            found = await ask(peer.address, b"x" * 20_000_000, timeout_s=0.5)
            assert time.monotonic() - began < 5
        assert (found.finding, found.said) == (Finding.FAILED, "no answer within 0.5 s")
        gc.collect()  # a socket left open would warn, and a warning is an error

    async def test_answer_that_drips_has_a_deadline(self) -> None:
        with ScriptedClamd(*[b"s"] * 100, drip_s=0.05) as peer:
            found = await ask(peer.address, timeout_s=0.3)
        assert found.said == "no answer within 0.3 s"

    async def test_cancelled_scan_ends_at_once(self) -> None:
        with ScriptedClamd(silent=True) as peer:
            scan = asyncio.create_task(Clamd(peer.address).scan(in_memory(), timeout_s=30))
            await until(lambda: peer.requests)
            scan.cancel()
            with pytest.raises(asyncio.CancelledError):
                await scan


class TestNobodyThere:
    @pytest.mark.parametrize("address", ["127.0.0.1:{}", "localhost:{}", "unix:///nonexistent/socket"])
    async def test_it_is_an_outage(self, address: str) -> None:
        found = await ask(address.format(free_port()))
        assert (found.finding, found.is_unreachable) == (Finding.FAILED, True)
        assert "cannot be reached" in found.said


class TestCheck:
    async def test_other_servers_are_no_clamd(self) -> None:
        with ScriptedClamd(b"hello\0") as peer, pytest.raises(OSError, match="is no clamd: it said 'hello'"):
            await Clamd(peer.address).check(timeout_s=2)

    async def test_nobody_there_is_said(self) -> None:
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            await Clamd(f"127.0.0.1:{free_port()}").check(timeout_s=2)


@pytest.fixture(scope="module")
def unix_clamd() -> Iterator[RealClamd]:
    with RealClamd(unix=True) as running:
        yield running


class TestRealClamd:
    async def test_clean(self, clamd: RealClamd) -> None:
        assert (await ask(clamd.address)).finding is Finding.CLEAN

    async def test_test_string_is_found_however_it_is_wrapped(self, clamd: RealClamd) -> None:
        for raw in (PLAIN + eicar(), attached(eicar()), attached(zipped(eicar())), attached(zipped(zipped(eicar())))):
            found = await ask(clamd.address, raw)
            assert (found.finding, found.report) == (Finding.REFUSED, {"name": "Eicar-Test.UNOFFICIAL"})

    @pytest.mark.parametrize("name", ["clam.exe", "clam.zip", "clam.tar.gz", "clam.7z", "clam.cab", "clam.bz2.zip"])
    async def test_archives_are_looked_into(self, clamd: RealClamd, name: str) -> None:
        found = await ask(clamd.address, attached((TEST_FILES / name).read_bytes()))
        assert (found.finding, found.report) == (Finding.REFUSED, {"name": "Clam-Test-File.UNOFFICIAL"})

    @pytest.mark.services
    async def test_unix_socket(self, unix_clamd: RealClamd) -> None:
        assert (await ask(unix_clamd.address, PLAIN + eicar())).finding is Finding.REFUSED
        assert (await ask(unix_clamd.address)).finding is Finding.CLEAN
        assert "ClamAV" in await Clamd(unix_clamd.address).check(timeout_s=2)

    @pytest.mark.services
    async def test_over_its_limits_is_not_clean(self) -> None:
        with RealClamd(stream_max_bytes=1_000_000, file_max_bytes=500_000) as small:
            for _ in range(5):
                assert (await ask(small.address, b"x" * LARGE)).finding is Finding.OVER_LIMIT
            found = await ask(small.address, b"x" * 600_000)
            assert found.finding is Finding.OVER_LIMIT
            assert "Heuristics.Limits.Exceeded" in found.said
            assert (await ask(small.address, b"x" * 400_000)).finding is Finding.CLEAN

    async def test_check_names_its_version(self, clamd: RealClamd) -> None:
        assert (await Clamd(clamd.address).check(timeout_s=2)).startswith(f"{clamd.address} ClamAV 1.")
