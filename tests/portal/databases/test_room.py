"""The room's rules and its works, on a real server: what is remembered, who needs what, what a run may take back."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.clock import SystemClock
from kit.problem import Problem
from portal.actor import Actor, Role
from portal.databases import accounts, structure
from portal.databases.downloads import _streamed
from portal.databases.dump_store import DumpStore
from portal.databases.failures import (
    AccountExists,
    DatabaseExists,
    DatabaseInUse,
    DatabasesNotConnected,
    DumpFailed,
    NoSuchDump,
    NotEnoughRoom,
    NotOurs,
    ServerUnavailable,
)
from portal.databases.owners import SiteDatabase
from portal.databases.pools import THREADS
from portal.databases.schemas import ChangeGrants, CreateDatabase
from portal.databases.servers import Server, Servers
from portal.databases.service import DatabasesRoom
from portal.databases.sql import Connection, execute, fetch
from portal.db import Database
from portal.operations.hub import Hub
from portal.operations.progress import Progress
from portal.operations.runner import Operation, Outcome, Runner, State
from portal.probes import Status
from tests.clock import FakeClock
from tests.portal.databases.conftest import logs_in_as_a_site
from tests.services.mariadb import MariaDB

ANNA = Actor("user", "u1", "anna", Role.ADMIN, "test", "r1")


@pytest.fixture
async def runner(database: Database) -> AsyncIterator[Runner]:
    made = Runner(database, Hub(), SystemClock())
    yield made
    await made.close()


async def _room(servers: Servers, database: Database, runner: Runner, state_dir: Path) -> DatabasesRoom:
    clock = SystemClock()
    made = DatabasesRoom(servers, DumpStore(state_dir, database, clock), database, Hub(), runner, clock)
    made.begin()
    return made


@pytest.fixture
async def room(servers: Servers, database: Database, runner: Runner, tmp_path: Path) -> AsyncIterator[DatabasesRoom]:
    made = await _room(servers, database, runner, tmp_path / "state")
    yield made
    await made.close()


@pytest.fixture
def inside(runner: Runner) -> Callable[..., Awaitable[Any]]:
    """Do something inside an operation; return what it gave, or raise what it raised."""

    async def run(work: Callable[[Progress], Awaitable[Any]]) -> Any:
        found: list[Any] = []

        async def kept(progress: Progress) -> None:
            try:
                found.append(await work(progress))
            except Exception as error:
                found.append(error)

        operation = await runner.start(ANNA, "databases:create", "test", kept, timeout_s=120)
        await runner.wait(operation.id)
        if isinstance(found[0], Exception):
            raise found[0]
        return found[0]

    return run


async def _ended(runner: Runner, operation: Operation) -> Operation:
    return await runner.wait(operation.id)


def _no_confirmation(_: str) -> None:
    return None


# -- what is remembered -----------------------------------------------------------------------------------------------


async def test_a_silent_server_keeps_what_was_seen_also_for_the_next_portal(
    database: Database, runner: Runner, tmp_path: Path
) -> None:
    with MariaDB() as own:
        own.execute("CREATE DATABASE wp_kept")
        servers = Servers.load(own.servers_file(tmp_path))
        room = await _room(servers, database, runner, tmp_path / "state")
        view = await room.server("blog")
        assert view.seen is not None
        assert (view.state, [each.name for each in view.seen.databases]) == ("connected", ["wp_kept"])
        own.daemon.stop()
        room.looks.age("blog")
        silent = await room.server("blog")
        await room.close()
        assert (silent.state, silent.layer, silent.seen_at) == ("silent", "tcp", view.seen_at)
        other = Runner(database, Hub(), SystemClock())
        again = await _room(servers, database, other, tmp_path / "state")
        remembered = await again.server("blog")
        assert (remembered.state, remembered.seen) == ("silent", silent.seen)
        readings = {}
        for probe in again.probes:
            try:
                readings[probe.name] = (await probe.measure()).status
            except ServerUnavailable:
                readings[probe.name] = Status.UNKNOWN
        assert readings == {
            "databases:servers": Status.CRITICAL,
            "databases:blog-connections": Status.UNKNOWN,
            "databases:blog-size": Status.UNKNOWN,
        }
        with pytest.raises(ServerUnavailable):
            await again.database("blog", "wp_kept")
        await again.close()
        await other.close()


async def test_a_wrong_file_is_told_and_keeps_nothing_else_from_starting(
    database: Database, runner: Runner, tmp_path: Path
) -> None:
    path = tmp_path / "databases.toml"
    path.write_text('[[server]]\nname = "blog"\n')
    room = await _room(Servers.of(path), database, runner, tmp_path / "state")
    found = await room.overview()
    assert (found.is_configured, found.servers) == (True, [])
    assert f"{path}: server blog: host: Field required" in found.mistakes
    with pytest.raises(DatabasesNotConnected) as raised:
        await room.server("blog")
    assert raised.value.extensions["mistakes"] == found.mistakes
    (probe,) = room.probes
    assert (await probe.measure()).status is Status.CRITICAL
    await room.close()
    store = DumpStore(tmp_path, database, SystemClock())
    nothing = DatabasesRoom(Servers.of(None), store, database, Hub(), runner, SystemClock())
    assert not (await nothing.overview()).is_configured
    (probe,) = nothing.probes
    assert (await probe.measure()).status is Status.NOT_CONNECTED
    await nothing.close()


async def test_probes_say_what_was_measured(room: DatabasesRoom, new_database: Callable[..., str]) -> None:
    name = new_database("CREATE TABLE t (a INT) ENGINE=MyISAM")
    readings = {probe.name: await probe.measure() for probe in room.probes}
    assert (readings["databases:servers"].status, readings["databases:servers"].value) == (Status.OK, 1)
    assert readings["databases:blog-connections"].status is Status.OK
    assert readings["databases:blog-size"].status is Status.WARNING
    assert name in readings["databases:blog-size"].detail


async def test_a_server_that_hangs_keeps_no_page_waiting(
    database: Database, runner: Runner, server: Server, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections and never says a word
        changed = server.model_copy(update={"port": listener.getsockname()[1]})
        room = await _room(Servers({"blog": changed}, is_configured=True), database, runner, tmp_path / "state")
        view = await room.server("blog")
        assert (view.state, view.seen) == ("unseen", None)
        await room.close()


# -- who needs what ---------------------------------------------------------------------------------------------------


async def test_slow_readers_of_downloads_keep_nobody_from_the_rest(
    room: DatabasesRoom, new_database: Callable[..., str]
) -> None:
    name = new_database("CREATE TABLE t (a TEXT)", "INSERT INTO t SELECT REPEAT('x', 500) FROM seq_1_to_50000")
    flows = [_streamed(room, "blog", name, "none") for _ in range(THREADS + 1)]
    begun = [asyncio.ensure_future(anext(flow)) for flow in flows]  # and no more is read
    await asyncio.wait(begun[:1])
    async with asyncio.timeout(30):
        assert (await room.database("blog", name)).database.name == name
        assert (await room.check("blog")).checks
    for each in begun:
        each.cancel()
    await asyncio.gather(*begun, return_exceptions=True)
    for flow in flows:
        await flow.aclose()


async def test_a_database_of_a_site_is_not_dropped(
    room: DatabasesRoom, runner: Runner, new_database: Callable[..., str]
) -> None:
    name, other = new_database("CREATE TABLE t (a INT)"), new_database()

    async def owners() -> Sequence[SiteDatabase]:
        return [SiteDatabase("main", "blog", name, name)]

    room.owners = owners
    with pytest.raises(DatabaseInUse) as raised:
        await room.acts.drop(ANNA, "blog", name, [], _no_confirmation)
    assert raised.value.extensions["used_by"] == [
        {"room": "wordpress", "kind": "site", "name": "main", "why": "stores-in"}
    ]
    assert [use.name for use in await room.used_by("database", f"blog/{name}")] == ["main"]
    assert [use.name for use in await room.used_by("database-server", "blog")] == ["main"]
    assert [use.name for use in await room.used_by("container", "127.0.0.1")] == ["main"]
    assert not await room.used_by("database", f"blog/{other}")
    view = await room.database("blog", name)
    assert view.database.owner == "main"

    async def nobody_knows() -> Sequence[SiteDatabase]:
        raise ServerUnavailable("away")

    room.owners = nobody_knows
    with pytest.raises(DatabaseInUse, match="nobody can say"):
        await room.acts.drop(ANNA, "blog", other, [], _no_confirmation)
    assert (await room.database("blog", other)).database.owner is None


async def test_a_password_is_handed_to_the_site_that_works_with_it(
    room: DatabasesRoom, runner: Runner, server: Server, new_name: Callable[[], str], admin: Connection
) -> None:
    name, first = new_name(), accounts.new_password()
    accounts.create_account(admin, accounts.Account(name, "%"), first)
    taken: list[str] = []
    cut_off: list[str] = []
    is_whole = True

    async def owners() -> Sequence[SiteDatabase]:
        return [SiteDatabase("main", "blog", name, name)]

    async def hand_over(site: SiteDatabase, password: str) -> None:
        assert logs_in_as_a_site(server, name, (taken or [first])[-1])  # it is never without one that holds
        taken.append(password)
        if not is_whole:
            cut_off.append(password)
            raise ServerUnavailable("whoever writes into its tree has hung up")

    room.owners = owners
    with pytest.raises(DatabaseInUse):
        await room.acts.rotate(ANNA, "blog", f"{name}@%")
    room.hand_over = hand_over
    operation, _, shown = await room.acts.rotate(ANNA, "blog", f"{name}@%")
    ended = await _ended(runner, operation)
    assert (ended.state, shown) == (State.DONE, None)
    server.connect_as(name, taken[0]).close()
    with pytest.raises(ServerUnavailable):
        server.connect_as(name, first)
    is_whole = False  # written, and the answer lost: twice, then all is well
    for _ in range(2):
        operation, _, _ = await room.acts.rotate(ANNA, "blog", f"{name}@%")
        assert (await _ended(runner, operation)).state is State.FAILED
    assert all(logs_in_as_a_site(server, name, password) for password in taken)
    is_whole = True
    operation, _, _ = await room.acts.rotate(ANNA, "blog", f"{name}@%")
    ended = await _ended(runner, operation)
    assert ended.state is State.DONE
    assert logs_in_as_a_site(server, name, taken[-1])
    assert not any(logs_in_as_a_site(server, name, password) for password in cut_off)
    assert not any(password in json.dumps([ended.result, ended.detail]) for password in taken)


# -- works ------------------------------------------------------------------------------------------------------------


async def test_a_run_takes_back_only_what_it_made(
    room: DatabasesRoom,
    inside: Callable[..., Awaitable[Any]],
    new_name: Callable[[], str],
    new_database: Callable[..., str],
    admin: Connection,
) -> None:
    name, there = new_name(), new_database("CREATE TABLE t (a INT)")
    made: dict[str, str] = {}

    async def create(progress: Progress) -> Any:
        made["by"] = progress.operation_id
        return await room.works.create(
            "blog", name, name, accounts.new_password(), made_by=progress.operation_id, progress=progress
        )

    found = await inside(create)
    assert (found.database, found.account, found.made_by) == (name, f"{name}@%", made["by"])

    def drop(database: str, account: str | None, made_by: str) -> Callable[[Progress], Awaitable[Any]]:
        return lambda progress: room.works.drop(
            "blog", database, account, only_if_made_by=made_by, dump=False, progress=progress
        )

    for database, account, by in (
        (there, None, made["by"]),
        (name, name, "01OTHER"),
        (name, "homeport_write", made["by"]),
    ):
        with pytest.raises(NotOurs):
            await inside(drop(database, account, by))
        assert structure.database_of(admin, database) == database
    dropped = await inside(drop(name, name, made["by"]))
    assert (dropped.database_was_there, dropped.dump, dropped.accounts) == (True, None, (f"{name}@%",))
    assert not fetch(admin, "SELECT 1 FROM mysql.global_priv WHERE user = %s", [name])
    with pytest.raises(NotOurs):  # it has been taken back: what is called so now is somebody else's
        await inside(drop(name, name, made["by"]))
    again = await inside(drop(name, None, made["by"]))
    assert not again.database_was_there


async def test_what_a_run_makes_again_is_its_own_again(
    room: DatabasesRoom, inside: Callable[..., Awaitable[Any]], new_name: Callable[[], str], admin: Connection
) -> None:
    name, run = new_name(), "01JD0000000000000000000RUN"
    for _ in range(3):  # begun, taken back, gone on with
        await inside(lambda progress: room.works.create("blog", name, name, "p" * 20, made_by=run, progress=progress))
        await inside(
            lambda progress: room.works.drop("blog", name, name, only_if_made_by=run, dump=False, progress=progress)
        )
        assert not fetch(admin, "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", [name])
        assert not fetch(admin, "SELECT 1 FROM mysql.global_priv WHERE user = %s", [name])


@pytest.mark.parametrize("what", ["database", "account"])
async def test_what_existed_before_is_neither_made_nor_taken_back(
    room: DatabasesRoom,
    inside: Callable[..., Awaitable[Any]],
    mariadb: MariaDB,
    admin: Connection,
    new_name: Callable[[], str],
    what: str,
) -> None:
    name = new_name()
    mariadb.execute(f"CREATE DATABASE `{name}`" if what == "database" else f"CREATE USER '{name}'@'%'")
    by: list[str] = []

    async def create(progress: Progress) -> Any:
        by.append(progress.operation_id)
        return await room.works.create("blog", name, name, "p" * 20, made_by=progress.operation_id, progress=progress)

    with pytest.raises(DatabaseExists if what == "database" else AccountExists):
        await inside(create)
    with pytest.raises(NotOurs):
        await inside(
            lambda progress: room.works.drop("blog", name, name, only_if_made_by=by[0], dump=False, progress=progress)
        )
    there = fetch(admin, "SELECT schema_name FROM information_schema.schemata WHERE schema_name = %s", [name])
    users = fetch(admin, "SELECT user FROM mysql.global_priv WHERE user = %s", [name])
    assert (bool(there), bool(users)) == (what == "database", what == "account")


async def test_one_made_by_somebody_else_meanwhile_stays_theirs(
    room: DatabasesRoom,
    inside: Callable[..., Awaitable[Any]],
    mariadb: MariaDB,
    admin: Connection,
    new_name: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the look and the act: the server decides, and the run's own rows are taken back."""
    name, by = new_name(), []
    monkeypatch.setattr(accounts, "require_free", lambda *_: mariadb.execute(f"CREATE USER '{name}'@'%'"))

    async def create(progress: Progress) -> Any:
        by.append(progress.operation_id)
        return await room.works.create("blog", name, name, "p" * 20, made_by=progress.operation_id, progress=progress)

    with pytest.raises(AccountExists):
        await inside(create)
    assert not fetch(admin, "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", [name])
    with pytest.raises(NotOurs):
        await inside(
            lambda progress: room.works.drop("blog", name, name, only_if_made_by=by[0], dump=False, progress=progress)
        )
    assert fetch(admin, "SELECT 1 FROM mysql.global_priv WHERE user = %s", [name])


