"""The spool on a real disk: an entry is whole or not there, in one place, and goes only where its state allows."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mail_api.content import Content
from mail_api.spool import (
    ENVELOPE,
    MAX_UNSETTLED_CLAIMS,
    MESSAGE,
    TMP_MAX_AGE_S,
    Claimed,
    CorruptEntry,
    Entry,
    Place,
    Spool,
    SpoolLocked,
)
from tests.clock import FakeClock

BODY = b"Subject: x\r\n\r\n\0\xff.\r\n"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "state" / "spool", clock=FakeClock(now=time.time()))
    spool.prepare()
    return spool


def content(body: bytes = BODY) -> Content:
    return Content(body, len(body), hashlib.sha256(body).hexdigest())


def entry(body: bytes = BODY, **changes: Any) -> Entry:
    given = content(body)
    made = Entry(secrets.token_hex(16), "a@example.org", "anna@home.test", given.size_bytes, given.sha256, 1.5e9)
    return dataclasses.replace(made, **changes)


def accepted(spool: Spool, place: Place = Place.QUEUE, body: bytes = BODY, **changes: Any) -> Entry:
    made = entry(body, **changes)
    spool.accept(made, content(body), place)
    return made


def claimed(spool: Spool, made: Entry) -> Claimed:
    found = spool.claim(made.queue_id)
    assert found is not None
    return found


def rewrite(directory: Path, **changes: object) -> None:
    """Change what an entry's envelope says."""
    path = directory / ENVELOPE
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


def places(spool: Spool) -> dict[str, Place]:
    """Where each entry lies; fails if one lies in two places."""
    found = [(name, place) for place in Place for name in spool.names(place)]
    assert len(dict(found)) == len(found)
    return dict(found)


def places_but(spool: Spool, missing: Place) -> dict[str, Place]:
    return {name: place for place in Place if place is not missing for name in spool.names(place)}


def read(claim: Claimed) -> bytes:
    return claim.content.read(0, claim.content.size_bytes)


class TestAccept:
    @pytest.mark.parametrize("place", [Place.QUEUE, Place.HOLD])
    def test_entry_is_whole_in_its_place(self, spool: Spool, place: Place) -> None:
        made = accepted(spool, place, mail_from="", retained_at=5, verdict={"action": "hold"}, reason="ünnötig")
        assert places(spool) == {made.queue_id: place}
        assert spool.find(made.queue_id) is place
        assert spool.read(place, made.queue_id) == made
        directory = spool.path(place, made.queue_id)
        assert {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()} == {
            ENVELOPE: 0o600,
            MESSAGE: 0o600,
        }
        assert directory.stat().st_mode & 0o777 == 0o700
        assert (directory / MESSAGE).read_bytes() == BODY
        assert list(spool.tmp.iterdir()) == []

    def test_large_body_is_linked_in_and_leaves_nothing_when_given_up(self, spool: Spool) -> None:
        kept, given_up = spool.body_file(), spool.body_file()
        for piece in (b"a" * 100_000, bytearray(b"b" * 100_000)):
            kept.append(piece)
            given_up.append(piece)
        assert list(spool.tmp.iterdir()) == []
        stored = kept.content()
        made = entry(size_bytes=stored.size_bytes, sha256=stored.sha256)
        spool.accept(made, stored)
        for file in (kept, given_up):
            file.close()
            file.close()
        assert (spool.path(Place.QUEUE, made.queue_id) / MESSAGE).stat().st_nlink == 1
        assert read(claimed(spool, made)) == b"a" * 100_000 + b"b" * 100_000

    def test_entry_that_is_there_already_is_kept(self, spool: Spool) -> None:
        made = accepted(spool, reason="first")
        spool.accept(dataclasses.replace(made, reason="second"), content())
        assert spool.read(Place.QUEUE, made.queue_id).reason == "first"
        assert list(spool.tmp.iterdir()) == []

    def test_entry_that_cannot_be_stored_leaves_nothing(self, spool: Spool) -> None:
        spool.path(Place.HOLD, "x").parent.rmdir()
        with pytest.raises(FileNotFoundError):
            accepted(spool, Place.HOLD)
        assert list(spool.tmp.iterdir()) == []
        assert places_but(spool, Place.HOLD) == {}

    def test_spool_can_be_prepared_again_and_written_to(self, spool: Spool) -> None:
        made = accepted(spool)
        spool.prepare()
        spool.try_write()
        assert spool.free_bytes() > 0
        assert places(spool) == {made.queue_id: Place.QUEUE}
        assert list(spool.tmp.iterdir()) == []
        assert spool.root.stat().st_mode & 0o777 == 0o700


