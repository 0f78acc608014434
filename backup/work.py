"""What the portal asks for, done: one request after the other, each a run of its own."""

from __future__ import annotations

import time
from collections.abc import Callable

from backup import catalog, checks, make_point, pipeline, requests, restore
from backup.exit_codes import BackupError, ExitCode, LockBusy, RestoreRefused, WrongUsage
from backup.file_journal import INTERRUPTED, INTERRUPTED_MEANING
from backup.house import House
from backup.journal import Silent
from backup.make_point import Asked
from backup.points import PointId, PointKind
from backup.requests import Refused, Request, Unit
from backup.restore.model import Context, RestoreRequest
from backup.runs import End, Run, end_journal, is_alive
from kit.clock import now_utc

POLL_S = 10.0
_INTERRUPTED = (INTERRUPTED, INTERRUPTED_MEANING, "its process was killed, or the power failed, before it was done")


def serve(
    house: House, unit: Unit, *, poll_for_s: float = 0.0, sleep: Callable[[float], None] = time.sleep
) -> list[End]:
    """Do what is asked for, and look again every 10 s until the time is over. Two at once: the later one leaves.

    poll_for_s  0: one look
    returns     how each run ended; a refused request counts as one
    """
    house.layout.require()
    give_up = house.clock.monotonic() + poll_for_s
    try:
        with house.hold(f"requests-{unit}", f"requests --unit {unit}", Silent(), wait_s=0):
            inbox = requests.Inbox(house.layout, unit)
            try:
                ends: list[End] = []
                _end_left_over(house, inbox)
                while True:
                    ends += _one_pass(house, inbox)
                    if _is_told_to_end(ends) or house.clock.monotonic() + POLL_S > give_up:
                        return ends
                    sleep(POLL_S)
            finally:
                inbox.close()
    except LockBusy:
        return []  # another is at it, and sees what comes


def _one_pass(house: House, inbox: requests.Inbox) -> list[End]:
    ends = []
    inbox.sweep()
    for taken in inbox.take():
        ends.append(_refuse(house, taken) if isinstance(taken, Refused) else _do(house, taken))
        inbox.done(taken.id)
        if _is_told_to_end(ends):
            break  # what is not taken yet waits for the next start
    return ends


def _is_told_to_end(ends: list[End]) -> bool:
    return bool(ends) and ends[-1].exit_code == INTERRUPTED


def _do(house: House, request: Request) -> End:
    house = house.with_listed_sites()
    try:
        known = catalog.read(house.layout.catalog)
        requests.check(request, known, lambda point, asset: house.folders(point, asset.kind, asset.name))
    except (OSError, ValueError) as error:
        return _refuse(
            house, Refused(request.id, request.act, f"there is no catalog to hold it against: {error}", ExitCode.USAGE)
        )
    except requests.NotOne as error:
        return _refuse(house, Refused(request.id, request.act, str(error), requests.refusal(request.act)))
    if (house.layout.runs / f"{request.id}.jsonl").exists():
        return End(request.id, int(ExitCode.USAGE), ExitCode.USAGE.meaning, "this id was used before", {})
    try:
        return house.conductor.conduct(
            request.act, request.by, lambda work: perform(house, request, work), run=request.id
        )
    except Exception as bug:  # told already; the next request is not to suffer for it
        return End(request.id, int(ExitCode.BUG), ExitCode.BUG.meaning, f"{type(bug).__name__}: {bug}", {})


def perform(house: House, request: Request, work: Run) -> None:
    match request:
        case requests.Run():
            pipeline.run(house, Asked(PointKind.MANUAL, request.scope), work)
        case requests.Verify():
            checks.verify_points(house, work, [PointId.parse(request.point)])
        case requests.Drill():
            checks.run_drills(house, work, context(house, work), _drilled(request.asset), "local")
        case requests.VaultDrill():
            checks.run_drills(house, work, context(house, work), _drilled(request.asset), "vault")
        case requests.Preview():
            preview(house, asked_of(request), work)
        case requests.Restore():
            if request.where == "in-place" and request.confirm != request.point:
                raise RestoreRefused("a restore in place needs the point's id, typed again. Nothing was changed")
            apply(house, asked_of(request), work, plan_sha256=request.plan)


def _drilled(asset: requests.Asset | None) -> tuple[str, str] | None:
    return None if asset is None else (asset.kind, asset.name)


def preview(house: House, asked: RestoreRequest, work: Run) -> None:
    work.journal.step("plan", point=str(asked.point))
    work.result = restore.plan(asked, context(house, work)).document()


def apply(house: House, asked: RestoreRequest, work: Run, *, plan_sha256: str | None = None) -> None:
    """Look, and restore; when a preview is named, only if the world is still what it saw."""
    within = context(house, work)
    work.journal.step("plan", point=str(asked.point))
    plan = restore.plan(asked, within)
    if plan_sha256 is not None and plan.sha256 != plan_sha256:
        raise RestoreRefused(
            f"the world has changed since the preview: now {plan.adds} would be added, {plan.overwrites} overwritten,"
            f" {plan.deletes} deleted. Nothing was changed; look at a new preview"
        )
    report = restore.apply(plan, within)
    work.result = report.document()
    work.summary = f"{asked.asset} of {asked.point}: {report.files} files to {report.target}"


def context(house: House, work: Run) -> Context:
    return Context(
        settings=house.settings,
        verifier=house.verifier(),
        journal=work.journal,
        clock=house.clock,
        run_id=work.id,
        safety_copy=lambda kind, name: make_point.safety_copy(house, work.journal, kind, name),
        store=lambda: house.store("restorer"),
        lock_wait_s=house.wait_s,
        bytes_per_s=checks.drilled_bytes_per_s(house),
    )


def asked_of(request: requests.Preview | requests.Restore) -> RestoreRequest:
    return RestoreRequest(
        point=PointId.parse(request.point),
        asset_kind=request.asset.kind,
        asset_name=request.asset.name,
        folder=request.folder,
        origin=request.origin,
        where=request.where,
    )


def _refuse(house: House, refused: Refused) -> End:
    """A refused request ends at once: its journal begins and ends, and the list of runs has it."""

    def refuse(_: Run) -> None:
        error: type[BackupError] = RestoreRefused if refused.code is ExitCode.RESTORE_REFUSED else WrongUsage
        raise error(f"the request was refused: {refused.reason}. Nothing was changed")

    if (house.layout.runs / f"{refused.id}.jsonl").exists():
        return End(refused.id, int(ExitCode.USAGE), ExitCode.USAGE.meaning, "this id was used before", {})
    return house.conductor.conduct(refused.act, "portal", refuse, run=refused.id)


def _end_left_over(house: House, inbox: requests.Inbox) -> None:
    """What a crash has left in `taken/`: nothing is run twice, its run has ended."""
    facts = house.facts()
    for run in inbox.left_over():
        journal = house.layout.runs / f"{run}.jsonl"
        if not journal.exists():
            end_journal(journal, house.clock, *_INTERRUPTED)
        elif not is_alive(journal):
            facts_run = next((each for each in facts.runs() if each.id == run), None)
            if facts_run is None or facts_run.ended_at is None:
                facts.run_ended(run, now_utc(house.clock), *_INTERRUPTED)
                end_journal(journal, house.clock, *_INTERRUPTED)
        inbox.done(run)
