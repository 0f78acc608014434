"""Plans of several transactions: what fails in the middle is put back, and what can't be is finished or reverted."""

from __future__ import annotations

import asyncio
import math
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

from portal.dns.problems import DnsApplyReverted, DnsApplyUnfinished, NothingUnfinished
from portal.dns.records.values import key_of, value_of
from portal.dns.schemas import ApplyDnsPlan, DnsPlan
from portal.operations.progress import Progress
from tests.fakes.cloudflare import CloudflareFake
from tests.portal.dns.conftest import ANNA, HOME, Room, Stand, change, create, records_at, remove
from tests.portal.dns.full_disk import fill_disk, long_text

THREE = 450  # changes: batches of 200, 200 and 50
BATCH = "/dns_records/batch"


@pytest.fixture
def big(cf: CloudflareFake) -> None:
    zone = cf.state.zones[HOME]
    zone.record_limit = 1_000
    for number in range(30):
        cf.edit(HOME, type="TXT", name=f"old{number}", content=f'"{number}"', comment=f"old {number}")


Noted = dict[str, Callable[[], object]]


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Noted:
    """What happens once, at the moment at which an operation notes a line that begins so."""
    wanted: Noted = {}
    note = Progress.note

    def note_and_act(self: Progress, line: str) -> None:
        note(self, line)
        for start in [start for start in wanted if line.startswith(start)]:
            wanted.pop(start)()

    monkeypatch.setattr(Progress, "note", note_and_act)
    return wanted


async def _plan(room: Room) -> DnsPlan:
    """One that makes, changes and removes, in three transactions."""
    keys = await room.keys()
    edits = [create("TXT", f"new{number}", f'"{number}"') for number in range(THREE - 30)]
    edits += [change(keys[f"TXT old{number}.{HOME}"], content=f'"changed {number}"') for number in range(15)]
    edits += [remove(keys[f"TXT old{number}.{HOME}"]) for number in range(15, 30)]
    plan = await room.plan(*edits)
    assert plan.batches == 3
    return plan


def _batches(cf: CloudflareFake) -> list[int]:
    return [request.status for request in cf.writes if request.path.endswith("/batch")]


@pytest.mark.usefixtures("big")
async def test_plan_of_three_transactions_is_applied_and_taken_back(room: Room, cf: CloudflareFake) -> None:
    text = await room.export()
    plan = await _plan(room)
    operation = await room.done(plan)
    assert operation.result == {"created": 420, "changed": 15, "deleted": 15, "batches": 3}
    assert _batches(cf) == [200, 200, 200]
    assert operation.report.done == operation.report.of == 3
    assert (await room.service.overview()).unfinished == []
    await room.done(await room.service.undo(ANNA, HOME, plan.id))
    assert await room.export() == text


@pytest.mark.usefixtures("big")
@pytest.mark.parametrize("skip", [1, 2])
async def test_failure_in_the_middle_is_put_back(room: Room, cf: CloudflareFake, skip: int) -> None:
    text = await room.export()
    plan = await _plan(room)
    cf.fail("POST", BATCH, 400, skip=skip, message='no "more" \u202e records')
    operation = await room.apply(plan)
    assert operation.state == "failed"
    assert operation.error is not None
    assert operation.error["type"] == f"/problems/{DnsApplyReverted.type}"
    assert 'no "more"' in operation.error["detail"]
    assert any("putting" in line.text for line in operation.report.lines)
    assert await room.export() == text
    assert (await room.service.overview()).unfinished == []


@pytest.mark.usefixtures("big")
@pytest.mark.parametrize("way", ["finish", "revert"])
async def test_what_can_not_be_put_back_is_unfinished_until_it_is_mended(
    room: Room, cf: CloudflareFake, way: Literal["finish", "revert"]
) -> None:
    text = await room.export()
    plan = await _plan(room)
    cf.fail("POST", BATCH, 400, skip=1, times=2)
    operation = await room.apply(plan)
    assert operation.error is not None
    assert operation.error["type"] == f"/problems/{DnsApplyUnfinished.type}"
    (unfinished,) = (await room.service.overview()).unfinished
    assert (unfinished.operation_id, unfinished.batches_done, unfinished.batches) == (operation.id, 1, 3)
    assert "transaction 2 failed" in unfinished.detail
    await _mend(room, operation.id, way, text)