async def test_what_cannot_be_dumped_is_not_dropped(
    room: DatabasesRoom, runner: Runner, new_database: Callable[..., str], admin: Connection, tmp_path: Path
) -> None:
    name = new_database("CREATE TABLE t (a INT)", "CREATE VIEW v AS SELECT a FROM t", "DROP TABLE t")
    operation = await room.acts.drop(ANNA, "blog", name, [], _no_confirmation)
    ended = await _ended(runner, operation)
    assert (ended.state, ended.error["type"]) == (State.FAILED, f"/problems/{DumpFailed.type}")
    assert structure.database_of(admin, name) == name
    assert list((tmp_path / "state" / "dumps").iterdir()) == []


async def test_a_full_disk_drops_nothing_and_leaves_nothing(
    room: DatabasesRoom,
    runner: Runner,
    new_database: Callable[..., str],
    admin: Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = new_database("CREATE TABLE t (a INT)")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    operation = await room.acts.drop(ANNA, "blog", name, [], _no_confirmation)
    ended = await _ended(runner, operation)
    monkeypatch.undo()
    assert (ended.state, ended.error["type"]) == (State.FAILED, f"/problems/{NotEnoughRoom.type}")
    assert structure.database_of(admin, name) == name
    assert list((tmp_path / "state" / "dumps").iterdir()) == []


async def test_a_drop_that_is_cancelled_during_its_dump_drops_nothing(
    room: DatabasesRoom, runner: Runner, new_database: Callable[..., str], admin: Connection, server: Server
) -> None:
    name = new_database("CREATE TABLE t (a INT PRIMARY KEY)", "CREATE TABLE u (a TEXT)")
    with server.connect("admin") as holder:  # the dump waits for the definition of a table that is being changed
        execute(holder, f"LOCK TABLES `{name}`.t WRITE")
        operation = await room.acts.drop(ANNA, "blog", name, [], _no_confirmation)
        await asyncio.sleep(0.3)
        await runner.cancel(ANNA, operation.id)
        execute(holder, "UNLOCK TABLES")
    ended = await _ended(runner, operation)
    assert ended.state is State.CANCELLED
    assert structure.database_of(admin, name) == name


async def test_old_dumps_and_what_a_killed_portal_left_are_removed(
    database: Database, runner: Runner, servers: Servers, new_database: Callable[..., str], tmp_path: Path
) -> None:
    clock = FakeClock(SystemClock().now())  # files have the system's times
    store = DumpStore(tmp_path, database, clock)
    room = DatabasesRoom(servers, store, database, Hub(), runner, clock)
    room.begin()
    name = new_database("CREATE TABLE t (a INT)")
    operation = await room.acts.dump(ANNA, "blog", name)
    ended = await _ended(runner, operation)
    kept = await store.get(ended.result["dump"])
    (tmp_path / "dumps" / "01LEFT.sql.tmp").write_bytes(b"x")
    clock.advance(29 * 86_400)
    await store.sweep()
    assert [path.name for path in (tmp_path / "dumps").iterdir()] == [f"{kept.id}.sql.zst"]
    clock.advance(2 * 86_400)
    await store.sweep()
    assert list((tmp_path / "dumps").iterdir()) == []
    with pytest.raises(NoSuchDump):
        await store.get(kept.id)
    await room.close()


# -- what became of what a crash cut off ------------------------------------------------------------------------------


async def test_an_interrupted_act_is_looked_at(
    room: DatabasesRoom, runner: Runner, new_name: Callable[[], str], new_database: Callable[..., str]
) -> None:
    name = new_name()
    operation, account, _ = await room.acts.create(ANNA, "blog", CreateDatabase(database=name))
    made = await _ended(runner, operation)
    assert (made.state, account) == (State.DONE, f"{name}@%")
    assert (await room.acts._was_created(made)).outcome is Outcome.DONE
    assert (await room.acts._was_dropped(made)).outcome is Outcome.NOT_DONE
    foreign = Operation(**{**_fields(made), "target": f"blog/{new_database()}"})
    assert (await room.acts._was_created(foreign)).outcome is Outcome.NOT_DONE
    gone = Operation(**{**_fields(made), "target": "blog/wp_gone"})
    assert (await room.acts._was_dropped(gone)).outcome is Outcome.DONE
    wanted = ChangeGrants(database=name, privileges=["SELECT"])
    granted = await _ended(runner, await room.acts.grant(ANNA, "blog", f"{name}@%", wanted))
    assert (await room.acts._was_granted(granted)).outcome is Outcome.DONE
    dumped = await _ended(runner, await room.acts.dump(ANNA, "blog", name))
    assert (await room.acts._was_dumped(dumped)).outcome is Outcome.DONE
    assert (await room.acts._was_loaded(dumped)).detail.endswith(dumped.result["dump"])


def _fields(operation: Operation) -> dict[str, Any]:
    return {name: getattr(operation, name) for name in Operation.__dataclass_fields__}


def test_every_problem_says_what_to_do() -> None:
    from portal.databases import failures

    for each in vars(failures).values():
        if isinstance(each, type) and issubclass(each, Problem) and each is not Problem:
            assert (each.__doc__ or "").strip().endswith(".")
