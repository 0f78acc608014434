"""What both processes show of themselves: readiness checks, queue figures, and the listener that serves them.

The metrics listener has /livez, /readyz and /metrics. It is never the public one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fastapi import FastAPI
from starlette.responses import Response

from kit import health, problem
from kit.clock import Clock
from mail_api import metrics
from mail_api.admission import Disk
from mail_api.reply import Meaning
from mail_api.spool import Census, Spool
from mail_api.transport import Transport

CENSUS_S = 10.0  # how fresh the queue's figures are
CHECK_S = 2.0
OLDEST_READY_S = 3600.0  # a message that waited this long means that delivery does not work


class Observer:
    """The spool as health, readiness and metrics see it, counted at most every CENSUS_S."""

    def __init__(self, spool: Spool, *, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock
        self._counted_at = float("-inf")
        self._census: Census | None = None
        self._lock = asyncio.Lock()

    async def census(self, *, fresh: bool = False) -> Census:
        """Return the spool's figures, at most CENSUS_S old; `fresh` counts now."""
        async with self._lock:
            if fresh or self._census is None or self._clock.monotonic() - self._counted_at >= CENSUS_S:
                self._census = await asyncio.to_thread(self._spool.census)
                self._counted_at = self._clock.monotonic()
                for place, count in self._census.counts.items():
                    metrics.QUEUE_LENGTH.labels(place.value).set(count)
                metrics.QUEUE_OLDEST_SECONDS.set(self._census.oldest_s(self._clock.now()))
            return self._census


def checks(
    spool: Spool,
    transport: Transport,
    scanners: Mapping[str, health.Check],
    observer: Observer,
    sentinel: str | None,
    clock: Clock,
) -> dict[str, health.Check]:
    """The named checks of /readyz; each returns one line or raises saying what is wrong.

    scanners   one check for each that is configured
    """

    async def transport_reachable() -> str:
        return await transport.check(timeout_s=CHECK_S)

    async def sentinel_known() -> str:
        if sentinel is None:
            return "no sentinel is configured"
        reply = await transport.probe(sentinel, timeout_s=CHECK_S)
        if reply.meaning is not Meaning.ACCEPTED:
            raise OSError(f"the sentinel is not accepted: {reply}")
        return "accepted"

    async def spool_writable() -> str:
        await asyncio.to_thread(spool.try_write)
        return str(spool.root)

    async def disk_space() -> str:
        free_bytes = await asyncio.to_thread(Disk(spool, clock=clock).check)
        return f"{free_bytes // 1024**2} MiB free"

    async def queue_moves() -> str:
        census = await observer.census()
        oldest_s = census.oldest_s(clock.now())
        if oldest_s > OLDEST_READY_S:
            raise OSError(f"{census.waiting} waiting, the oldest for {oldest_s:.0f} s")
        return f"{census.waiting} waiting, the oldest for {oldest_s:.0f} s"

    return {
        "transport": transport_reachable,
        "sentinel": sentinel_known,
        **scanners,
        "spool": spool_writable,
        "disk": disk_space,
        "queue": queue_moves,
    }


def create_metrics_app(named_checks: dict[str, health.Check], observer: Observer) -> FastAPI:
    app = FastAPI(
        title="Homeport mail metrics", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    problem.install(app)
    app.include_router(health.routes(named_checks, timeout_s=CHECK_S + 1.0))

    @app.get("/metrics", include_in_schema=False)
    async def exposition() -> Response:
        await observer.census()
        text, content_type = await asyncio.to_thread(metrics.exposition)
        return Response(text, media_type=content_type)

    return app