class TestClaim:
    def test_claimed_entry_is_deferred_held_unclaimed_or_done(self, spool: Spool) -> None:
        made = accepted(spool)
        claim = claimed(spool, made)
        assert places(spool) == {made.queue_id: Place.ACTIVE}
        assert (claim.entry, read(claim)) == (made, BODY)
        assert spool.claim(made.queue_id) is None

        tried = dataclasses.replace(made, attempts=1, reason="later")
        spool.defer(claim, tried, due=2e9)
        assert dict(map(reversed, spool.schedule(Place.QUEUE))) == {made.queue_id: 2e9}  # type: ignore[arg-type]
        claim = claimed(spool, made)
        assert claim.entry == tried

        spool.unclaim(claim, 1e9)
        assert list(spool.schedule(Place.QUEUE)) == [(1e9, made.queue_id)]
        claim = claimed(spool, made)
        assert claim.entry == tried

        spool.hold(claim, dataclasses.replace(tried, reason="held"))
        assert places(spool) == {made.queue_id: Place.HOLD}
        assert spool.read(Place.HOLD, made.queue_id).reason == "held"
        assert spool.claim(made.queue_id) is None

        spool.move(Place.HOLD, Place.QUEUE, tried)
        spool.done(claimed(spool, made))
        assert places(spool) == {}
        assert list(spool.tmp.iterdir()) == []

    def test_each_of_many_entries_is_won_by_one_of_many_claimers(self, spool: Spool) -> None:
        made = [accepted(spool) for _ in range(50)]

        def claim_all(_: int) -> list[str]:
            found = [spool.claim(each.queue_id) for each in made]
            return [claim.entry.queue_id for claim in found if claim is not None]

        with ThreadPoolExecutor(8) as threads:
            won = [queue_id for claims in threads.map(claim_all, range(8)) for queue_id in claims]
        assert sorted(won) == sorted(each.queue_id for each in made)

    @pytest.mark.parametrize(
        ("damage", "why"),
        [
            (lambda at: (at / MESSAGE).write_bytes(BODY[:-1]), "bytes"),
            (lambda at: (at / MESSAGE).write_bytes(BODY[:-1] + b"x"), "digest"),
            (lambda at: (at / MESSAGE).unlink(), "No such file"),
            (lambda at: (at / ENVELOPE).unlink(), "No such file"),
            (lambda at: (at / ENVELOPE).write_bytes(b""), "Expecting value"),
            (lambda at: (at / ENVELOPE).write_bytes(b"[1]"), "malformed"),
            (lambda at: (at / ENVELOPE).write_bytes(b"\xff"), "malformed"),
            (lambda at: (at / ENVELOPE).write_bytes(b'{"version": 1}'), "malformed"),
            (lambda at: (at / ENVELOPE).write_bytes(b'{"version": 2}'), "version 2"),
            (lambda at: (at / ENVELOPE).write_bytes(b"[" * 100_000), "malformed"),
            (lambda at: rewrite(at, size_bytes="19"), "size_bytes"),
            (lambda at: rewrite(at, rcpt_to=None), "rcpt_to"),
            (lambda at: rewrite(at, verdict=[]), "verdict"),
            (lambda at: rewrite(at, queue_id="0" * 32), "that of 0000"),
        ],
    )
    def test_damaged_entry_is_set_aside_with_the_reason(
        self, spool: Spool, damage: Callable[[Path], object], why: str
    ) -> None:
        made = accepted(spool)
        damage(spool.path(Place.QUEUE, made.queue_id))
        with pytest.raises(CorruptEntry, match=why) as caught:
            spool.claim(made.queue_id)
        assert caught.value.queue_id == made.queue_id
        assert places(spool) == {made.queue_id: Place.CORRUPT}
        assert why in (spool.path(Place.CORRUPT, made.queue_id) / "why.txt").read_text()

    def test_operator_who_comes_too_late_changes_nothing(self, spool: Spool) -> None:
        made = accepted(spool)
        claim = claimed(spool, made)
        with pytest.raises(FileNotFoundError):
            spool.move(Place.QUEUE, Place.HOLD, made)
        with pytest.raises(FileNotFoundError):
            spool.reschedule(made.queue_id, 0.0)
        with pytest.raises(FileNotFoundError):
            spool.remove(Place.QUEUE, made.queue_id)
        spool.done(claim)
        assert places(spool) == {}


