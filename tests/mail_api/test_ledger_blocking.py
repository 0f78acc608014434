"""The ledger runs on the event loop, so it must never hold the loop up (docs/adr/0011)."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from pathlib import Path

import pytest

from mail_api import ledger as ledger_module
from mail_api.ledger import CHECKPOINT_CALLS, Claim, Ledger
from tests.mail_api.test_ledger import claim, envelope
from tests.mail_api.test_ledger import ledger as ledger


def locked(path: Path) -> sqlite3.Connection:
    """Another process in the middle of its transaction."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


async def test_lock_held_by_another_process_is_waited_for_while_the_loop_goes_on(
    ledger: Ledger,
    tmp_path: Path,
) -> None:
    other = locked(tmp_path / "ledger.sqlite3")
    asked = asyncio.create_task(claim(ledger, envelope()))
    for _ in range(5):  # the loop turns: each sleep ends, and the claim still waits
        await asyncio.sleep(0.01)
        assert not asked.done()
    other.execute("COMMIT")
    assert isinstance(await asked, Claim)
    other.close()


async def test_lock_that_is_never_given_back_fails_the_calls_that_wait(
    ledger: Ledger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger_module, "BUSY_TIMEOUT_S", 0.05)
    other = locked(tmp_path / "ledger.sqlite3")
    first, second = await asyncio.gather(claim(ledger, envelope()), claim(ledger, envelope()), return_exceptions=True)
    assert isinstance(first, sqlite3.OperationalError)
    assert isinstance(second, sqlite3.OperationalError)
    other.execute("ROLLBACK")
    assert isinstance(await claim(ledger, envelope()), Claim)
    other.close()


async def test_log_is_checkpointed_in_the_background_and_does_not_grow_without_end(
    ledger: Ledger,
    tmp_path: Path,
) -> None:
    wal = tmp_path / "ledger.sqlite3-wal"
    sizes = []
    for _ in range(4):
        for _ in range(CHECKPOINT_CALLS // 20):
            await asyncio.gather(*(claim(ledger, envelope(secrets.token_hex(8))) for _ in range(20)))
        assert ledger._checkpoint is not None
        await ledger._checkpoint
        sizes.append(wal.stat().st_size)
    assert (tmp_path / "ledger.sqlite3").stat().st_size > 1_000_000  # it was moved there
    assert sizes[-1] < 2 * sizes[0]
