"""The account's zones as this portal knows them: each with its records as they were last read, and since when.

    zones = Zones(cloudflare, time_machine, hub, clock)
    state = await zones.state("example.com")           # last known, freshened when that costs no wait
    state = await zones.read("example.com")            # now, or a problem
    async with zones.changing("example.com", operation_id) as before: ...

Every read is compared with the one before it by the time machine, which notes what Homeport did not do. What changes
within `changing` is ours, as far as its keys were named; all of it, when they aren't known. One reading of a zone is
under way at a time; who asks meanwhile gets the next one, together.

While Cloudflare is silent the last known state stays, with its time and the reason; after a restart it comes from the
time machine. A page never waits longer than WAIT_S for something fresher than what there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal.dns.history.sights import Reason, Sight
from portal.dns.history.time_machine import TimeMachine
from portal.dns.listing import Listing
from portal.dns.problems import NoSuchZone
from portal.dns.records.values import Value, keyed
from portal.dns.references import by_target
from portal.integrations import cloudflare
from portal.integrations.cloudflare import Cloudflare, CloudflareError, NotFound, RateLimited, TokenRefused, Unreachable
from portal.integrations.cloudflare_problems import (
    CloudflareNotConfigured,
    CloudflareSilent,
    ConnectionWatch,
    as_problem,
)
from portal.integrations.records import Json
from portal.operations.hub import Hub

log = get_logger()

TOPIC = "dns"
LIST_S = 300.0  # how old the list of zones may be
FRESH_S = 60.0  # how old a zone may be before a page asks for a fresher one
WAIT_S = 2.0  # how long a page waits for that
FIRST_WAIT_S = 10.0  # and for what was never read
RETRY_S = 30.0  # after a failure no page asks again for so long
ASK_AGAIN_S = 10.0  # a name that no zone has makes the list be read again, but not more often than this
HOURLY_S = 3600.0
NOT_READ_YET = "not read yet since the portal has started"
SILENCES = 2  # zones in a row without an answer, after which a poll takes Cloudflare for silent
GONE_AFTER = timedelta(days=1)  # a zone last seen so long before the others had left the account


@dataclass(frozen=True)
class Reading:
    """The records that Cloudflare answered with, by key, and what is worked out of them: each once, where first asked.

    The next reading that brings the same records is this one again.
    """

    records: Mapping[str, Json]

    @cached_property
    def listing(self) -> Listing:
        return Listing(self.records)

    @cached_property
    def sight(self) -> Sight:
        return Sight.of(self.records)

    @cached_property
    def by_target(self) -> Mapping[str, Sequence[Json]]:
        return by_target(self.records.values())


@dataclass(frozen=True)
class ZoneState:
    """A zone and its records as last read.

    zone      its id is "" while only the time machine knows of it
    status    as Cloudflare has it, such as "active"; "unknown" while only the time machine knows of the zone
    plan      Cloudflare's name of the plan: "free", "pro" ...
    reading   its records
    read_at   when this was true; None: never read
    error     why the newest reading failed; None when it did not
    """

    zone: cloudflare.Zone
    status: str
    plan: str
    name_servers: tuple[str, ...]
    reading: Reading
    read_at: datetime | None
    error: str | None

    @property
    def records(self) -> Mapping[str, Json]:
        """Key -> record as Cloudflare sent it."""
        return self.reading.records

    @property
    def values(self) -> Mapping[str, Value]:
        """Key -> what of a record can be written back. Not to be changed."""
        return self.reading.sight.values

    @property
    def listing(self) -> Listing:
        """The records as a page searches and sorts them."""
        return self.reading.listing

    @property
    def by_target(self) -> Mapping[str, Sequence[Json]]:
        """Host -> the records that lead to it."""
        return self.reading.by_target


@dataclass
class _Failure:
    """number: of the reading that failed, as _Kept counts them"""

    number: int
    error: CloudflareError

    def again(self) -> CloudflareError:
        """For one more who waited for it; without the way that it took before."""
        return self.error.with_traceback(None)


@dataclass(eq=False)
class _Kept:
    """
    begun, good   numbers of the newest reading that began, and of the newest that succeeded
    failure       the newest reading that failed
    begun_at      when the newest reading began
    changes       counts each beginning and end of a change of ours
    at_work       the operation that changes the zone just now
    owed          the operation that did, and the keys that were its to change, while nobody has read the zone since
    """

    state: ZoneState
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    begun: int = 0
    good: int = 0
    failure: _Failure | None = None
    begun_at: float = float("-inf")
    changes: int = 0
    at_work: str | None = None
    owed: tuple[str, Collection[str] | None] | None = None
    is_compared: bool = False  # with what was known before this portal started
    failed_at: float = float("-inf")
    kept_at: float = float("-inf")


class Zones:
    def __init__(
        self,
        cf: Cloudflare | None,
        machine: TimeMachine,
        hub: Hub,
        clock: Clock,
        *,
        missing_settings: Sequence[str] = (),
    ) -> None:
        self.connection = ConnectionWatch(missing_settings)
        self._cf = cf
        self._machine = machine
        self._hub = hub
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._is_loaded = False
        self._loading = asyncio.Lock()
        self._listing = asyncio.Lock()
        self._listed_at = self._list_failed_at = float("-inf")
        self._lists_begun = self._list_good = 0  # numbers, as _Kept has them of a zone's readings
        self._list_failure: _Failure | None = None
        self._tasks: dict[_Kept | None, asyncio.Task[Any]] = {}  # readings for pages, by zone; None: of the list

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- what others ask ----------------------------------------------------------------------------------------------

    async def all(self) -> list[ZoneState]:
        """Every zone as last known, by name; empty when no account is connected. Raises nothing of Cloudflare's."""
        if self._cf is None:
            return []
        await self._load()
        if self._is_due(self._listed_at, self._list_failed_at, LIST_S):
            await self._for(WAIT_S if self._kept else FIRST_WAIT_S)
        return [self._kept[name].state for name in sorted(self._kept)]

    async def state(self, name: str) -> ZoneState:
        """A zone as last known. It is read when it never was, or long ago and Cloudflare answers in time.

        raises   NoSuchZone; a Cloudflare problem when nothing was ever known of it
        """
        kept = await self._known(name, to_show=True)
        if kept.state.read_at is None:
            task = self._under_way(kept)
            done, _ = await asyncio.wait([task], timeout=FIRST_WAIT_S)
            if not done:
                raise CloudflareSilent(f"Cloudflare takes longer than {FIRST_WAIT_S:g} s to list {name}")
            if isinstance(error := task.exception(), CloudflareError):
                raise as_problem(error) from error
            return kept.state
        age_s = (now_utc(self._clock) - kept.state.read_at).total_seconds()
        if age_s > FRESH_S and self._clock.monotonic() - kept.failed_at > RETRY_S:
            await self._for(WAIT_S, kept)
        return kept.state

    async def read(self, name: str) -> ZoneState:
        """A zone as it is now. Raise NoSuchZone, or a Cloudflare problem."""
        kept = await self._known(name)
        try:
            return await self._read(kept)
        except CloudflareError as error:
            raise as_problem(error) from error

    @asynccontextmanager
    async def changing(
        self, name: str, operation_id: str, keys: Collection[str] | None = None
    ) -> AsyncIterator[ZoneState]:
        """Hold a zone while it is changed, as it was just read. One at a time for each zone; who comes later waits.

        The zone is kept by the time machine before, and however it ends after. What differs in between is ours.
        keys     of all records that may be changed: what else differs is not ours. None: they are not known
        raises   NoSuchZone, a Cloudflare problem, DatabaseUnavailable: then nothing was changed
        """
        kept = await self._known(name)
        async with kept.changing:
            try:
                state = await self._read(kept)
            except CloudflareError as error:
                raise as_problem(error) from error
            await self._keep(kept, "before", operation_id)
            kept.at_work, kept.changes = operation_id, kept.changes + 1
            try:
                yield state
            finally:
                kept.at_work, kept.owed, kept.changes = None, (operation_id, keys), kept.changes + 1
                try:
                    await self._read(kept)
                    await self._keep(kept, "after", operation_id)
                except (CloudflareError, Problem) as error:  # `owed` says whose it is when the zone is read next
                    log.warning("dns_zone_not_read_after_change", zone=name, error=str(error))

    async def poll(self) -> None:
        """Read the list and every zone, one after another; every hour, keep each as a point in time.

        It begins with the zone that was asked for longest ago, so that those behind silent ones have their turn.
        """
        if self._cf is None:
            return
        await self._load()
        try:
            await self._list()
            silences = 0
            for kept in sorted(self._kept.values(), key=lambda kept: kept.begun_at):
                try:
                    await self._poll_one(kept)
                except Unreachable as error:
                    log.warning("dns_zone_not_read", zone=kept.state.zone.name, error=str(error))
                    silences += 1
                    if silences == SILENCES:
                        raise
                else:
                    silences = 0
        except (TokenRefused, RateLimited, Unreachable) as error:  # the other zones would hear the same
            log.warning("dns_poll_ended", error=str(error))
        except CloudflareError as error:
            log.warning("dns_zones_not_listed", error=str(error))

    async def _poll_one(self, kept: _Kept) -> None:
        name = kept.state.zone.name
        try:
            await self._read(kept)
        except (TokenRefused, RateLimited, Unreachable):
            raise
        except CloudflareError as error:
            log.warning("dns_zone_not_read", zone=name, error=str(error))
            return
        if self._clock.monotonic() - kept.kept_at >= HOURLY_S:
            try:
                await self._keep(kept, "hourly", None)
            except Problem as problem:  # the other zones are read and shown without a database too
                log.warning("dns_zone_not_kept", zone=name, error=problem.type)

    # -- the list of zones --------------------------------------------------------------------------------------------

    async def _known(self, name: str, *, to_show: bool = False) -> _Kept:
        """Raise NoSuchZone, or a Cloudflare problem when nobody can say.

        to_show   what the time machine knows is enough; else Cloudflare has to have listed the zone
        """
        if self._cf is None:
            raise CloudflareNotConfigured(
                "no Cloudflare account is connected", settings=self.connection.view()["settings"]
            )
        await self._load()
        kept = self._kept.get(name)
        if kept is not None and (to_show or kept.state.zone.id):
            return kept
        now = self._clock.monotonic()
        if now - max(self._listed_at, self._list_failed_at) > ASK_AGAIN_S:
            await self._for(FIRST_WAIT_S)
        kept = self._kept.get(name)
        if kept is not None and kept.state.zone.id:
            return kept
        if self._list_failure is not None:  # an older list knows nothing of a zone that was added since
            raise as_problem(self._list_failure.error)
        if now - self._listed_at <= ASK_AGAIN_S:
            raise NoSuchZone(f"the account has no zone {name}, or the token may not see it")
        raise CloudflareSilent(f"Cloudflare takes longer than {FIRST_WAIT_S:g} s to list the account's zones")

    async def _list(self) -> None:
        """Read the list, or take what a reading that began after this call has brought. Raise CloudflareError."""
        assert self._cf is not None
        asked = self._lists_begun
        async with self._listing:
            if self._list_good > asked:
                return
            if self._list_failure is not None and self._list_failure.number > asked:
                raise self._list_failure.again()
            self._lists_begun += 1
            number = self._lists_begun
            try:
                found = await self._cf.zones()
            except CloudflareError as error:
                self._list_failure, self._list_failed_at = _Failure(number, error), self._clock.monotonic()
                self.connection.failed(error, now_utc(self._clock))
                raise
            self.connection.ok(now_utc(self._clock), on="zones")
            self._list_failure, self._listed_at, self._list_good = None, self._clock.monotonic(), number
            before = set(self._kept)
            self._kept = {zone["name"]: self._listed(zone) for zone in found}
            if before != set(self._kept):
                self._hub.publish(TOPIC, {"zones": sorted(before ^ set(self._kept))})

    def _listed(self, zone: Json) -> _Kept:
        name = zone["name"]
        kept = self._kept.get(name) or _Kept(_unread(name))
        kept.state = replace(
            kept.state,
            zone=cloudflare.Zone(zone["id"], name),
            status=str(zone.get("status") or "unknown"),
            plan=str((zone.get("plan") or {}).get("legacy_id") or ""),
            name_servers=tuple(zone.get("name_servers") or ()),
        )
        return kept

    async def _load(self) -> None:
        """At the first question: what the time machine still knows from before this portal started."""
        async with self._loading:
            if self._is_loaded:
                return
            known = await self._machine.zones()
            newest = max(known.values(), default=None)
            for name, seen_at in known.items():
                if (
                    newest is None
                    or seen_at < newest - GONE_AFTER
                    or (last := await self._machine.newest(name)) is None
                ):
                    continue
                at, records = last
                keyed_records = await asyncio.to_thread(keyed, records)
                state = replace(_unread(name), reading=Reading(keyed_records), read_at=at, error=NOT_READ_YET)
                self._kept[name] = _Kept(state)
            self._is_loaded = True

    # -- a zone -------------------------------------------------------------------------------------------------------

    async def _read(self, kept: _Kept) -> ZoneState:
        """Read it, or take what a reading that began after this call has brought. Raise CloudflareError."""
        assert self._cf is not None
        asked = kept.begun
        async with kept.reading:
            if kept.good > asked:
                return kept.state
            if kept.failure is not None and kept.failure.number > asked:
                raise kept.failure.again()
            kept.begun, kept.begun_at = kept.begun + 1, self._clock.monotonic()
            number, changes, at_work = kept.begun, kept.changes, kept.at_work
            zone, at = kept.state.zone, now_utc(self._clock)
            try:
                if not zone.id:
                    await self._list()  # it has never been listed by this portal
                    zone = kept.state.zone
                if not zone.id:
                    raise NotFound(f"the account has no zone {zone.name}, or the token may not see it")
                raw = await self._cf.records(zone)
            except CloudflareError as error:
                kept.failure, kept.failed_at = _Failure(number, error), self._clock.monotonic()
                self.connection.failed(error, at)
                self._show(kept, replace(kept.state, error=str(error)), is_other=kept.state.error != str(error))
                raise
            self.connection.ok(at, on=f"zone {zone.name}")
            state = await asyncio.to_thread(_with_records, kept.state, raw, at)
            is_other = await asyncio.to_thread(_looks_other, kept.state, state)
            if at_work is None and kept.at_work is None and changes == kept.changes:
                await self._compare(kept, state.reading.sight, at)
            kept.good = number
            self._show(kept, state, is_other=is_other)
            return state

    async def _compare(self, kept: _Kept, sight: Sight, at: datetime) -> None:
        """Tell the time machine what was seen; without a database the zone is shown all the same."""
        name = kept.state.zone.name
        try:
            if not kept.is_compared and kept.owed is None:
                operation_id = await self._machine.unfinished_change(name)  # of a portal that died
                kept.owed = None if operation_id is None else (operation_id, None)
            ours, keys = kept.owed or (None, None)
            await self._machine.saw(name, sight, at=at, ours=ours, keys=keys)
        except Problem as problem:
            log.warning("dns_zone_not_compared", zone=name, error=problem.type)
            return
        kept.owed, kept.is_compared = None, True

    async def _keep(self, kept: _Kept, reason: Reason, operation_id: str | None) -> None:
        state = kept.state
        assert state.read_at is not None
        sight = await asyncio.to_thread(lambda: state.reading.sight)  # one that was loaded has none yet
        await self._machine.keep(state.zone.name, sight, reason=reason, operation_id=operation_id, at=state.read_at)
        kept.kept_at = self._clock.monotonic()

    def _show(self, kept: _Kept, state: ZoneState, *, is_other: bool) -> None:
        """Take a newer state, and tell those who watch when it looks different."""
        kept.state = state
        if is_other:
            self._hub.publish(TOPIC, {"zone": state.zone.name})

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _is_due(self, good_at: float, failed_at: float, every_s: float) -> bool:
        now = self._clock.monotonic()
        return now - good_at > every_s and now - failed_at > RETRY_S

    async def _for(self, seconds: float, kept: _Kept | None = None) -> None:
        """Wait so long for a reading; it goes on after that. Its failure is known by what it has noted."""
        await asyncio.wait([self._under_way(kept)], timeout=seconds)

    def _under_way(self, kept: _Kept | None) -> asyncio.Task[Any]:
        """The reading of a zone, or of the list, that a page has begun already, else a new one."""
        task = self._tasks.get(kept)
        if task is None or task.done():
            work: Coroutine[Any, Any, object] = self._list() if kept is None else self._read(kept)
            task = self._tasks[kept] = asyncio.create_task(work)
            task.add_done_callback(lambda ended: self._ended(kept, ended))
        return task

    def _ended(self, kept: _Kept | None, task: asyncio.Task[Any]) -> None:
        if self._tasks.get(kept) is task:
            del self._tasks[kept]
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, CloudflareError | Problem):
            log.error("dns_reading_failed", exc_info=error)


def _unread(name: str) -> ZoneState:
    return ZoneState(cloudflare.Zone("", name), "unknown", "", (), Reading({}), None, None)


def _looks_other(before: ZoneState, state: ZoneState) -> bool:
    """To be asked in a thread: ten thousand records take a while."""
    return before.error != state.error or (before.reading is not state.reading and before.records != state.records)


def _with_records(state: ZoneState, raw: Sequence[Json], at: datetime) -> ZoneState:
    """To be asked in a thread, and not in the event loop of the first page."""
    is_same = list(state.records.values()) == raw
    reading = state.reading if is_same else Reading(keyed(raw))
    _ = reading.listing, reading.sight
    return replace(state, reading=reading, read_at=at, error=None)
