"""How far plans of several transactions have come at Cloudflare, so that what stays half done is known and mended.

A row is written before the first transaction and after each one. Whatever its state says, a row whose operation runs no
more and whose end was not written is unfinished: the process died, or putting back failed too.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from portal.db import Database
from portal.dns.models import ApplyRow

KEPT_DAYS = 90  # as long as the plan
MAX_DETAIL = 500

State = Literal["running", "done", "reverted", "open"]


class ApplyJournal:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def begin(
        self, operation_id: str, *, plan_id: str, zone: str, batches: int, changes: int, at: datetime
    ) -> None:
        row = ApplyRow(
            operation_id=operation_id,
            plan_id=plan_id,
            zone=zone,
            batches_done=0,
            batches=batches,
            changes=changes,
            state="running",
            detail="",
            since=at,
        )
        await self._db.run(lambda session: session.add(row))

    async def note(self, operation_id: str, *, done: int, state: State = "running", detail: str = "") -> None:
        """So many of its batches are at Cloudflare now."""
        values = {"batches_done": done, "state": state, "detail": detail[:MAX_DETAIL]}
        await self._db.run(
            lambda session: session.execute(
                update(ApplyRow).where(ApplyRow.operation_id == operation_id).values(**values)
            )
        )

    async def unfinished(self, *, running: Collection[str]) -> list[ApplyRow]:
        """Those that ended half done, oldest first. running: operations that are at work just now."""

        def find(session: Session) -> list[ApplyRow]:
            wanted = select(ApplyRow).where(ApplyRow.state.in_(("running", "open"))).order_by(ApplyRow.operation_id)
            return [row for row in session.scalars(wanted) if row.operation_id not in running]

        return await self._db.read(find)

    async def settle(self, zone: str, operation_id: str, state: Literal["done", "reverted"]) -> None:
        """It was finished or reverted by another plan, or somebody else."""
        await self._db.run(
            lambda session: session.execute(
                update(ApplyRow).where(ApplyRow.zone == zone, ApplyRow.operation_id == operation_id).values(state=state)
            )
        )

    async def purge(self, now: datetime) -> None:
        before = now - timedelta(days=KEPT_DAYS)
        await self._db.run(lambda session: session.execute(delete(ApplyRow).where(ApplyRow.since < before)))
