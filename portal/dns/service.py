"""What an operator can do with zones and records: the rules. routes.py parses and calls; commands.py asks over HTTP.

    room = DnsRoom.of(cloudflare, db, hub, runner, plans, uses, clock, settings)
    room.begin() ... await room.close()

Pages show what was last read (zones.py). Every change is a plan: edits, an import, a rollback, drift taken back and
what another part of the portal wishes for become a wish (record key -> value), which portal/operations/plans.py plans,
applies (apply.py) and takes back. What Cloudflare says never leaves here as it came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Literal

from starlette.responses import Response

from kit.clock import Clock, now_utc
from portal.actor import Actor
from portal.db import Database
from portal.dns import probes
from portal.dns.apply import APPLY, TIMEOUT_S, ZoneRecords, values_at
from portal.dns.batches import are_there, end_of
from portal.dns.edits import MAX_TOLD, described, draft_of, wish_of
from portal.dns.files import imports
from portal.dns.history.time_machine import TimeMachine
from portal.dns.journal import ApplyJournal
from portal.dns.listing import RecordQuery
from portal.dns.models import ApplyRow
from portal.dns.problems import ImportInvalid, NoSuchRecord, NothingUnfinished
from portal.dns.records.checks import check, limits_of
from portal.dns.records.findings import Finding
from portal.dns.records.neighbours import Neighbours
from portal.dns.records.values import key_of, value_of
from portal.dns.schemas import (
    AcceptDrift,
    ApplyDnsPlan,
    CheckedRecord,
    Connection,
    DnsOverview,
    DnsPlan,
    DriftList,
    Edit,
    Format,
    ImportZone,
    NewDnsPlan,
    Propagation,
    RecordDetail,
    RecordPage,
    RevertDrift,
    Rollback,
    SnapshotList,
    SnapshotView,
    ZoneDifference,
    ZoneView,
)
from portal.dns.views import (
    needs_step_up,
    paired,
    plan_view,
    problem_view,
    record_view,
    suffering,
    unfinished_view,
    warnings,
    zone_view,
)
from portal.dns.zones import Zones, ZoneState
from portal.integrations.cloudflare import Cloudflare
from portal.integrations.records import Json
from portal.operations.hub import Hub
from portal.operations.plans import Plan, PlanNotFound, Plans, PlanStale, Value
from portal.operations.records import Filter, State
from portal.operations.runner import Runner
from portal.operations.schemas import OperationView
from portal.probes import Probe, Use, Uses, UseView
from portal.scheduler import Job
from portal.settings import PortalSettings

STALE_AFTER = 2  # polls
POLL_TIMEOUT_S = 600.0

Propagate = Callable[[str, Json, list[Json]], Awaitable[Propagation]]

_FILES: Mapping[Format, tuple[str, str]] = {  # media type, and how the name ends
    "bind": ("text/dns", "zone"),  # RFC 4027
    "csv": ("text/csv", "csv"),
    "json": ("application/json", "json"),
}


class DnsRoom:
    """
    zones         what is known of the account's zones; other parts of the portal change them through `zones.changing`
    propagate     set by app.py: asks the resolvers about a record
    mail_domains  likewise: the domains that Homeport receives mail for
    """

    propagate: Propagate
    mail_domains: Callable[[], Awaitable[Collection[str]]]

    def __init__(
        self,
        cf: Cloudflare | None,
        zones: Zones,
        machine: TimeMachine,
        journal: ApplyJournal,
        runner: Runner,
        plans: Plans,
        uses: Uses,
        clock: Clock,
        settings: PortalSettings,
    ) -> None:
        self.zones = zones
        self.machine = machine
        self._cf = cf
        self._journal = journal
        self._runner = runner
        self._plans = plans
        self._uses = uses
        self._clock = clock
        self._settings = settings

    @classmethod
    def of(
        cls,
        cf: Cloudflare | None,
        db: Database,
        hub: Hub,
        runner: Runner,
        plans: Plans,
        uses: Uses,
        clock: Clock,
        settings: PortalSettings,
        *,
        edge_marker: Callable[[], str | None] = lambda: None,
    ) -> DnsRoom:
        """
        cf           None when no account is connected; the room then says which settings are missing
        edge_marker  see TimeMachine
        """
        machine = TimeMachine(db, hub, clock, edge_marker=edge_marker)
        zones = Zones(cf, machine, hub, clock, missing_settings=settings.cloudflare_missing)
        return cls(cf, zones, machine, ApplyJournal(db), runner, plans, uses, clock, settings)

    def begin(self) -> None:
        """Let records be planned. Before `runner.recover`."""
        subject = ZoneRecords(self._cf, self.zones, self._journal, self._runner, self._plans, self._clock)
        self._plans.register(APPLY, subject, timeout_s=TIMEOUT_S)

    async def close(self) -> None:
        await self.zones.close()

    @property
    def probes(self) -> Sequence[Probe]:
        connection = probes.ConnectionProbe(self.zones, self._clock)
        return (connection, probes.DriftProbe(self.zones, self.machine))

    @property
    def jobs(self) -> Sequence[Job]:
        if self._cf is None:
            return self.machine.jobs
        poll = Job("read dns", self._settings.dns_poll_s, self.zones.poll, POLL_TIMEOUT_S, is_at_start=True)
        forget = Job("forget old dns plans", 3_600, self._forget, 600)
        return (poll, forget, *self.machine.jobs)

    # -- looking ------------------------------------------------------------------------------------------------------

    async def overview(self) -> DnsOverview:
        states, drift, mail = await self.zones.all(), await self.machine.open_drift(), await self.mail_domains()
        unfinished = await self._unfinished() if self._cf is not None else []
        names = {state.zone.name for state in states}
        return DnsOverview(
            connection=self._connection(),
            zones=[self._zone(state, drift, mail) for state in states],
            drift=sum(count for zone, count in drift.items() if zone in names),
            unfinished=[unfinished_view(row) for row in unfinished],
        )

    async def records(self, zone: str, query: RecordQuery, *, offset: int, limit: int) -> RecordPage:
        """Raise NoSuchZone; a Cloudflare problem when nothing was ever known of it."""
        state = await self.zones.state(zone)
        drift, drifted = await self.machine.open_drift(), await self.machine.open_keys(zone)
        listing = state.listing
        keys = await asyncio.to_thread(listing.find, query, drifted=drifted)
        page = keys[offset : offset + limit]
        return RecordPage(
            zone=self._zone(state, drift, await self.mail_domains()),
            connection=self._connection(),
            records=[record_view(state.records[key], key) for key in page],
            matching=len(keys),
            total=len(state.records),
            types=listing.types,
            tags=listing.tags,
            drifted=[key for key in page if key in drifted],
        )

    async def record(self, zone: str, key: str) -> RecordDetail:
        """Raise NoSuchZone, NoSuchRecord."""
        state = await self.zones.state(zone)
        record = _of(state, key)
        found = await self._uses.of("record", f"{record['type']} {record['name']}")
        return RecordDetail(
            record=record_view(record, key),
            used_by=[UseView.of(use) for use in found.uses],
            silent_rooms=list(found.silent_rooms),
            last_change=await self.machine.last_change(zone, key),
            drift=await self.machine.drift_of(zone, key),
        )

    async def propagation(self, zone: str, key: str) -> Propagation:
        """Raise NoSuchZone, NoSuchRecord."""
        state = await self.zones.state(zone)
        record = _of(state, key)
        kind = record["type"], record["name"]
        same = [each for each in state.records.values() if (each["type"], each["name"]) == kind]
        return await self.propagate(zone, record, same)

    async def refresh(self, zone: str) -> ZoneView:
        """Raise NoSuchZone, or a Cloudflare problem."""
        state = await self.zones.read(zone)
        return self._zone(state, await self.machine.open_drift(), await self.mail_domains())

    async def check(self, zone: str, edit: Edit) -> CheckedRecord:
        """Raise NoSuchZone, NoSuchRecord."""
        state = await self.zones.state(zone)
        before = None if edit.key is None else value_of(_of(state, edit.key))
        others = [record for key, record in state.records.items() if key != edit.key]

        def checked() -> tuple[Value, list[Finding]]:
            return check(zone, draft_of(edit), before=before, others=Neighbours(others), limits=limits_of(state.plan))

        value, findings = await asyncio.to_thread(checked)
        return CheckedRecord(
            record=None if value is None else record_view(value, key_of(value)),
            problems=[problem_view(finding) for finding in findings],
        )

    async def export(self, zone: str, form: Format) -> Response:
        """Raise NoSuchZone, or a Cloudflare problem: half a zone is never exported."""
        state = await self.zones.read(zone)
        media_type, ending = _FILES[form]
        text = await asyncio.to_thread(imports.WRITERS[form], zone, list(state.records.values()))
        headers = {"Content-Disposition": f'attachment; filename="{zone}.{ending}"'}
        return Response(text, media_type=f"{media_type}; charset=utf-8", headers=headers)

    async def used_by(self, kind: str, name: str) -> Sequence[Use]:
        """The records that point at the host of a record, which is named "TYPE host". For `Uses`."""
        if kind != "record" or self._cf is None:
            return ()
        _, _, rest = name.partition(" ")
        host = rest.partition(" ")[0]
        states = await self.zones.all()
        return [
            Use("dns", "record", f"{record['type']} {record['name']}", "points-at")
            for state in states
            for record in state.by_target.get(host, ())
        ]

    # -- plans --------------------------------------------------------------------------------------------------------

    async def plan_edits(self, actor: Actor, zone: str, wanted: NewDnsPlan) -> DnsPlan:
        """Raise NoSuchZone, NoSuchRecord, RecordLocked, RecordInvalid, or a Cloudflare problem."""
        state = await self.zones.read(zone)  # values built on what was last known would undo what others did since
        wish = await asyncio.to_thread(wish_of, zone, state.records, wanted.edits, plan=state.plan)
        return await self.plan_wish(actor, zone, wish, state)

    async def plan_import(self, actor: Actor, zone: str, wanted: ImportZone) -> DnsPlan:
        """Raise NoSuchZone, ImportInvalid, or a Cloudflare problem."""
        state = await self.zones.read(zone)
        is_replacing = wanted.mode == "replace"
        limits = limits_of(state.plan)

        def read() -> imports.Import:
            present, values = state.records, state.values
            return imports.read(
                zone, wanted.format, wanted.text, present, replace=is_replacing, values=values, limits=limits
            )

        found = await asyncio.to_thread(read)
        errors = [finding for finding in found.findings if finding.severity == "error"]
        if errors and is_replacing:
            told = [described(finding) for finding in errors[:MAX_TOLD]]
            raise ImportInvalid(f"{len(errors)} lines can't be read", problems=told)
        return await self.plan_wish(actor, zone, found.wish, state, skipped=found.findings)

    async def plan_rollback(self, actor: Actor, zone: str, wanted: Rollback) -> DnsPlan:
        """Raise NoSuchZone, NoSuchSnapshot, or a Cloudflare problem."""
        state = await self.zones.read(zone)
        wish = await self.machine.rollback_wish(zone, wanted.snapshot_id, wanted.keys, state.records)
        return await self.plan_wish(actor, zone, wish, state)

    async def plan_drift(self, actor: Actor, zone: str, wanted: RevertDrift) -> DnsPlan:
        """Raise NoSuchZone, NoSuchDrift, or a Cloudflare problem."""
        state = await self.zones.read(zone)
        wish = await self.machine.drift_wish(zone, wanted.drift_ids, state.records)
        return await self.plan_wish(actor, zone, wish, state)

    async def plan_unfinished(
        self, actor: Actor, zone: str, operation_id: str, way: Literal["finish", "revert"]
    ) -> DnsPlan:
        """Raise NothingUnfinished, PlanNotFound, or a Cloudflare problem."""
        rows = [row for row in await self._unfinished() if row.operation_id == operation_id and row.zone == zone]
        if not rows:
            raise NothingUnfinished(f"{zone} has nothing half applied by operation {operation_id}")
        plan = await self._get(zone, rows[0].plan_id)
        ends = {change.name: change.after if way == "finish" else change.before for change in plan.changes}
        return await self.plan_wish(actor, zone, ends)

    async def plan_wish(
        self,
        actor: Actor,
        zone: str,
        wish: Mapping[str, Value],
        state: ZoneState | None = None,
        *,
        skipped: Sequence[Finding] = (),
    ) -> DnsPlan:
        """Plan a wish: record key -> value as of records.value_of, or None to be gone.

        state     the zone as it was just read, which the wish was made from; None: it is read
        skipped   what was left out of the wish, to be shown with the plan
        raises    NoSuchZone, or a Cloudflare problem
        """
        present = None if state is None else values_at(state, wish)
        return await self._view(await self._plans.plan(actor, APPLY, zone, wish, present=present), skipped=skipped)

    async def read_plan(self, zone: str, plan_id: str) -> DnsPlan:
        """Raise PlanNotFound, NoSuchZone."""
        return await self._view(await self._get(zone, plan_id))

    async def apply(
        self, actor: Actor, zone: str, plan_id: str, wanted: ApplyDnsPlan, confirm: Callable[[], None]
    ) -> OperationView:
        """Begin to do what was planned.

        confirm   raises unless whoever asks may remove records, or change several, now
        raises    what `confirm` raises, PlanNotFound, PlanApplied, PlanStale, TargetBusy, or a Cloudflare problem
        """
        plan = await self._get(zone, plan_id)
        if await asyncio.to_thread(needs_step_up, plan.changes):
            confirm()
        try:
            return OperationView.of(await self._plans.apply(actor, APPLY, plan_id, how={"reason": wanted.reason}))
        except PlanStale as stale:
            raise await self._stale(stale) from stale

    async def undo(self, actor: Actor, zone: str, plan_id: str) -> DnsPlan:
        """Plan the way back. Raise PlanNotFound, PlanNotApplied, PlanStale, or a Cloudflare problem."""
        plan = await self._get(zone, plan_id)
        try:
            return await self._view(await self._plans.undo(actor, APPLY, plan_id))
        except PlanStale as stale:
            records = (await self.zones.state(zone)).records
            if await asyncio.to_thread(are_there, plan.changes, records):
                return await self._view(stale.plan)  # only spelled otherwise than it was sent
            raise await self._stale(stale) from stale

    # -- time machine -------------------------------------------------------------------------------------------------

    async def snapshots(self, zone: str, *, before: str | None, limit: int) -> SnapshotList:
        return await self.machine.snapshots(zone, before=before, limit=limit)

    async def take_snapshot(self, zone: str) -> SnapshotView:
        """Raise NoSuchZone, or a Cloudflare problem."""
        state = await self.zones.read(zone)
        assert state.read_at is not None
        return await self.machine.keep(zone, state.reading.sight, reason="asked", operation_id=None, at=state.read_at)

    async def difference(self, zone: str, from_id: str, to_id: str) -> ZoneDifference:
        """Raise NoSuchZone, NoSuchSnapshot; a Cloudflare problem when nothing was ever known of the zone."""
        state = await self.zones.state(zone)
        assert state.read_at is not None
        return await self.machine.difference(zone, from_id, to_id, present=state.records, read_at=state.read_at)

    async def drift(self, zone: str, state: Literal["open", "all"]) -> DriftList:
        return await self.machine.drift(zone, state)

    async def accept_drift(self, actor: Actor, zone: str, wanted: AcceptDrift) -> DriftList:
        """Raise NoSuchDrift."""
        return await self.machine.accept(actor, zone, wanted.drift_ids)

    # -- within -------------------------------------------------------------------------------------------------------

    async def _get(self, zone: str, plan_id: str) -> Plan:
        """Raise PlanNotFound: also for a plan of another zone, for which whoever asks may lack the permission."""
        plan = await self._plans.get(APPLY, plan_id)
        if plan.target != zone:
            raise PlanNotFound(f"{zone} has no plan of this id")
        return plan

    async def _view(self, plan: Plan, *, skipped: Sequence[Finding] = ()) -> DnsPlan:
        state = await self.zones.state(plan.target)
        pairs = await asyncio.to_thread(paired, plan.changes)
        names = suffering(pairs)
        found = dict(zip(names, await asyncio.gather(*(self._uses.of("record", name) for name in names)), strict=True))

        def view() -> DnsPlan:
            warned = warnings(plan.target, plan.changes, pairs, state.records, state.plan)
            return plan_view(plan, pairs, uses=found, warned=warned, zone_plan=state.plan, skipped=skipped)

        return await asyncio.to_thread(view)

    async def _stale(self, stale: PlanStale) -> PlanStale:
        """The same problem, with the new plan as this room shows it."""
        stale.extensions["plan"] = (await self._view(stale.plan)).model_dump(mode="json")
        return stale

    async def _unfinished(self) -> list[ApplyRow]:
        """Plans that are half applied. One that was finished or reverted meanwhile is noted as that."""
        running = await self._runner.find(Filter(act=APPLY, state=State.RUNNING), limit=200)
        left = []
        for row in await self._journal.unfinished(running={operation.id for operation in running}):
            end = await self._end_of(row)
            if end is None:
                left.append(row)
            else:
                await self._journal.settle(row.zone, row.operation_id, end)
        return left

    async def _end_of(self, row: ApplyRow) -> Literal["done", "reverted"] | None:
        state = next((state for state in await self.zones.all() if state.zone.name == row.zone), None)
        if state is None or state.read_at is None or state.read_at <= row.since or state.error is not None:
            return None
        try:
            changes = (await self._get(row.zone, row.plan_id)).changes
        except PlanNotFound:
            return None
        return await asyncio.to_thread(end_of, changes, state.records)

    async def _forget(self) -> None:
        await self._journal.purge(now_utc(self._clock))

    def _connection(self) -> Connection:
        return Connection(**self.zones.connection.view())

    def _zone(self, state: ZoneState, drift: Mapping[str, int], mail_domains: Collection[str]) -> ZoneView:
        name = state.zone.name
        return zone_view(
            state,
            now=now_utc(self._clock),
            stale_s=STALE_AFTER * self._settings.dns_poll_s,
            drift=drift.get(name, 0),
            is_mail_domain=name in mail_domains,
        )


def _of(state: ZoneState, key: str) -> Json:
    if key not in state.records:
        raise NoSuchRecord(f"the zone has no record {key!r}")
    return state.records[key]
