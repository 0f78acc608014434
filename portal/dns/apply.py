"""A zone's records as something that is planned, applied and taken back (portal/operations/plans.py).

The target is the zone, a name is a record's key (records.key_of), a value what can be written back (records.value_of).

Applying is one transaction at Cloudflare as long as the plan fits into one. With more, a journal says how far it has
come; when one fails, those before it are put back, newest first. Where that fails too, where the operation is cancelled
or the process dies, the plan stays unfinished: its zone's page shows it, and it can be finished or reverted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NoReturn

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal.dns.batches import Batch, are_there, end_of, limit_of, plan_batches
from portal.dns.journal import ApplyJournal, State
from portal.dns.problems import DnsApplyReverted, DnsApplyUnfinished, DnsChangeRefused
from portal.dns.records.values import keyed, value_of
from portal.dns.zones import Zones, ZoneState
from portal.integrations.cloudflare import (
    Cloudflare,
    CloudflareError,
    Conflict,
    NotFound,
    Upstream,
    Zone,
    is_in_doubt,
    telling,
)
from portal.integrations.cloudflare_problems import as_problem
from portal.integrations.records import Json
from portal.operations.plans import Change, Order, PlanNotFound, Plans, Value
from portal.operations.progress import Progress
from portal.operations.runner import Runner

log = get_logger()

APPLY = "dns:apply"
TIMEOUT_S = 1800.0  # ten thousand records in batches of 200, with waits for the rate


class ZoneRecords:
    """Implements plans.Subject."""

    def __init__(
        self,
        cf: Cloudflare | None,
        zones: Zones,
        journal: ApplyJournal,
        runner: Runner,
        plans: Plans,
        clock: Clock,
    ) -> None:
        self._cf, self._zones, self._journal, self._clock = cf, zones, journal, clock
        self._runner, self._plans = runner, plans

    async def look(self, target: str, names: Sequence[str]) -> Mapping[str, Value]:
        """Raise NoSuchZone, or a Cloudflare problem."""
        return values_at(await self._zones.read(target), names)

    async def put(self, order: Order, progress: Progress) -> Mapping[str, Any]:
        """
        returns   how many records were made, changed and removed, in how many transactions
        raises    DnsChangeRefused, a Cloudflare problem: nothing was changed, as far as can be seen; DnsApplyReverted;
                  DnsApplyUnfinished
        """
        with telling(progress.note):
            keys = [change.name for change in order.changes]
            async with self._zones.changing(order.target, progress.operation_id, keys=keys) as state:
                await asyncio.to_thread(_check, order.changes, state.records)
                batches = await _batches(order.changes, state.records, limit_of(state.plan))
                if len(batches) == 1:
                    await self._put_whole(state.zone, batches[0])
                elif batches:
                    await self._put_in_parts(order, state.zone, batches, limit_of(state.plan), progress)
                progress.at(len(batches), len(batches))
                await self._settle_others(order, state.records, progress.operation_id)
        return {
            "created": sum(len(batch.posts) for batch in batches),
            "changed": sum(len(batch.puts) for batch in batches),
            "deleted": sum(len(batch.deletes) for batch in batches),
            "batches": len(batches),
        }

    async def _settle_others(self, order: Order, before: Mapping[str, Json], operation_id: str) -> None:
        """Note which half applied plans of the zone this one has finished or reverted.

        Now, because whatever is changed next would hide it.
        """
        changed: dict[str, Value] = {change.name: change.after for change in order.changes}

        def end(changes: Sequence[Change]) -> Literal["done", "reverted"] | None:
            after = {key: record for key, record in {**before, **changed}.items() if record is not None}
            return end_of(changes, after)

        try:
            for row in await self._journal.unfinished(running={operation_id}):
                changes = await self._changes_of(row.plan_id) if row.zone == order.target else None
                if changes is not None and (ended := await asyncio.to_thread(end, changes)):
                    await self._journal.settle(row.zone, row.operation_id, ended)
        except Problem as problem:  # the change itself has come about
            log.warning("dns_journal_not_settled", zone=order.target, error=problem.type)

    async def _changes_of(self, plan_id: str) -> Sequence[Change] | None:
        """None for a plan that is kept no more."""
        try:
            return (await self._plans.get(APPLY, plan_id)).changes
        except PlanNotFound:
            return None

    async def _put_whole(self, zone: Zone, batch: Batch) -> None:
        try:
            await self._send(zone, batch)
        except CloudflareError as error:
            raise _refused(error) from error

    async def _put_in_parts(
        self, order: Order, zone: Zone, batches: Sequence[Batch], limit: int, progress: Progress
    ) -> None:
        operation_id = progress.operation_id
        operation = await self._runner.get(operation_id)
        await self._journal.begin(
            operation_id,
            plan_id=(operation.inverse.plan_id if operation.inverse else None) or "",
            zone=order.target,
            batches=len(batches),
            changes=len(order.changes),
            at=now_utc(self._clock),
        )
        done = 0
        try:
            for done, batch in enumerate(batches):
                progress.note(f"transaction {done + 1} of {len(batches)}: {len(batch)} records")
                progress.at(done, len(batches))
                try:
                    await self._send(zone, batch)
                except CloudflareError as error:
                    await self._put_back(zone, batches[: done + 1], error, limit, progress)
                await self._note(operation_id, done=done + 1)
        except Problem:  # what `_put_back` says, and has noted
            raise
        except Exception as error:  # a defect, after which nobody knows enough to put anything back
            why = f"transaction {done + 1} ended unexpectedly: {type(error).__name__}"
            await self._note(operation_id, done=done, state="open", detail=why)
            raise
        await self._note(operation_id, done=len(batches), state="done")

    async def _put_back(
        self, zone: Zone, batches: Sequence[Batch], error: CloudflareError, limit: int, progress: Progress
    ) -> None:
        """Take back what of these has come about, and raise. The last one failed, but may have come about."""
        operation_id, done = progress.operation_id, len(batches) - 1
        failed = f"transaction {len(batches)} failed: {error}"
        progress.note(failed)
        left = done
        try:
            for batch in reversed(batches):
                present = await self._present(zone)
                changes = await asyncio.to_thread(_left_of, batch, present, is_sure=batch is not batches[-1])
                for back in await _batches(changes, present, limit):
                    progress.note(f"putting {len(back)} records back")
                    await self._send(zone, back)
                left = min(left, batches.index(batch))
            if is_in_doubt(error) and not await self._are_there(batches[-1].inverse(), zone):
                await self._stay_open(f"{failed}; it was carried out later all the same", left, operation_id)
        except CloudflareError as again:
            await self._stay_open(f"{failed}; putting back what was done failed too: {again}", left, operation_id)
        except KeyError as missing:
            name = str(missing.args[0]).rpartition(" ")[0]
            why = f"{name!r} was changed or removed by somebody else"
            await self._stay_open(f"{failed}; putting back what was done failed too: {why}", left, operation_id)
        if done == 0:
            await self._note(operation_id, done=0, state="reverted", detail=failed)
            raise _refused(error) from error
        await self._note(operation_id, done=0, state="reverted", detail=failed)
        raise DnsApplyReverted(failed) from error

    async def _stay_open(self, detail: str, done: int, operation_id: str) -> NoReturn:
        await self._note(operation_id, done=done, state="open", detail=detail)
        raise DnsApplyUnfinished(detail, operation=operation_id)

    async def _note(self, operation_id: str, *, done: int, state: State = "running", detail: str = "") -> None:
        """Write the journal, if the database lets us. What is at Cloudflare is so whatever is noted of it: a row that
        lags behind is compared with the zone, and settled, when it is read next."""
        try:
            await self._journal.note(operation_id, done=done, state=state, detail=detail)
        except Problem as problem:
            log.warning("dns_journal_not_written", operation=operation_id, done=done, state=state, error=problem.type)

    async def _send(self, zone: Zone, batch: Batch) -> None:
        """One transaction. Raise CloudflareError; then it has not happened, as far as anybody could see."""

        async def settled() -> bool | None:
            return await self._are_there(batch.changes, zone) or None

        assert self._cf is not None  # or `changing` had refused
        await self._cf.change("dns.records.batch", zone=zone, settled=settled, **batch.body())

    async def _are_there(self, changes: Sequence[Change], zone: Zone) -> bool:
        return await asyncio.to_thread(are_there, changes, await self._present(zone))

    async def _present(self, zone: Zone) -> dict[str, Json]:
        assert self._cf is not None
        return await asyncio.to_thread(keyed, await self._cf.records(zone))


def values_at(state: ZoneState, names: Iterable[str]) -> dict[str, Value]:
    """What of the records of these keys can be written back; those that are not there are left out."""
    values = state.values
    return {name: values[name] for name in names if name in values}


async def _batches(changes: Sequence[Change], present: Mapping[str, Json], limit: int) -> list[Batch]:
    """As plan_batches, in a thread."""
    return await asyncio.to_thread(plan_batches, changes, present, limit=limit)


def _left_of(batch: Batch, present: Mapping[str, Json], *, is_sure: bool) -> list[Change]:
    """What takes a batch back, but for what is so already. is_sure: it has come about; else that is looked at."""
    if not is_sure and not are_there(batch.changes, present):
        return []
    return [each for each in batch.inverse() if _value(present.get(each.name)) != each.after]


def _check(changes: Sequence[Change], present: Mapping[str, Json]) -> None:
    """The last look before the first change. `Plans` looked a moment ago, and shows the new plan when asked again."""
    if any(_value(present.get(change.name)) != change.before for change in changes):
        raise DnsChangeRefused("nothing was applied: the zone was changed at this very moment")


def _value(record: Json | None) -> Value:
    return None if record is None else value_of(record)


def _refused(error: CloudflareError) -> Problem:
    """What a transaction that did not come about is called."""
    is_about_it = isinstance(error, Conflict | NotFound) or (isinstance(error, Upstream) and not error.is_in_doubt)
    return DnsChangeRefused(f"nothing was applied: {error}") if is_about_it else as_problem(error)
