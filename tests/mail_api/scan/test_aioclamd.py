"""Why clamd is not asked by aioclamd 1.1 (docs/adr/0018): each reason, beside what our own client does.

When one of these fails, aioclamd has become better, and the decision may be looked at again. That it takes several
times as long for a large message is in docs/benchmarks.md (`make bench-mail SCAN=1`).
"""

from __future__ import annotations

import asyncio
import io

import aioclamd  # type: ignore[import-untyped]
import pytest

from mail_api.scan.clamd import Clamd
from mail_api.scan.verdict import Finding
from tests.mail_api.scan.peers import ScriptedClamd
from tests.mail_api.scan.samples import in_memory
from tests.services.clamd import Clamd as RealClamd

LARGE = b"x" * 8_000_000


def theirs(port: int, *, timeout_s: float = 5.0) -> aioclamd.ClamdAsyncClient:
    return aioclamd.ClamdAsyncClient("127.0.0.1", port, timeout=timeout_s)


@pytest.mark.services
async def test_answer_of_a_clamd_that_leaves_is_lost() -> None:
    with RealClamd(stream_max_bytes=1_000_000) as clamd:
        with pytest.raises((ConnectionError, aioclamd.ClamdError)) as caught:
            await theirs(clamd.port).instream(io.BytesIO(LARGE))
        assert not isinstance(caught.value, aioclamd.BufferTooLongError)
        ours = await Clamd(clamd.address).scan(in_memory(LARGE), timeout_s=5)
    assert ours.finding is Finding.OVER_LIMIT


async def test_peer_that_does_not_read_keeps_the_call_beyond_its_timeout() -> None:
    timeout_s = 1.0  # the kernel's buffers are full long before
    with ScriptedClamd(reads=False) as peer:
        call = asyncio.create_task(theirs(peer.port, timeout_s=timeout_s).instream(io.BytesIO(LARGE)))
        done, _ = await asyncio.wait([call], timeout=4 * timeout_s)
        assert done == set()  # it waits in __aexit__ until the peer takes what was not sent
        async with asyncio.timeout(4 * timeout_s):
            ours = await Clamd(peer.address).scan(in_memory(LARGE), timeout_s=timeout_s)
        assert ours.said == "no answer within 1.0 s"
    with pytest.raises(aioclamd.ConnectionTimeoutError):
        await call


@pytest.mark.services
async def test_unix_socket_cannot_be_named() -> None:
    with RealClamd(unix=True) as clamd:
        with pytest.raises(aioclamd.ClamdConnectionError):
            await aioclamd.ClamdAsyncClient(clamd.address, timeout=5).ping()
        assert "ClamAV" in await Clamd(clamd.address).check(timeout_s=5)