class TestRecover:
    def test_entries_of_a_dead_delivery_go_back_and_are_counted(self, spool: Spool) -> None:
        made = accepted(spool)
        for deaths in range(1, MAX_UNSETTLED_CLAIMS):
            claimed(spool, made).close()
            assert spool.recover() == [made.queue_id]
            assert spool.read(Place.QUEUE, made.queue_id).unsettled_claims == deaths
        claimed(spool, made).close()
        assert spool.recover() == []
        assert places(spool) == {made.queue_id: Place.CORRUPT}
        assert f"died {MAX_UNSETTLED_CLAIMS} times" in spool.read(Place.CORRUPT, made.queue_id).reason

    def test_settled_attempt_begins_the_count_anew(self, spool: Spool) -> None:
        made = accepted(spool)
        claimed(spool, made).close()
        spool.recover()
        claim = claimed(spool, made)
        spool.defer(claim, dataclasses.replace(claim.entry, unsettled_claims=0), due=0.0)
        claimed(spool, made).close()
        spool.recover()
        assert spool.read(Place.QUEUE, made.queue_id).unsettled_claims == 1

    def test_unreadable_entry_of_a_dead_delivery_is_set_aside(self, spool: Spool) -> None:
        made = accepted(spool)
        claimed(spool, made).close()
        (spool.path(Place.ACTIVE, made.queue_id) / ENVELOPE).write_bytes(b"")
        assert spool.recover() == []
        assert places(spool) == {made.queue_id: Place.CORRUPT}

    def test_spool_has_one_delivery_at_a_time(self, spool: Spool) -> None:
        lock = spool.lock()
        with pytest.raises(SpoolLocked):
            spool.lock()
        os.close(lock)
        os.close(spool.lock())


class TestHousekeeping:
    def test_only_what_is_older_than_an_hour_is_swept(self, spool: Spool) -> None:
        clock = FakeClock(now=time.time())
        later = Spool(spool.root, clock=clock)
        made = accepted(spool)
        (spool.tmp / "old.1234").mkdir()
        (spool.tmp / "old.1234" / MESSAGE).write_bytes(BODY)
        clock.advance(TMP_MAX_AGE_S - 60)
        assert later.sweep() == 0
        clock.advance(120)
        assert later.sweep() == 1
        assert list(spool.tmp.iterdir()) == []
        assert places(spool) == {made.queue_id: Place.QUEUE}

    def test_census_counts_each_place_and_knows_the_oldest_that_waits(self, spool: Spool) -> None:
        now = time.time()
        assert spool.census().oldest_at is None
        assert spool.census().oldest_s(now) == 0.0
        made = [accepted(spool) for _ in range(3)]
        held = accepted(spool, Place.HOLD)
        for number, each in enumerate(made):
            os.utime(spool.path(Place.QUEUE, each.queue_id) / MESSAGE, (now, now - 100 * number))
        os.utime(spool.path(Place.HOLD, held.queue_id) / MESSAGE, (now, 1.0))
        spool.defer(claimed(spool, made[2]), made[2], due=now + 9999)  # its schedule is not its age
        claimed(spool, made[1])
        census = spool.census()
        assert census.counts == {Place.QUEUE: 2, Place.ACTIVE: 1, Place.HOLD: 1, Place.CORRUPT: 0}
        assert census.waiting == 3
        assert census.oldest_s(now) == pytest.approx(200)

    def test_version_changes_when_an_entry_comes_or_goes(self, spool: Spool) -> None:
        seen = [spool.queue_version()]
        made = accepted(spool)
        seen.append(spool.queue_version())
        claim = claimed(spool, made)
        seen.append(spool.queue_version())
        spool.defer(claim, made, due=0.0)
        seen.append(spool.queue_version())
        assert seen == sorted(seen)
        assert seen[0] != seen[-1]


