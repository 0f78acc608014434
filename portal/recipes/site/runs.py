"""What is written of a run before and after each of its steps: enough to finish it, or to take it back, after a crash.

    run = await runs.begin(operation_id, "add", "garden", asked, passwords)
    await runs.step(run.id, 1, "database", "begun")
    await runs.note(run.id, "route", {"plan": plan.id})       # before what it names is made
    await runs.close(run.id, "done")

A run that is open while no operation works on it is unfinished. What is begun may have come about or not; nobody
guesses, so whoever goes on takes it back first and does it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from portal.auth.sealing import Seal
from portal.db import Database
from portal.operations.plans import KEPT_DAYS
from portal.recipes.site.models import SitePlanRow, SiteRunRow, SiteStepRow

MAX_TROUBLE = 2000  # characters

StepDone = Literal["begun", "done", "undoing", "undone"]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """How far one step is, and what it made."""

    state: StepDone
    made: Json


@dataclass(frozen=True, slots=True)
class Run:
    """
    id          of the operation that began it
    asked       an AddSite, ImportSite or RemoveSite, as JSON
    operation   the one that works on it, or has last
    steps       those that were begun, by name
    """

    id: str
    act: str
    site: str
    asked: Json
    state: str
    operation: str
    trouble: str
    began_at: datetime
    steps: Mapping[str, Done]


class Runs:
    def __init__(self, database: Database, clock: Clock, seal: Seal) -> None:
        self._database, self._clock, self._seal = database, clock, seal

    # -- runs ---------------------------------------------------------------------------------------------------------

    async def begin(self, run_id: str, act: str, site: str, asked: Json, passwords: Mapping[str, str]) -> Run:
        row = SiteRunRow(
            id=run_id,
            act=act,
            site=site,
            asked=json.dumps(asked),
            sealed=self._seal.seal(json.dumps(dict(passwords)), _context(run_id)),
            state="open",
            operation=run_id,
            trouble="",
            began_at=now_utc(self._clock),
            closed_at=None,
        )
        await self._database.run(lambda session: session.add(row))
        return await self._get(run_id)

    async def get(self, run_id: str) -> Run | None:
        return await self._database.read(lambda session: _run(session, run_id))

    async def open(self) -> list[Run]:
        """Return the runs that are not closed, the oldest first."""
        wanted = select(SiteRunRow.id).where(SiteRunRow.state == "open").order_by(SiteRunRow.id)
        return await self._database.read(
            lambda session: [run for each in session.scalars(wanted) if (run := _run(session, each)) is not None]
        )

    async def passwords(self, run_id: str) -> dict[str, str]:
        """Those that were drawn at its beginning. Raise SealBroken when the portal's key is another one now."""

        def sealed(session: Session) -> str:
            return session.get_one(SiteRunRow, run_id).sealed or ""

        found: dict[str, str] = json.loads(self._seal.open(await self._database.read(sealed), _context(run_id)))
        return found

    async def take(self, run_id: str, operation_id: str) -> Run:
        """Note which operation goes on with it."""
        await self._change(run_id, operation=operation_id, trouble="")
        return await self._get(run_id)

    async def stopped(self, run_id: str, trouble: str) -> None:
        """Note what keeps it from its end."""
        await self._change(run_id, trouble=trouble[:MAX_TROUBLE])

    async def close(self, run_id: str, state: Literal["done", "reverted"]) -> None:
        """The passwords that were drawn are not kept any longer."""
        await self._change(run_id, state=state, sealed=None, closed_at=now_utc(self._clock))

    async def _get(self, run_id: str) -> Run:
        found = await self.get(run_id)
        assert found is not None
        return found

    async def _change(self, run_id: str, **columns: Any) -> None:
        def write(session: Session) -> None:
            row = session.get_one(SiteRunRow, run_id)
            for name, value in columns.items():
                setattr(row, name, value)

        await self._database.run(write)

    # -- their steps --------------------------------------------------------------------------------------------------

    async def step(self, run_id: str, number: int, name: str, state: StepDone) -> None:
        """Note where a step is. Beginning forgets what a former try had made."""
        now = now_utc(self._clock)

        def write(session: Session) -> None:
            row = session.get(SiteStepRow, (run_id, name))
            if row is None:
                row = SiteStepRow(run=run_id, name=name, number=number, made="{}")
                session.add(row)
            row.state, row.changed_at = state, now
            if state == "begun":
                row.made = "{}"

        await self._database.run(write)

    async def note(self, run_id: str, name: str, made: Mapping[str, Any]) -> None:
        """Add to what a step that has begun makes."""

        def write(session: Session) -> None:
            row = session.get_one(SiteStepRow, (run_id, name))
            row.made = json.dumps(json.loads(row.made) | dict(made))

        await self._database.run(write)

    # -- plans --------------------------------------------------------------------------------------------------------

    async def keep_plan(self, plan_id: str, asked: Json, shown: Json) -> None:
        """Beside it, forget what nobody looks at any more."""
        now = now_utc(self._clock)

        def write(session: Session) -> None:
            session.execute(delete(SitePlanRow).where(SitePlanRow.created_at < now - timedelta(days=KEPT_DAYS)))
            row = SitePlanRow(plan_id=plan_id, asked=json.dumps(asked), shown=json.dumps(shown), created_at=now)
            session.add(row)

        await self._database.run(write)

    async def plan(self, plan_id: str) -> tuple[Json, Json] | None:
        """What was asked, and what was shown."""
        row = await self._database.read(lambda session: session.get(SitePlanRow, plan_id))
        return (json.loads(row.asked), json.loads(row.shown)) if row is not None else None


def _run(session: Session, run_id: str) -> Run | None:
    row = session.get(SiteRunRow, run_id)
    if row is None:
        return None
    steps: Sequence[SiteStepRow] = session.scalars(
        select(SiteStepRow).where(SiteStepRow.run == run_id).order_by(SiteStepRow.number)
    ).all()
    return Run(
        id=row.id,
        act=row.act,
        site=row.site,
        asked=json.loads(row.asked),
        state=row.state,
        operation=row.operation,
        trouble=row.trouble,
        began_at=row.began_at,
        steps={step.name: Done(step.state, json.loads(step.made)) for step in steps},  # type: ignore[arg-type]
    )


def _context(run_id: str) -> str:
    return f"site run {run_id}"