@pytest.mark.slow
@pytest.mark.usefixtures("big")
@pytest.mark.parametrize(("after", "way"), [(1, "finish"), (-1, "revert"), (2, "revert"), (-2, "finish")])
async def test_process_that_dies_between_two_transactions_leaves_what_can_be_mended(
    stand: Stand,
    cf: CloudflareFake,
    database_url: str,
    tmp_path: Path,
    after: int,
    way: Literal["finish", "revert"],
) -> None:
    async with stand() as room:
        text = await room.export()
        plan = await _plan(room)
    arguments = [database_url, str(tmp_path), cf.url, cf.account_id, cf.token(), HOME, plan.id, str(after)]
    died = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "tests.portal.dns.killed", *arguments], timeout=120, check=False
    )
    assert died.returncode == -signal.SIGKILL
    assert _batches(cf) == [200] * abs(after)
    async with stand() as room:
        await room.runner.recovered()
        (unfinished,) = (await room.service.overview()).unfinished
        assert unfinished.batches_done == (abs(after) if after < 0 else after - 1)
        assert (await room.service.drift(HOME, "open")).drift == []  # it was us
        await _mend(room, unfinished.operation_id, way, text)


@pytest.mark.usefixtures("big")
@pytest.mark.parametrize("way", ["finish", "revert"])
async def test_mended_plan_stays_mended_whatever_is_changed_next(
    room: Room, cf: CloudflareFake, way: Literal["finish", "revert"]
) -> None:
    plan = await _plan(room)
    cf.fail("POST", BATCH, 400, skip=1, times=2)
    operation = await room.apply(plan)
    await room.done(await room.service.plan_unfinished(ANNA, HOME, operation.id, way))
    cf.edit(HOME, type="TXT", name="new0" if way == "finish" else "old0", comment="somebody else's")
    await room.service.zones.read(HOME)
    assert (await room.service.overview()).unfinished == []


@pytest.mark.usefixtures("big")
async def test_transaction_that_is_carried_out_after_all_was_put_back_is_unfinished(
    room: Room, cf: CloudflareFake, noted: Noted
) -> None:
    late = sorted(f"new{number}" for number in range(THREE - 30))[250]  # of the second transaction
    cf.fail("POST", BATCH, "reset", skip=1)
    noted["putting"] = lambda: cf.edit(HOME, type="TXT", name=late, content=f'"{late[3:]}"')
    operation = await room.apply(await _plan(room))
    assert operation.error is not None
    assert operation.error["type"] == f"/problems/{DnsApplyUnfinished.type}"
    (unfinished,) = (await room.service.overview()).unfinished
    assert "carried out later" in unfinished.detail


@pytest.mark.usefixtures("big")
async def test_record_that_somebody_else_takes_away_meanwhile_is_named_in_words(
    room: Room, cf: CloudflareFake, noted: Noted
) -> None:
    keys = await room.keys()
    edits = [create("TXT", f"new{number}", f'"{number}"') for number in range(THREE)]
    plan = await room.plan(*edits, change(keys[f"TXT old0.{HOME}"], comment="ours"))
    cf.fail("POST", BATCH, 400, skip=1)
    noted["transaction 2"] = lambda: cf.remove(HOME, type="TXT", name="old0")
    operation = await room.apply(plan)
    assert operation.error is not None
    assert operation.error["type"] == f"/problems/{DnsApplyUnfinished.type}"
    assert operation.error["detail"].endswith("'TXT old0.home.example' was changed or removed by somebody else")


@pytest.mark.usefixtures("big")
async def test_what_others_change_while_a_plan_is_applied_is_drift(
    room: Room, cf: CloudflareFake, noted: Noted
) -> None:
    noted["transaction 2"] = lambda: cf.edit(HOME, type="A", name="theirs", content="192.0.2.2")
    await room.done(await _plan(room))
    assert [each.name for each in (await room.service.drift(HOME, "open")).drift] == [f"A theirs.{HOME}"]


async def _mend(room: Room, operation_id: str, way: Literal["finish", "revert"], text: str) -> None:
    mending = await room.service.plan_unfinished(ANNA, HOME, operation_id, way)
    await room.done(mending)
    names = {each["name"] for each in records_at(room.cf)}
    if way == "revert":
        assert await room.export() == text
    else:
        assert {f"new{number}.{HOME}" for number in range(THREE - 30)} <= names
        assert not {f"old{number}.{HOME}" for number in range(15, 30)} & names
    assert (await room.service.overview()).unfinished == []
    with pytest.raises(NothingUnfinished):
        await room.service.plan_unfinished(ANNA, HOME, operation_id, way)


