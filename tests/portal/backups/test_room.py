"""The room in this process: requests as operations, followed to their end whatever happens on either side."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kit.clock import Clock, SystemClock
from kit.problem import Problem
from portal.actor import Actor, Role
from portal.backups.catalog import BackupsNotConnected
from portal.backups.following import LOST_S, SILENT_S, UNHEARD_S
from portal.backups.schemas import (
    AssetRef,
    PreviewRestore,
    RestoreAsset,
    RestorePreviewed,
    RunBackup,
    RunDrill,
    VerifyPoint,
)
from portal.backups.service import TAKE_S, Backups, NoSuchAsset, NoSuchPoint, NoSuchRun, PointNotThere, PreviewUnusable
from portal.broker.client import Broker
from portal.db import Database
from portal.operations.hub import Hub
from portal.operations.records import Operation, Outcome, State
from portal.operations.runner import Runner, TargetBusy
from tests.clock import FakeClock
from tests.portal.backups.unit import Json, Run, example, fresh, obliging, preview_of, unit, write_catalog
from tests.portal.brokers import RunningBroker
from tests.services.docker_engine import DockerEngine

ANNA = Actor("user", "7", "anna", Role.OPERATOR, "127.0.0.1", "req-1")
ALL = RunBackup(scope="all")
DOVECOT = "homeport-mail-dovecot-1"  # as Compose calls the container of the service mail-dovecot
UNTIL_TOLD = "trap 'exit 0' TERM; while true; do sleep 0.1; done"


@dataclass
class Room:
    service: Backups
    runner: Runner
    hub: Hub
    directory: Path

    async def done(self, started: Awaitable[Operation]) -> Operation:
        return await self.runner.wait((await started).id)

    async def lines(self, operation_id: str) -> list[str]:
        return [line.text for line in (await self.runner.get(operation_id)).report.lines]

    async def until_said(self, operation_id: str, text: str) -> None:
        async with asyncio.timeout(20):
            while not any(text in line for line in await self.lines(operation_id)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    @property
    def requests(self) -> list[Json]:
        return [json.loads(path.read_bytes()) for path in sorted((self.directory / "requests").glob("[!.]*.json"))]

    async def newest_point(self) -> str:
        return (await self.service.catalog()).points[0].id


@asynccontextmanager
async def opened(
    directory: Path | None, database: Database, *, clock: Clock | None = None, broker: Broker | None = None
) -> AsyncIterator[Room]:
    """A portal's room; leaving it is that portal's end."""
    clock = clock or SystemClock()
    hub = Hub()
    runner = Runner(database, hub, clock, recheck_waits_s=(0.0, 0.1))
    service = Backups.of(directory, broker or Broker(None), hub, runner, clock)
    service.begin()
    await runner.recover()
    try:
        yield Room(service, runner, hub, directory or Path("/nonexistent"))
    finally:
        await service.close()
        await runner.close()


@pytest.fixture
async def room(directory: Path, database: Database) -> AsyncIterator[Room]:
    async with opened(directory, database) as room:
        yield room


# -- the way of a request ---------------------------------------------------------------------------------------------


async def test_request_is_taken_followed_and_its_result_is_the_operations(room: Room) -> None:
    with unit(room.directory, obliging) as taken:
        operation = await room.done(room.service.run(ANNA, ALL))
    assert operation.state is State.DONE
    (request,) = taken
    assert (request["act"], request["by"], request["scope"]) == ("run", "anna", "all")
    assert operation.detail == {"scope": "all", "run": request["id"]}
    assert operation.result == {
        "point": "manual/20261122T061500Z-all",
        "verified": True,
        "bytes": 100,
        "new_bytes": 10,
        "run": request["id"],
    }
    lines = [line.text for line in operation.report.lines]
    assert lines[0] == f"requested: {request['id']}"
    assert lines[1:] == [
        "accepted",
        "running",
        "stage: source=site:blog",
        "warning: one table was dumped under a lock",
        "done and verified",
    ]
    assert (operation.report.done, operation.report.of) == (50, 100)
    assert room.requests == []


@pytest.mark.parametrize(("exit_code", "kind"), [(4, "backup-failed"), (9, "restore-refused")])
async def test_failed_run_fails_the_operation_in_the_units_own_words(room: Room, exit_code: int, kind: str) -> None:
    def fail(request: Json, run: Run) -> None:
        run.ended(exit_code, "mailserver: Got error 2013: Lost connection; the point was kept as incomplete")

    with unit(room.directory, fail) as taken:
        operation = await room.done(room.service.run(ANNA, ALL))
    assert operation.state is State.FAILED
    assert operation.error["type"] == f"/problems/{kind}"
    assert operation.error["detail"].startswith("mailserver: Got error 2013")
    assert (operation.result["exit_code"], operation.result["run"]) == (exit_code, taken[0]["id"])


async def test_second_request_for_the_same_thing_is_refused_while_the_first_runs(room: Room) -> None:
    first = await room.service.run(ANNA, ALL)
    with pytest.raises(TargetBusy, match=first.id):
        await room.service.run(ANNA, ALL)
    other = await room.service.run(ANNA, RunBackup(scope="site:blog"))
    with unit(room.directory, obliging):
        assert {(await room.runner.wait(each.id)).state for each in (first, other)} == {State.DONE}


async def test_cancelled_before_it_is_taken_the_request_is_withdrawn(room: Room) -> None:
    operation = await room.service.run(ANNA, ALL)
    await room.until_said(operation.id, "requested")
    assert len(room.requests) == 1
    await room.runner.cancel(ANNA, operation.id)
    ended = await room.runner.wait(operation.id)
    assert ended.state is State.CANCELLED
    assert "taken back" in ended.report.lines[-1].text
    assert room.requests == []


async def test_cancelled_after_it_was_taken_the_operation_says_so_and_goes_on(room: Room) -> None:
    may_end = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(request: Json, run: Run) -> None:
        asyncio.run_coroutine_threadsafe(may_end.wait(), loop).result(20)
        obliging(request, run)

    with unit(room.directory, slow):
        operation = await room.service.run(ANNA, ALL)
        await room.until_said(operation.id, "running")
        await room.runner.cancel(ANNA, operation.id)
        await room.until_said(operation.id, "cannot be cancelled here")
        assert (await room.runner.get(operation.id)).state is State.RUNNING
        may_end.set()
        ended = await asyncio.wait_for(room.runner.wait(operation.id), 20)
    assert (ended.state, ended.cancelled_by) == (State.DONE, "anna")


@pytest.mark.parametrize(("exit_code", "outcome"), [(0, Outcome.DONE), (4, Outcome.NOT_DONE)])
async def test_portal_that_stops_leaves_the_run_alone_and_the_next_one_learns_its_end(
    directory: Path, database: Database, exit_code: int, outcome: Outcome
) -> None:
    async with opened(directory, database) as room:
        operation = await room.service.run(ANNA, ALL)
        await room.until_said(operation.id, "requested")
    assert len(room.requests) == 1, "nobody has withdrawn it"
    async with opened(directory, database) as room:
        stopped = await room.runner.get(operation.id)
        assert (stopped.state, stopped.outcome) == (State.INTERRUPTED, Outcome.CHECKING)
        assert [(job.state, job.operation) for job in await room.service.pending()] == [("requested", operation.id)]
        with pytest.raises(TargetBusy):
            await room.service.run(ANNA, ALL)

        def end(request: Json, run: Run) -> None:
            run.ended(exit_code, "" if exit_code == 0 else "the disk is full")

        with unit(directory, end):
            await asyncio.wait_for(room.runner.recovered(), 20)
        found = await room.runner.get(operation.id)
    assert found.outcome is outcome
    assert ("the disk is full" in found.outcome_detail) == (exit_code == 4)


async def test_request_that_nobody_takes_is_said_to_lie_there(directory: Path, database: Database) -> None:
    clock = FakeClock()
    async with opened(directory, database, clock=clock) as room:
        operation = await room.service.run(ANNA, ALL)
        await room.until_said(operation.id, "requested")
        clock.advance(UNHEARD_S + 1)
        await room.until_said(operation.id, "no runner has picked this up for 2 minutes")
        assert "homeport backup requests --unit run" in (await room.lines(operation.id))[-1]
        with unit(directory, obliging):
            assert (await room.runner.wait(operation.id)).state is State.DONE


async def test_request_that_vanishes_is_lost(directory: Path, database: Database) -> None:
    clock = FakeClock()
    async with opened(directory, database, clock=clock) as room:
        operation = await room.service.run(ANNA, ALL)
        await room.until_said(operation.id, "requested")
        for path in (directory / "requests").glob("*.json"):
            path.unlink()
        await asyncio.sleep(0.2)
        clock.advance(LOST_S + 1)
        ended = await asyncio.wait_for(room.runner.wait(operation.id), 20)
    assert ended.error["type"] == "/problems/backup-request-lost"


async def test_cancelled_between_taking_and_its_record_the_operation_goes_on(room: Room, tmp_path: Path) -> None:
    """The portal does not see into requests/taken/ of another user: what is gone from requests/ was taken."""
    operation = await room.service.run(ANNA, ALL)
    await room.until_said(operation.id, "requested")
    (path,) = (room.directory / "requests").glob("*.json")
    path.rename(tmp_path / path.name)
    await room.runner.cancel(ANNA, operation.id)
    await room.until_said(operation.id, "cannot be cancelled here")
    run = Run(room.directory, path.stem)
    with run.held():
        run.started("run")
        run.ended()
    ended = await asyncio.wait_for(room.runner.wait(operation.id), 20)
    assert ended.state is State.DONE


@pytest.mark.parametrize("how", ["killed", "killed and found"])
async def test_run_whose_unit_was_killed_is_interrupted(directory: Path, database: Database, how: str) -> None:
    clock = FakeClock()
    dies = threading.Event()

    def die(request: Json, run: Run) -> None:
        run.say("step", name="stage", detail={})
        dies.wait(20)

    async with opened(directory, database, clock=clock) as room:
        with unit(directory, die):
            operation = await room.service.run(ANNA, ALL)
            await room.until_said(operation.id, "stage")
            for _ in range(3):
                clock.advance(SILENT_S + 1)
                await asyncio.sleep(0.5)  # longer than it pauses by now: it has looked
            assert (await room.runner.get(operation.id)).state is State.RUNNING, "it is only quiet"
            dies.set()
        if how == "killed and found":  # the next unit writes the last line
            Run(directory, operation.detail["run"]).say(
                "ended", exit_code=143, meaning="interrupted", error="its process was killed, or the power failed"
            )
        async with asyncio.timeout(20):
            while (await room.runner.get(operation.id)).state is State.RUNNING:
                clock.advance(SILENT_S / 2)
                await asyncio.sleep(0.3)
        ended = await room.runner.get(operation.id)
    assert ended.error["type"] == "/problems/backup-interrupted"
    assert "killed, or the power failed" in ended.error["detail"]


async def test_drill_from_the_vault_is_asked_of_the_unit_that_has_its_keys(room: Room) -> None:
    with unit(room.directory, obliging) as taken:
        for origin in ("local", "vault"):
            operation = await room.done(room.service.drill(ANNA, RunDrill(origin=origin)))
            assert (operation.state, operation.act) == (State.DONE, "backups:drill")
    members = [{name: each[name] for name in ("act", "asset", "origin") if name in each} for each in taken]
    assert members == [{"act": "drill", "asset": None, "origin": "local"}, {"act": "vaultdrill", "asset": None}]


async def test_request_that_cannot_be_written_fails_and_asks_for_nothing(room: Room) -> None:
    (room.directory / "requests" / "taken").rmdir()
    (room.directory / "requests").rmdir()
    ended = await room.done(room.service.run(ANNA, ALL))
    assert ended.error["type"] == "/problems/backup-request-not-written"


# -- what may be asked for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "problem"),
    [
        (lambda room, point: room.run(ANNA, RunBackup(scope="mailbox:nobody@home.test")), NoSuchAsset),
        (lambda room, point: room.run(ANNA, RunBackup(scope="../../etc/passwd")), NoSuchAsset),
        (lambda room, point: room.run(ANNA, RunBackup(scope="secret:portal.key")), NoSuchAsset),
        (lambda room, point: room.drill(ANNA, RunDrill(asset=AssetRef(kind="site", name="gone"))), NoSuchAsset),
        (lambda room, point: room.verify(ANNA, VerifyPoint(point="daily/2001-01-01")), NoSuchPoint),
        (lambda room, point: room.verify(ANNA, VerifyPoint(point="daily/2026-10-28")), PointNotThere),
        (lambda room, point: room.preview(ANNA, _wanted("daily/2026-10-28")), PointNotThere),
        (lambda room, point: room.preview(ANNA, _wanted("daily/2001-01-01")), NoSuchPoint),
        (lambda room, point: room.preview(ANNA, _wanted(point, kind="site", name="gone")), NoSuchAsset),
        (lambda room, point: room.preview(ANNA, _wanted(point, kind="everything", name="x")), NoSuchAsset),
        (lambda room, point: room.restore(ANNA, _restore("20261122T020000Z-preview-00000000"), _no), NoSuchRun),
    ],
)
async def test_what_the_catalog_does_not_name_is_refused(
    room: Room, ask: Callable[[Backups, str], Awaitable[Operation]], problem: type[Problem]
) -> None:
    write_catalog(room.directory, example("full"))  # whose dates are known
    with pytest.raises(problem):
        await ask(room.service, "daily/2026-11-22")
    assert room.requests == []


async def test_asset_that_is_gone_today_is_restored_from_the_point_that_holds_it(room: Room) -> None:
    catalog = example("full")
    catalog["points"][0]["assets"] = ["mailbox:former@home.test"]
    write_catalog(room.directory, catalog)
    with unit(room.directory, obliging) as taken:
        wanted = _wanted("daily/2026-11-22", name="former@home.test")
        assert (await room.done(room.service.preview(ANNA, wanted))).state is State.DONE
    assert taken[0]["asset"] == {"kind": "mailbox", "name": "former@home.test"}


async def test_first_run_needs_no_catalog(room: Room) -> None:
    (room.directory / "catalog.json").unlink()
    with unit(room.directory, obliging):
        assert (await room.done(room.service.run(ANNA, ALL))).state is State.DONE
    with pytest.raises(Problem, match="catalog"):
        await room.service.run(ANNA, RunBackup(scope="site:blog"))


async def test_portal_without_a_directory_is_not_connected(database: Database) -> None:
    async with opened(None, database) as room:
        overview = await room.service.overview()
        assert (overview.state, overview.points, overview.pending) == ("not_connected", [], [])
        with pytest.raises(BackupsNotConnected):
            await room.service.run(ANNA, ALL)
        with pytest.raises(BackupsNotConnected):
            await room.service.run_log("20261122T020000Z-run-0000000a", after=None)


# -- restores ---------------------------------------------------------------------------------------------------------


def _wanted(point: str, *, kind: Any = "mailbox", name: str = "anna@home.test", **more: Any) -> PreviewRestore:
    return PreviewRestore(point=point, asset=RestoreAsset(kind=kind, name=name), **more)


def _restore(preview: str) -> RestorePreviewed:
    return RestorePreviewed(preview=preview)


def _no(point: str) -> None:
    raise AssertionError(f"nobody has to confirm a restore of {point} beside")


async def _previewed(room: Room, **more: Any) -> str:
    """The run of a preview that has ended well."""
    ended = await room.done(room.service.preview(ANNA, _wanted(await room.newest_point(), **more)))
    assert ended.state is State.DONE, ended.error
    return str(ended.result["run"])


async def test_restore_asks_for_exactly_what_was_previewed(room: Room) -> None:
    with unit(room.directory, obliging) as taken:
        run = await _previewed(room, folder=".Sent", origin="vault")
        operation = await room.done(room.service.restore(ANNA, _restore(run), _no))
    assert operation.state is State.DONE
    preview, restore = taken
    members = ("point", "asset", "folder", "origin", "where")
    assert {name: restore[name] for name in members} == {name: preview[name] for name in members}
    assert (restore["plan"], restore["confirm"]) == ("5f" * 32, None)
    assert operation.detail == {
        "point": preview["point"],
        "asset": "mailbox:anna@home.test",
        "origin": "vault",
        "where": "beside",
        "folder": ".Sent",
        "preview": run,
        "run": restore["id"],
    }


async def test_long_preview_is_cut_in_the_operation_and_whole_in_the_record(room: Room) -> None:
    def long(request: Json, run: Run) -> None:
        run.result(**preview_of(request, changes=[{"path": "d" * 4000, "what": "add"} for _ in range(200)]))
        run.ended()

    with unit(room.directory, long):
        operation = await room.done(room.service.preview(ANNA, _wanted(await room.newest_point())))
    assert operation.result["plan"] == "5f" * 32
    assert 0 < len(operation.result["changes"]) < 200
    log = await room.service.run_log(operation.result["run"], after=None)
    (result,) = (line.result for line in log.lines if line.type == "result")
    assert result is not None
    assert len(json.loads(json.dumps(result["changes"]))) == 200


@pytest.mark.parametrize("how", ["running", "failed", "without a plan"])
async def test_preview_that_did_not_end_well_cannot_be_restored_from(room: Room, how: str) -> None:
    run = Run(room.directory, "20261122T020000Z-preview-00000000")
    run.started("preview")
    if how == "failed":
        run.ended(9, "unverified")
    elif how == "without a plan":
        run.result(point="daily/2026-11-22", plan="../..")
        run.ended()
    with pytest.raises(PreviewUnusable):
        await room.service.restore(ANNA, _restore(run.id), _no)


def _in_place(request: Json, run: Run) -> None:
    if request["act"] == "preview":
        run.result(**preview_of(request, services=["mail-dovecot"]))
        run.ended()
    else:
        obliging(request, run)


async def test_restore_in_place_is_confirmed_and_stops_what_must_not_run(
    directory: Path, database: Database, broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    container = docker_engine.run(UNTIL_TOLD, name=DOVECOT, service="mail-dovecot")  # which is protected
    confirmed: list[str] = []
    seen: list[bool] = []

    def look(request: Json, run: Run) -> None:
        seen.append(container.state()["Running"])
        _in_place(request, run)

    async with opened(directory, database, broker=broker.client) as room:
        with unit(directory, look) as taken:
            run = await _previewed(room, where="in-place")
            operation = await room.done(room.service.restore(ANNA, _restore(run), confirmed.append))
    assert operation.state is State.DONE, operation.error
    assert confirmed == [taken[0]["point"]] == [taken[1]["confirm"]]
    assert operation.detail["services"] == [DOVECOT]
    assert seen == [True, False]
    assert container.state()["Running"]
    lines = [line.text for line in operation.report.lines]
    assert (lines[0], lines[-1]) == (f"stopping {DOVECOT}", f"starting {DOVECOT}")


async def _refused(room: Room, run: str, **more: Any) -> Problem:
    """The problem of a restore in place for which nothing was stopped and nothing asked."""
    with pytest.raises(Problem) as raised:
        await room.service.restore(ANNA, RestorePreviewed(preview=run, **more), lambda point: None)
    assert room.requests == []
    return raised.value


@pytest.mark.parametrize("how", ["there is none", "two projects have it"])
async def test_service_that_is_not_known_refuses_the_restore(
    directory: Path, database: Database, broker: RunningBroker, docker_engine: DockerEngine, how: str
) -> None:
    there = {"there is none": [], "two projects have it": ["home", "other"]}[how]
    containers = [docker_engine.run(UNTIL_TOLD, service="mail-dovecot", project=each) for each in there]
    async with opened(directory, database, broker=broker.client) as room:
        with unit(directory, _in_place):
            run = await _previewed(room, where="in-place")
        problem = await _refused(room, run)
        assert (problem.type, problem.extensions["services"]) == ("service-unknown", ["mail-dovecot"])
        assert all(container.state()["Running"] for container in containers)
        with unit(directory, _in_place):
            said = RestorePreviewed(preview=run, services_stopped=True)
            operation = await room.done(room.service.restore(ANNA, said, lambda point: None))
    assert (operation.state, operation.detail["services"]) == (State.DONE, [])


async def test_containers_own_name_comes_before_a_service_of_that_name(
    directory: Path, database: Database, broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    docker_engine.run(UNTIL_TOLD, name="mail-dovecot", service="imap", project="home")
    docker_engine.run(UNTIL_TOLD, service="mail-dovecot", project="other")
    async with opened(directory, database, broker=broker.client) as room:
        assert await room.service.services.running(["mail-dovecot"]) == ["mail-dovecot"]


async def test_restore_that_was_cancelled_too_late_keeps_its_services_stopped_to_its_end(
    directory: Path, database: Database, broker: RunningBroker, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    """Also when the portal ends meanwhile: the next one starts them, when the run has ended."""
    container = docker_engine.run(UNTIL_TOLD, name=DOVECOT, service="mail-dovecot")
    may_end = threading.Event()

    def slow(request: Json, run: Run) -> None:
        may_end.wait(30)
        obliging(request, run)

    async with opened(directory, database, broker=broker.client) as room:
        with unit(directory, _in_place):
            run = await _previewed(room, where="in-place")
    with unit(directory, slow, hidden=tmp_path):
        try:
            first = await _portal_that_ends_after_a_cancel(directory, database, broker, run)
            assert not container.state()["Running"]
        finally:
            may_end.set()
        async with opened(directory, database, broker=broker.client) as room:
            await asyncio.wait_for(room.runner.recovered(), 20)
            assert (await room.runner.get(first)).outcome is Outcome.DONE
    assert container.state()["Running"]


async def _portal_that_ends_after_a_cancel(
    directory: Path, database: Database, broker: RunningBroker, preview: str
) -> str:
    """Begin a restore, cancel it when a unit has it, end the portal and, as its process ends, all of its tasks."""
    before = asyncio.all_tasks()
    async with opened(directory, database, broker=broker.client) as room:
        operation = await room.service.restore(ANNA, _restore(preview), lambda point: None)
        await room.until_said(operation.id, "running")
        await room.runner.cancel(ANNA, operation.id)
        await room.until_said(operation.id, "cannot be cancelled here")
        await room.service.close()
        await room.runner.close(within_s=0.1)
        left = asyncio.all_tasks() - before
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
    return operation.id


@pytest.mark.parametrize("how", ["it fails", "nobody takes it", "it is cancelled", "the portal stops"])
async def test_what_was_stopped_is_started_again_whatever_happens(
    directory: Path, database: Database, broker: RunningBroker, docker_engine: DockerEngine, how: str
) -> None:
    container = docker_engine.run(UNTIL_TOLD, name=DOVECOT, service="mail-dovecot")
    clock = FakeClock()
    async with opened(directory, database, clock=clock, broker=broker.client) as room:
        with unit(directory, _in_place):
            run = await _previewed(room, where="in-place")
        operation = await room.service.restore(ANNA, _restore(run), lambda point: None)
        await room.until_said(operation.id, "requested")
        assert not container.state()["Running"]
        if how == "it fails":
            with unit(directory, lambda request, run: run.ended(4, "no")):
                await room.runner.wait(operation.id)
        elif how == "nobody takes it":
            clock.advance(TAKE_S + 1)
        elif how == "it is cancelled":
            await room.runner.cancel(ANNA, operation.id)
        if how != "the portal stops":
            ended = await asyncio.wait_for(room.runner.wait(operation.id), 20)
            assert container.state()["Running"]
            assert room.requests == []
            problem = {"it fails": "/problems/backup-failed", "nobody takes it": "/problems/no-backup-runner"}
            assert (ended.error or {}).get("type") == problem.get(how)
            return
    assert not container.state()["Running"], "the restore is still to come"
    assert len(room.requests) == 1
    async with opened(directory, database, clock=clock, broker=broker.client) as room:
        with unit(directory, _in_place):
            await asyncio.wait_for(room.runner.recovered(), 20)
        assert (await room.runner.get(operation.id)).outcome is Outcome.DONE
    assert container.state()["Running"]


async def test_portal_cut_off_between_stopping_and_asking_starts_again_what_it_stopped(
    directory: Path, database: Database, broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    container = docker_engine.run(UNTIL_TOLD, name=DOVECOT, service="mail-dovecot", start=False)
    clock = FakeClock()
    detail = {"run": "20261122T020000Z-restore-0000000a", "services": [DOVECOT]}
    async with opened(directory, database, clock=clock, broker=broker.client) as room:
        operation = await room.runner.start(ANNA, "backups:restore", "x", _for_ever, timeout_s=60, detail=detail)
    async with opened(directory, database, clock=clock, broker=broker.client) as room:
        await asyncio.sleep(0.2)  # it has looked once
        clock.advance(LOST_S + 1)
        await asyncio.wait_for(room.runner.recovered(), 20)
        assert (await room.runner.get(operation.id)).outcome is Outcome.NOT_DONE
    assert container.state()["Running"]


async def test_runs_that_go_on_keep_no_other_act_from_its_re_check(directory: Path, database: Database) -> None:
    async with opened(directory, database) as room:
        for name in ("all", "site:blog", "mailbox:anna@home.test", "mailbox:bo@home.test", "database:mail/mailserver"):
            await room.service.run(ANNA, RunBackup(scope=name))
        other = await room.runner.start(ANNA, "containers:restart", "x", _for_ever, timeout_s=60)
    async with opened(directory, database) as room, asyncio.timeout(20):
        while (await room.runner.get(other.id)).outcome is not Outcome.UNKNOWN:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert len(await room.service.pending()) == 5


async def _for_ever(progress: object) -> None:
    await asyncio.Event().wait()


async def test_restore_in_place_without_a_broker_wants_to_be_told_that_its_services_are_stopped(room: Room) -> None:
    with unit(room.directory, _in_place):
        run = await _previewed(room, where="in-place")
        problem = await _refused(room, run)
        assert (problem.type, problem.extensions["services"]) == ("services-not-stopped", ["mail-dovecot"])
        assert "mail-dovecot" in problem.detail
        said = RestorePreviewed(preview=run, services_stopped=True)
        operation = await room.done(room.service.restore(ANNA, said, lambda point: None))
    assert (operation.state, operation.detail["services"]) == (State.DONE, [])


# -- what is shown ----------------------------------------------------------------------------------------------------


async def test_pending_shows_what_is_asked_for_and_what_runs(room: Room) -> None:
    night, cut = (
        Run(room.directory, "20261122T020000Z-run-0000000a"),
        Run(room.directory, "20261121T020000Z-run-0000000b"),
    )
    night.started("run", by="timer")
    night.say("step", name="upload", detail={})
    night.say("progress", done=5, total=10, unit="files", rate=1.0, eta_s=5.0)
    cut.path.write_text('{"at":"2001-01-01T00:00:00Z","type":"started","verb":"run","by":"timer"}\n')
    ended = Run(room.directory, "20261120T020000Z-run-0000000c")
    ended.started("run")
    ended.ended()
    (room.directory / "runs" / "notes.txt").write_text("x")
    operation = await room.service.run(ANNA, ALL)
    await room.until_said(operation.id, "requested")
    jobs = {job.id: job for job in await room.service.pending()}
    assert cut.id not in jobs, "what has said nothing for a day was cut off"
    assert ended.id not in jobs
    found = jobs.pop(night.id)
    assert (found.verb, found.by, found.state, found.step) == ("run", "timer", "running", "upload")
    assert (found.done, found.total, found.unit, found.eta_s, found.operation) == (5, 10, "files", 5.0, None)
    (asked,) = jobs.values()
    assert (asked.verb, asked.by, asked.state, asked.operation) == ("run", "anna", "requested", operation.id)
    night.ended()
    assert night.id not in {job.id for job in await room.service.pending()}


async def test_run_log_goes_on_where_it_was_left(room: Room) -> None:
    run = Run(room.directory, "20261122T020000Z-vault-0000000a")
    with pytest.raises(NoSuchRun):
        await room.service.run_log(run.id, after=None)
    run.started("vault", by="timer")
    first = await room.service.run_log(run.id, after=None)
    assert (first.state, [line.type for line in first.lines]) == ("running", ["started"])
    run.say("note", text="uploaded 3 files")
    run.ended()
    second = await room.service.run_log(run.id, after=first.after)
    assert (second.state, [line.type for line in second.lines]) == ("ended", ["note", "ended"])


async def test_run_that_was_ended_is_so_when_nothing_new_is_there(room: Room) -> None:
    run = Run(room.directory, "20261122T020000Z-vault-0000000a")
    run.started("vault")
    run.ended()
    whole = await room.service.run_log(run.id, after=None)
    again = await room.service.run_log(run.id, after=whole.after)
    assert (again.state, again.lines) == ("ended", [])


@pytest.mark.slow
async def test_whoever_watches_hears_of_a_new_catalog_and_of_requests(room: Room) -> None:
    subscription = room.hub.subscribe(last_event_id=None, role=Role.VIEWER)

    async def news() -> Json:
        async with asyncio.timeout(20):
            while True:
                event = await subscription.next(timeout_s=20)
                assert event is not None
                if event.topic == "backups":
                    document: Json = json.loads(event.data)
                    return document

    await asyncio.sleep(0.2)  # it has looked once
    write_catalog(room.directory, fresh(example("empty")))
    assert await news() == {"catalog": True, "jobs": False}
    Run(room.directory, "20261122T020000Z-run-0000000a").started("run")
    assert await news() == {"catalog": False, "jobs": True}
    subscription.close()
