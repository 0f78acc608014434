"""Plans of several transactions: what fails in the middle is put back, and what can't be is finished or reverted."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from portal.dns.problems import DnsApplyReverted, DnsApplyUnfinished, NothingUnfinished
from portal.dns.schemas import ApplyDnsPlan, DnsPlan
from tests.fakes.cloudflare import CloudflareFake
from tests.portal.dns.conftest import ANNA, HOME, Room, Stand, change, create, records_at, remove

THREE = 450  # changes: batches of 200, 200 and 50
BATCH = "/dns_records/batch"


@pytest.fixture
def big(cf: CloudflareFake) -> None:
    zone = cf.state.zones[HOME]
    zone.record_limit = 1_000
    for number in range(30):
        cf.edit(HOME, type="TXT", name=f"old{number}", content=f'"{number}"', comment=f"old {number}")


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
async def test_rate_limit_in_the_middle_is_waited_out_and_told(room: Room, cf: CloudflareFake) -> None:
    plan = await _plan(room)
    cf.fail("POST", BATCH, 429, skip=1, retry_after=0)
    operation = await room.done(plan)
    assert any("limits the rate" in line.text for line in operation.report.lines)