class TestForeign:
    """What somebody else put into the spool harms nothing but itself."""

    def test_file_among_the_entries_is_passed_over(self, spool: Spool) -> None:
        made = accepted(spool)
        for place in Place:
            (spool.root / place / "README").write_text("not an entry")
        (spool.tmp / "junk").write_text("x")
        assert [queue_id for _, queue_id in spool.schedule(Place.QUEUE)] == [made.queue_id]
        assert spool.census().waiting == 1
        assert spool.recover() == []
        later = Spool(spool.root, clock=FakeClock(now=time.time() + TMP_MAX_AGE_S + 60))
        assert later.sweep() == 1

    @pytest.mark.parametrize(("name", "kind"), [(ENVELOPE, "directory"), (MESSAGE, "directory"), (MESSAGE, "link")])
    def test_entry_with_something_else_than_files_is_set_aside(
        self, spool: Spool, tmp_path: Path, name: str, kind: str
    ) -> None:
        made = accepted(spool)
        path = spool.path(Place.QUEUE, made.queue_id) / name
        path.rename(tmp_path / "outside")
        if kind == "directory":
            path.mkdir()
        else:
            path.symlink_to(tmp_path / "outside")
        with pytest.raises(CorruptEntry):
            spool.claim(made.queue_id)
        assert places(spool) == {made.queue_id: Place.CORRUPT}


addresses = st.text(max_size=60)
entries = st.builds(
    Entry,
    queue_id=st.text("0123456789abcdef", min_size=32, max_size=32),
    mail_from=addresses,
    rcpt_to=addresses,
    size_bytes=st.integers(0, 2**40),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    received_at=st.floats(0, 1e11),
    retained_at=st.none() | st.integers(0, 10**15),
    verdict=st.none() | st.dictionaries(st.text(max_size=9), st.integers() | st.text(max_size=9), max_size=3),
    attempts=st.integers(0, 10**6),
    unsettled_claims=st.integers(0, 10),
    reason=st.text(),
    released_at=st.none() | st.floats(0, 1e11),
)


@given(entries)
def test_entry_survives_its_file(made: Entry) -> None:
    written = made.to_json()
    assert written.isascii()
    assert b"\n" not in written
    assert Entry.from_json(written) == made


@given(
    st.binary(max_size=300)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_file_of_anything_else_is_no_entry(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Entry.from_json(data)


STEPS = st.sampled_from(
    ["accept", "hold", "claim", "defer", "unclaim", "set-aside", "done", "release", "drop", "recover"]
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(st.tuples(STEPS, st.integers(0, 3)), max_size=30))
def test_entry_is_in_one_place_and_whole_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """The moves of docs/design/spool.md in any order, against a model that only knows the places."""
    spool = Spool(tmp_path_factory.mktemp("spool"), clock=FakeClock(now=time.time()))
    spool.prepare()
    made = [entry(b"%d" % number) for number in range(4)]
    model: dict[str, Place] = {}
    claims: dict[str, Claimed] = {}
    for step, number in steps:
        each = made[number]
        queue_id, place = each.queue_id, model.get(each.queue_id)
        match step, place:
            case "accept", None | Place.QUEUE:
                spool.accept(each, content(b"%d" % number))
                model[queue_id] = Place.QUEUE
            case "hold", None:
                spool.accept(each, content(b"%d" % number), Place.HOLD)
                model[queue_id] = Place.HOLD
            case "claim", _:
                claim = spool.claim(queue_id)
                assert (claim is not None) == (place is Place.QUEUE)
                if claim is not None:
                    claims[queue_id], model[queue_id] = claim, Place.ACTIVE
            case "defer" | "unclaim" | "set-aside" | "done", Place.ACTIVE:
                claim = claims.pop(queue_id)
                if step == "done":
                    spool.done(claim)
                    del model[queue_id]
                elif step == "set-aside":
                    spool.hold(claim, claim.entry)
                    model[queue_id] = Place.HOLD
                else:
                    spool.defer(claim, claim.entry, due=0.0) if step == "defer" else spool.unclaim(claim, 0.0)
                    model[queue_id] = Place.QUEUE
            case "release", Place.HOLD:
                spool.move(Place.HOLD, Place.QUEUE, each)
                model[queue_id] = Place.QUEUE
            case "drop", Place.QUEUE:
                spool.remove(Place.QUEUE, queue_id)
                del model[queue_id]
            case "recover", _:
                while claims:
                    claims.popitem()[1].close()
                spool.recover()
                model |= {name: Place.QUEUE for name, at in model.items() if at is Place.ACTIVE}
                model |= dict.fromkeys(spool.names(Place.CORRUPT), Place.CORRUPT)
        assert places(spool) == model
    for queue_id, place in model.items():
        directory = spool.path(place, queue_id)
        number = [each.queue_id for each in made].index(queue_id)
        assert (directory / MESSAGE).read_bytes() == b"%d" % number
        assert spool.read(place, queue_id).sha256 == made[number].sha256
    for claim in claims.values():
        claim.close()
