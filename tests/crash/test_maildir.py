"""The Maildir transport: whatever dies or fails while it writes, the message is in `new/` once, and whole."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.crash.harness import FaultyHomeport, is_empty, message, unanswered
from tests.crash.lives import INGRESS_ROWS, MAILDIR, Row
from tests.crash.test_kill import crashes
from tests.services.homeport import eventually, received

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def _homeport(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyHomeport]:
    directory = tmp_path_factory.mktemp("maildir")
    (directory / "mail").mkdir()
    transport = f"maildir://{directory / 'mail'}"
    with FaultyHomeport(directory, transport=transport, settings={"DOMAINS": "home.test"}) as homeport:
        assert homeport.post(message()).status == 200  # which creates anna's Maildir
        yield homeport


@pytest.fixture
def homeport(_homeport: FaultyHomeport) -> FaultyHomeport:
    _homeport.heal()
    return _homeport


def stored(homeport: FaultyHomeport, message_id: str) -> list[bytes]:
    """What is in new/ under this id, as it was posted."""
    found = [received(path.read_bytes()) for path in (homeport.directory / "mail/home.test/anna/new").iterdir()]
    return [below for found_id, below in found if found_id == message_id]


@crashes(MAILDIR, INGRESS_ROWS)
def test_ingress_killed_while_it_writes_delivers_once(
    life: str, number: int, act: str, row: Row, homeport: FaultyHomeport
) -> None:
    raw, message_id = message(), secrets.token_hex(16)
    homeport.arm("ingress", act, number)
    assert unanswered(homeport.post, raw, message_id=message_id)
    homeport.wait_for_death("ingress")
    assert homeport.steps("ingress") == MAILDIR[life].names[: number + 1]
    assert homeport.state_of(message_id) == row.state
    assert len(stored(homeport, message_id)) <= 1
    homeport.revive("ingress")
    assert homeport.post(raw, message_id=message_id).status == 200
    assert stored(homeport, message_id) == [raw]


@pytest.mark.parametrize("number", [n for n, name in enumerate(MAILDIR["maildir"].names) if "maildir/" in name])
@pytest.mark.parametrize("act", ["ENOSPC", "EROFS", "EIO"])
def test_ingress_meets_an_error_while_it_writes_delivers_once(act: str, number: int, homeport: FaultyHomeport) -> None:
    """Spooled when the spool takes it, refused when that is full too, delivered when the fault is gone."""
    raw, message_id = message(), secrets.token_hex(16)
    homeport.arm("ingress", act, number)
    answer = homeport.post(raw, message_id=message_id)
    homeport.disarm("ingress")
    assert answer.smtp is None
    if answer.status not in (200, 202):
        assert answer.status == (507 if act == "ENOSPC" else 503)
        homeport.expire_leases()
        assert homeport.post(raw, message_id=message_id).status == 200
    eventually(lambda: is_empty(homeport))
    assert stored(homeport, message_id) == [raw]
