"""The time machine on a real database: sights, points in time, drift, and the ways back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from sqlalchemy import func, select

from kit.clock import now_utc
from portal.actor import Actor
from portal.audit import service as audit
from portal.db import Database
from portal.dns.history.sights import NoSuchDrift
from portal.dns.history.snapshots import values_of
from portal.dns.history.time_machine import NoSuchSnapshot, TimeMachine
from portal.dns.models import DriftRow, SeenZoneRow, SnapshotRow
from portal.dns.schemas import DriftView
from portal.operations.hub import Hub
from portal.operations.progress import Progress
from portal.operations.runner import Runner
from tests.clock import FakeClock

Json = dict[str, Any]
HOME, TWO = "home.example", "two.example"
ANNA = Actor.system("anna")
HOSTILE = '"><script>\x00\u202e\\" ' + "x" * 4096


class Desk:
    """A time machine with its clock, and a zone that is whatever it is told."""

    def __init__(self, database: Database) -> None:
        self.database, self.clock, self.hub = database, FakeClock(), Hub()
        self.marker: str | None = "homeport-edge-4711"
        self.machine = TimeMachine(database, self.hub, self.clock, edge_marker=lambda: self.marker)

    @property
    def now(self) -> datetime:
        return now_utc(self.clock)

    async def see(
        self, *records: Json, ours: str | None = None, zone: str = HOME, keys: set[str] | None = None
    ) -> list[DriftView]:
        """A sight, some minutes after the last one; return what drift is open then."""
        self.clock.advance(300)
        await self.machine.saw(zone, records, at=self.now, ours=ours, keys=keys)
        return (await self.machine.drift(zone, "open")).drift

    async def keep(
        self, *records: Json, reason: Any = "hourly", operation_id: str | None = None, zone: str = HOME
    ) -> str:
        self.clock.advance(300)
        kept = await self.machine.keep(zone, records, reason=reason, operation_id=operation_id, at=self.now)
        return kept.id

    async def operation(self) -> str:
        """The id of an operation that anna began."""

        async def work(_: Progress) -> None:
            return None

        runner = Runner(self.database, self.hub, self.clock)
        operation = await runner.start(ANNA, "dns:apply", HOME, work, timeout_s=5)
        await runner.wait(operation.id)
        await runner.close()
        return operation.id


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.fixture
def any_desk(any_database: Database) -> Desk:
    return Desk(any_database)


def record(name: str = "www", content: str = "192.0.2.1", kind: str = "A", **more: Any) -> Json:
    full = HOME if name == "@" else f"{name}.{HOME}"
    return {"id": f"{hash((name, content)) & 0xFFFF:032x}", "type": kind, "name": full, "content": content, **more}


def ends(drift: DriftView) -> tuple[str | None, str | None]:
    before, after = drift.before, drift.after
    return None if before is None else before.content, None if after is None else after.content


async def count(desk: Desk, table: Any) -> int:
    return await desk.database.read(lambda session: session.scalar(select(func.count()).select_from(table)) or 0)


class TestSights:
    async def test_first_sight_of_a_zone_is_no_drift(self, any_desk: Desk) -> None:
        assert await any_desk.see(record()) == []
        assert await any_desk.machine.open_drift() == {}
        assert await any_desk.machine.zones() == {HOME: any_desk.now}

    async def test_change_from_outside_is_drift_with_record_before_and_after(self, any_desk: Desk) -> None:
        await any_desk.see(record())
        (drift,) = await any_desk.see(record(content="192.0.2.66"))
        assert (drift.name, drift.act, drift.fields) == (f"A www.{HOME}", "change", ["content"])
        assert ends(drift) == ("192.0.2.1", "192.0.2.66")
        assert (drift.seen_at, drift.state) == (any_desk.now, "open")
        assert await any_desk.machine.open_drift() == {HOME: 1}
        assert await any_desk.machine.open_keys(HOME) == set(drift.keys)
        assert [each.id for each in await any_desk.machine.drift_of(HOME, drift.keys[0])] == [drift.id]
        assert await any_desk.machine.drift_of(HOME, "A other 000000000000") == []

    async def test_hostile_text_drifts_and_comes_back_as_it_was(self, any_desk: Desk) -> None:
        await any_desk.see()
        (drift,) = await any_desk.see(record(content=HOSTILE, kind="TXT", comment=HOSTILE, tags=[HOSTILE]))
        assert drift.after is not None
        assert (drift.after.comment, drift.after.tags) == (HOSTILE, [HOSTILE])
        newest = await any_desk.machine.newest(HOME)
        assert newest is not None
        assert newest[1][0]["content"] == HOSTILE

    async def test_what_is_ours_is_the_new_baseline(self, desk: Desk) -> None:
        await desk.see(record())
        assert await desk.see(record(content="192.0.2.2"), ours=await desk.operation()) == []
        (drift,) = await desk.see(record(content="192.0.2.3"))
        assert ends(drift) == ("192.0.2.2", "192.0.2.3")

    async def test_drift_that_is_changed_back_closes_by_itself(self, desk: Desk) -> None:
        await desk.see(record())
        await desk.see(record(content="192.0.2.2"))
        assert await desk.see(record()) == []
        (settled,) = (await desk.machine.drift(HOME, "all")).drift
        assert (settled.state, settled.settled_by, settled.settled_at) == ("reverted", None, desk.now)

    async def test_drift_that_changes_again_stays_one_and_keeps_its_beginning(self, desk: Desk) -> None:
        await desk.see(record())
        (first,) = await desk.see(record(content="192.0.2.2"))
        (second,) = await desk.see(record(content="192.0.2.3"))
        assert second.id == first.id
        assert ends(second) == ("192.0.2.1", "192.0.2.3")

    async def test_drift_taken_back_by_homeport_says_by_whom(self, desk: Desk) -> None:
        await desk.see(record())
        await desk.see(record(content="192.0.2.2"))
        assert await desk.see(record(), ours=await desk.operation()) == []
        (settled,) = (await desk.machine.drift(HOME, "all")).drift
        assert (settled.state, settled.settled_by) == ("reverted", "anna")

    async def test_reading_that_was_overtaken_changes_nothing(self, desk: Desk) -> None:
        await desk.see(record())
        early = desk.now - timedelta(seconds=1)
        await desk.machine.saw(HOME, [record(content="192.0.2.9")], at=early, ours=None)
        assert await desk.see(record()) == []

    async def test_first_sights_at_once_are_one(self, any_desk: Desk) -> None:
        await asyncio.gather(*(any_desk.see(record()) for _ in range(6)))
        assert await count(any_desk, SeenZoneRow) == 1
        assert (await any_desk.machine.drift(HOME, "all")).drift == []

    async def test_sights_of_one_drift_at_once_make_one_drift(self, any_desk: Desk) -> None:
        await any_desk.see(record())
        await asyncio.gather(*(any_desk.see(record(content="192.0.2.2")) for _ in range(6)))
        assert await count(any_desk, DriftRow) == 1

    async def test_what_the_edge_wrote_is_in_the_history_but_no_drift(self, desk: Desk) -> None:
        await desk.see()
        spf = record("@", "v=spf1 -all", "TXT", comment="homeport-edge-4711")
        assert await desk.see(spf) == []
        (settled,) = (await desk.machine.drift(HOME, "all")).drift
        assert (settled.state, settled.settled_by) == ("accepted", "edge")
        assert len(await desk.see(spf | {"content": "v=spf1 +all"})) == 1

    async def test_comment_that_only_looks_like_the_edges_makes_no_change_ours(self, desk: Desk) -> None:
        await desk.see()
        for number, comment in enumerate(("homeport-edge-0815", "homeport-edge-4711x"), start=1):
            (drift, *_) = await desk.see(record(content=f"192.0.2.{number}", comment=comment))
            assert drift.state == "open"
        desk.marker = None  # an edge was never deployed
        assert await desk.see(record("spf", comment="homeport-edge-4711")) != []

    async def test_what_somebody_else_changed_while_an_operation_held_the_zone_is_drift(self, any_desk: Desk) -> None:
        await any_desk.see(record())
        operation = await any_desk.operation()
        mine, other = record(content="192.0.2.2"), record("other")
        keys = set(values_of([record(), mine]))
        (drift,) = await any_desk.see(mine, other, ours=operation, keys=keys)
        assert (drift.act, drift.name) == ("create", f"A other.{HOME}")
        by = {key: await any_desk.machine.last_change(HOME, key) for key in values_of([mine, other])}
        assert {key.rpartition(" ")[0]: each and each.operation_id for key, each in by.items()} == {
            f"A www.{HOME}": operation,
            f"A other.{HOME}": None,
        }

    async def test_records_kept_by_email_routing_drift_like_any_other(self, desk: Desk) -> None:
        locked = record("@", "route1.mx.cloudflare.net", "MX", priority=0, meta={"read_only": True})
        await desk.see(locked)
        (drift,) = await desk.see()
        assert (drift.act, drift.name) == ("delete", f"MX {HOME}")

    async def test_newest_survives_a_restart_with_every_field_that_cloudflare_sent(self, desk: Desk) -> None:
        sent = record(meta={"email_routing": True}, modified_on="2026-11-22T00:00:00Z", unknown=[1, {"a": None}])
        await desk.see(sent)
        found = await TimeMachine(desk.database, Hub(), desk.clock).newest(HOME)
        assert found == (desk.now, [sent])
        assert await desk.machine.newest(TWO) is None


class TestAlarm:
    async def test_each_drift_is_told_once_on_the_hub_and_in_the_log(self, desk: Desk) -> None:
        await desk.see(record())
        number = desk.hub.number
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                await desk.see(record(content="192.0.2.2"))
        assert [each for each in logs if each["event"] == "dns_drift"] == [
            {"event": "dns_drift", "log_level": "warning", "zone": HOME, "record": f"A www.{HOME}", "act": "change"}
        ]
        assert desk.hub.number == number + 1

    async def test_a_thousand_at_once_are_not_a_thousand_lines(self, desk: Desk) -> None:
        await desk.see(*(record(f"n{number}") for number in range(1000)))
        with structlog.testing.capture_logs() as logs:
            assert len(await desk.see()) == 1000
        assert len(logs) == 51
        assert logs[-1]["more"] == 950


class TestAccept:
    async def test_accepted_drift_is_part_of_the_zone_and_in_the_audit(self, any_desk: Desk) -> None:
        await any_desk.see(record())
        (drift,) = await any_desk.see(record(content="192.0.2.2"))
        left = await any_desk.machine.accept(ANNA, HOME, [drift.id])
        assert left.drift == []
        (settled,) = (await any_desk.machine.drift(HOME, "all")).drift
        assert (settled.state, settled.settled_by) == ("accepted", "anna")
        (further,) = await any_desk.see(record(content="192.0.2.3"))
        assert ends(further) == ("192.0.2.2", "192.0.2.3")
        rows = (await audit.search(any_desk.database, audit.Filter(action="dns:accept"), limit=5)).entries
        assert [(row.target, row.result) for row in rows] == [(HOME, "done")]

    async def test_some_of_it_leaves_the_rest_open(self, desk: Desk) -> None:
        await desk.see(record(), record("api"))
        two = await desk.see()
        left = await desk.machine.accept(ANNA, HOME, [two[0].id])
        assert [each.id for each in left.drift] == [two[1].id]
        assert [each.id for each in await desk.see()] == [two[1].id]

    async def test_settled_or_foreign_drift_is_refused_as_a_whole(self, desk: Desk) -> None:
        await desk.see(record())
        (drift,) = await desk.see()
        for zone, numbers in ((HOME, [drift.id, 4711]), (TWO, [drift.id])):
            with pytest.raises(NoSuchDrift):
                await desk.machine.accept(ANNA, zone, numbers)
            with pytest.raises(NoSuchDrift):
                await desk.machine.drift_wish(zone, numbers, [])
        assert await desk.machine.open_drift() == {HOME: 1}


class TestSnapshots:
    async def test_equal_ones_that_follow_each_other_are_one_that_was_seen_for_longer(self, any_desk: Desk) -> None:
        first = await any_desk.keep(record())
        taken_at = any_desk.now
        assert await any_desk.keep(record() | {"id": "f" * 32}) == first
        (found,) = (await any_desk.machine.snapshots(HOME, before=None, limit=9)).snapshots
        assert (found.taken_at, found.seen_until, found.records) == (taken_at, any_desk.now, 1)

    async def test_state_that_comes_back_is_another_point_in_time(self, desk: Desk) -> None:
        first = await desk.keep(record())
        await desk.keep()
        assert await desk.keep(record()) != first

    async def test_operation_is_noted_where_it_began_and_where_it_ended(self, desk: Desk) -> None:
        await desk.keep(record())
        await desk.keep(record(), reason="before", operation_id="ONE")
        await desk.keep(reason="after", operation_id="ONE")
        await desk.keep(reason="before", operation_id="TWO")
        await desk.keep(record("api"), reason="after", operation_id="TWO")
        found = (await desk.machine.snapshots(HOME, before=None, limit=9)).snapshots
        assert [(each.reason, each.operation_id) for each in found] == [
            ("after", "TWO"),
            ("before", "TWO"),
            ("before", "ONE"),
        ]

    async def test_they_are_listed_page_by_page_newest_first(self, any_desk: Desk) -> None:
        made = [await any_desk.keep(record(content=f"192.0.2.{number}")) for number in range(5)]
        first = await any_desk.machine.snapshots(HOME, before=None, limit=3)
        rest = await any_desk.machine.snapshots(HOME, before=first.next_before, limit=3)
        assert [each.id for each in (*first.snapshots, *rest.snapshots)] == made[::-1]
        assert rest.next_before is None

    @pytest.mark.parametrize("number", ["4711", "now", "-1", "1e3", "9" * 40, "٣"])
    async def test_what_is_no_snapshot_of_the_zone_is_not_found(self, desk: Desk, number: str) -> None:
        await desk.keep(record())
        with pytest.raises(NoSuchSnapshot):
            await desk.machine.rollback_wish(HOME, number, None, [])

    async def test_snapshot_of_another_zone_is_not_found(self, desk: Desk) -> None:
        kept = await desk.keep(record())
        with pytest.raises(NoSuchSnapshot):
            await desk.machine.rollback_wish(TWO, kept, None, [])

    async def test_purge_keeps_what_retention_says_and_forgets_old_drift(self, any_desk: Desk) -> None:
        await any_desk.see(record())
        await any_desk.see()
        await any_desk.see(record())
        made = [await any_desk.keep(record(content=f"192.0.2.{number}")) for number in range(4)]
        any_desk.clock.advance(401 * 86_400)
        await any_desk.machine.purge()
        (left,) = (await any_desk.machine.snapshots(HOME, before=None, limit=9)).snapshots
        assert left.id == made[-1]
        assert await count(any_desk, DriftRow) == 0


class TestUnfinished:
    async def test_change_of_which_no_end_was_seen_is_named_until_it_is(self, desk: Desk) -> None:
        await desk.see(record())
        await desk.keep(record(), reason="before", operation_id="ONE")
        assert await desk.machine.unfinished_change(HOME) == "ONE"
        assert await desk.see(record(content="192.0.2.2"), ours="ONE") == []
        assert await desk.machine.unfinished_change(HOME) is None

    async def test_change_whose_end_was_kept_is_finished(self, desk: Desk) -> None:
        assert await desk.machine.unfinished_change(HOME) is None
        await desk.keep(record(), reason="before", operation_id="ONE")
        await desk.keep(record(), reason="after", operation_id="ONE")
        assert await desk.machine.unfinished_change(HOME) is None


class TestLastChange:
    async def test_it_says_who_and_with_which_operation(self, any_desk: Desk) -> None:
        await any_desk.see(record())
        operation = await any_desk.operation()
        mine, edges, outside = record("mine"), record("edge", comment="homeport-edge-4711"), record("outside")
        await any_desk.see(record(), mine, ours=operation)
        await any_desk.see(record(), mine, edges, outside)
        last = {
            each["name"]: await any_desk.machine.last_change(HOME, key)
            for key, each in values_of([record(), mine, edges, outside]).items()
        }
        found = {name: each and (each.by, each.operation_id) for name, each in last.items()}
        assert found == {
            f"www.{HOME}": None,
            f"mine.{HOME}": ("anna", operation),
            f"edge.{HOME}": ("edge", None),
            f"outside.{HOME}": ("outside Homeport", None),
        }


class TestWaysBack:
    async def test_difference_names_what_came_went_and_changed(self, desk: Desk) -> None:
        first = await desk.keep(record(), record("old"))
        second = await desk.keep(record(content="192.0.2.2"), record("new"))
        found = await desk.machine.difference(HOME, first, second, present=[], read_at=desk.now)
        assert [(each.name, each.act) for each in found.differences] == [
            (f"A new.{HOME}", "create"),
            (f"A old.{HOME}", "delete"),
            (f"A www.{HOME}", "change"),
        ]
        assert found.counts == {"create": 1, "change": 1, "delete": 1}

    async def test_difference_to_now_is_to_the_zone_as_it_was_last_read(self, desk: Desk) -> None:
        kept = await desk.keep(record())
        now = [record(), record("api")]
        found = await desk.machine.difference(HOME, kept, "now", present=now, read_at=desk.now)
        back = await desk.machine.difference(HOME, "now", kept, present=now, read_at=desk.now)
        assert [each.act for each in found.differences] == ["create"]
        assert [each.act for each in back.differences] == ["delete"]

    async def test_rollback_leaves_what_belongs_to_the_zone_or_to_email_routing(self, desk: Desk) -> None:
        locked = record("@", "route1.mx.cloudflare.net", "MX", priority=0, meta={"read_only": True})
        servers = record("@", "a.ns.cloudflare.com", "NS")
        kept = await desk.keep(record(), locked, servers)
        present = [record("api"), record("sub", "b.ns.example", "NS"), locked | {"priority": 5}]
        wish = await desk.machine.rollback_wish(HOME, kept, None, present)
        assert {(key.rpartition(" ")[0], value is None) for key, value in wish.items()} == {
            (f"A www.{HOME}", False),
            (f"A api.{HOME}", True),
            (f"NS sub.{HOME}", True),
        }

    async def test_rollback_of_some_records_leaves_the_others(self, desk: Desk) -> None:
        kept = await desk.keep(record(), record("api"))
        key = next(iter(values_of([record("api")])))
        wish = await desk.machine.rollback_wish(HOME, kept, [key], [])
        assert list(wish) == [key]

    @pytest.mark.parametrize("asked", ["192.0.2.1", "192.0.2.2"])
    async def test_rollback_of_a_changed_record_by_one_of_its_keys_is_of_all_of_it(
        self, desk: Desk, asked: str
    ) -> None:
        kept = await desk.keep(record(), record("api"))
        (key,) = values_of([record(content=asked)])
        wish = await desk.machine.rollback_wish(HOME, kept, [key], [record(content="192.0.2.2")])
        assert sorted(value["content"] if value else "" for value in wish.values()) == ["", "192.0.2.1"]

    async def test_drift_wish_is_the_record_before_it_drifted(self, desk: Desk) -> None:
        await desk.see(record())
        (drift,) = await desk.see(record(content="192.0.2.2"))
        wish = await desk.machine.drift_wish(HOME, [drift.id], [record(content="192.0.2.2")])
        assert {key: value and value["content"] for key, value in wish.items()} == {
            drift.keys[0]: "192.0.2.1",
            drift.keys[1]: None,
        }


async def test_snapshot_is_written_in_a_worker_thread(desk: Desk) -> None:
    """The loop turns while a large zone is kept."""
    records: Sequence[Json] = [record(f"n{number}") for number in range(3000)]
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    await desk.keep(*records)
    turning.cancel()
    assert turns > 10
    assert await count(desk, SnapshotRow) == 1