@pytest.mark.usefixtures("big")
async def test_cancelled_in_the_middle_it_is_unfinished(room: Room, cf: CloudflareFake) -> None:
    plan = await _plan(room)
    cf.fail("POST", BATCH, "hang", skip=1)
    begun = await room.service.apply(ANNA, HOME, plan.id, ApplyDnsPlan(), lambda: None)
    while len(_batches(cf)) < 2:  # noqa: ASYNC110 - the fake runs in a thread of its own
        await asyncio.sleep(0.02)
    await room.runner.cancel(ANNA, begun.id)
    assert (await room.runner.wait(begun.id)).state == "cancelled"
    (unfinished,) = (await room.service.overview()).unfinished
    assert unfinished.batches_done == 1


@pytest.mark.usefixtures("big")
async def test_defect_in_the_middle_leaves_the_plan_open_and_says_so(room: Room, cf: CloudflareFake) -> None:
    """A number that no JSON holds can't be sent; no file and no form lets one in, so the wish is made here."""
    wish: dict[str, Any] = {}
    for number in range(THREE):
        settings = {"x": math.inf} if number == 300 else {}
        value = value_of({"type": "A", "name": f"a{number:03}.{HOME}", "content": "192.0.2.1", "settings": settings})
        wish[key_of(value)] = value
    operation = await room.apply(await room.service.plan_wish(ANNA, HOME, wish))
    assert (operation.state, _batches(cf)) == ("failed", [200])
    (unfinished,) = (await room.service.overview()).unfinished
    assert (unfinished.operation_id, unfinished.batches_done) == (operation.id, 1)
    assert "transaction 2 ended unexpectedly" in unfinished.detail


@pytest.mark.usefixtures("big")
async def test_database_that_is_held_in_the_middle_keeps_no_transaction_from_being_applied(
    stand: Stand, cf: CloudflareFake, noted: Noted, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.db.BUSY_S", 0.05)
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        async with stand() as room:
            plan = await _plan(room)
            noted["transaction 2"] = lambda: other.execute("BEGIN IMMEDIATE")
            noted["transaction 3"] = lambda: other.execute("ROLLBACK")
            with structlog.testing.capture_logs() as logs:
                await room.done(plan)
            assert "dns_journal_not_written" in [line["event"] for line in logs]
            assert _batches(cf) == [200, 200, 200]
            assert (await room.service.overview()).unfinished == []


@pytest.mark.usefixtures("big")
async def test_plan_that_was_applied_stays_done_when_the_disk_fills_meanwhile(
    room: Room, cf: CloudflareFake, noted: Noted
) -> None:
    """There is room for the operation's own rows, and none for the zone as it is seen after."""
    plan = await room.plan(*(create("TXT", f"t{number}", long_text()) for number in range(210)))
    noted["transaction 2"] = lambda: fill_disk(room.database, spare_pages=12)
    with structlog.testing.capture_logs() as logs:
        await room.done(plan)
    assert {"dns_zone_not_compared", "dns_zone_not_read_after_change"} <= {line["event"] for line in logs}
    assert len(records_at(cf)) == len((await room.service.zones.state(HOME)).records) == 240


@pytest.mark.usefixtures("big")
async def test_what_takes_long_with_many_records_is_done_in_threads(room: Room, cf: CloudflareFake) -> None:
    """The loop, which everybody else waits for, calls none of what goes through a whole zone or plan."""
    plan = await _plan(room)
    cf.fail("POST", BATCH, 500, skip=1)  # in doubt: looked at, and put back
    in_loop: set[str] = set()
    sys.setprofile(lambda frame, event, _: in_loop.add(frame.f_code.co_name) if event == "call" else None)
    try:
        operation = await room.apply(plan)
    finally:
        sys.setprofile(None)
    assert operation.state == "failed"
    assert "_put_back" in in_loop
    slow = {"value_of", "key_of", "keyed", "pair", "plan_batches", "are_there", "end_of", "is_as"}
    assert in_loop & slow == set()


@pytest.mark.usefixtures("big")
async def test_rate_limit_in_the_middle_is_waited_out_and_told(room: Room, cf: CloudflareFake) -> None:
    plan = await _plan(room)
    cf.fail("POST", BATCH, 429, skip=1, retry_after=0)
    operation = await room.done(plan)
    assert any("limits the rate" in line.text for line in operation.report.lines)
