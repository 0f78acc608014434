"""The portal's periodic jobs: one table, each line a name, an interval and what to do.

    scheduler = Scheduler([Job("operations-purge", every_s=86_400, work=purge, timeout_s=60)], clock)
    task = asyncio.create_task(scheduler.run())

A job never runs twice at once, and never keeps another from running. Whatever it raises is logged and shown, and it
runs again at its next time. What was missed while the machine slept is done once. Jobs that must run when the portal
is down are not here: they are systemd's or cron's.

Nothing is remembered over a restart: a job with `is_at_start` runs at once, the others after their first interval.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from kit.clock import Clock, now_utc
from kit.logging import get_logger

log = get_logger()

Wait = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Job:
    """
    every_s      from the beginning of one run to the beginning of the next
    work         does it; what it does to the world is an operation, which it starts like anybody else
    timeout_s    after which a run is cancelled
    is_at_start  whether the first run is at once
    """

    name: str
    every_s: float
    work: Callable[[], Awaitable[object]]
    timeout_s: float
    is_at_start: bool = False

    def __post_init__(self) -> None:
        if self.every_s <= 0 or self.timeout_s <= 0:
            raise ValueError(f"{self.name}: an interval and a time limit are positive")


@dataclass(frozen=True, slots=True)
class Run:
    """A job's last run; `error` is the name of what it raised, "" when it went well."""

    began_at: datetime
    seconds: float
    error: str


@dataclass(frozen=True, slots=True)
class JobReport:
    """One line of the table as it stands: `next_at` is None while the job runs."""

    name: str
    every_s: float
    is_running: bool
    last: Run | None
    next_at: datetime | None


class Scheduler:
    def __init__(self, jobs: Sequence[Job], clock: Clock, *, wait: Wait = asyncio.sleep) -> None:
        names = [job.name for job in jobs]
        if len(set(names)) != len(names):
            raise ValueError("two jobs of one name")
        self._jobs = tuple(jobs)
        self._clock = clock
        self._wait = wait
        self._last: dict[str, Run] = {}
        self._next_at: dict[str, datetime | None] = dict.fromkeys(names)
        self._running: set[str] = set()

    async def run(self) -> None:
        """Run the table until cancelled. Returns at once when it is empty."""
        async with asyncio.TaskGroup() as group:
            for job in self._jobs:
                group.create_task(self._repeat(job))

    def report(self) -> list[JobReport]:
        return [
            JobReport(
                job.name, job.every_s, job.name in self._running, self._last.get(job.name), self._next_at[job.name]
            )
            for job in self._jobs
        ]

    async def _repeat(self, job: Job) -> None:
        due = self._clock.monotonic() + (0.0 if job.is_at_start else job.every_s)
        while True:
            while (left_s := due - self._clock.monotonic()) > 0:
                self._next_at[job.name] = now_utc(self._clock) + timedelta(seconds=left_s)
                await self._wait(left_s)
            self._next_at[job.name] = None
            await self._run(job)
            missed = max(0.0, self._clock.monotonic() - due) // job.every_s
            due += (missed + 1) * job.every_s

    async def _run(self, job: Job) -> None:
        began_at, began = now_utc(self._clock), self._clock.monotonic()
        self._running.add(job.name)
        limit = asyncio.timeout(job.timeout_s)
        error = ""
        with structlog.contextvars.bound_contextvars(request_id=f"{job.name}-{secrets.token_hex(4)}"):
            try:
                async with limit:
                    await job.work()
            except BaseException as raised:  # SystemExit too: a job may end itself, not the portal
                task = asyncio.current_task()
                if isinstance(raised, asyncio.CancelledError) and task is not None and task.cancelling():
                    raise
                error = type(raised).__name__
                if limit.expired():
                    log.warning("job_timed_out", job=job.name, timeout_s=job.timeout_s)
                else:
                    log.error("job_failed", job=job.name, exc_info=raised)
            finally:
                self._running.discard(job.name)
        self._last[job.name] = Run(began_at, self._clock.monotonic() - began, error)
