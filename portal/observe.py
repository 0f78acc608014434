"""What the portal shows of itself to whoever runs it: /livez, /readyz and /metrics, on a listener of their own.

That listener has no login, so it has no other route, is never the public one, and says nothing of what the portal
keeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fastapi import FastAPI
from starlette.responses import Response

from kit import health, problem
from kit.clock import Clock
from portal import metrics
from portal.containers.picture import RELIST_S, Picture
from portal.dashboard.probes import DatabaseProbe
from portal.db import Database

CHECK_S = 3.0
OLDEST_S = 3 * RELIST_S  # of the picture: an engine that hangs says nothing, and breaks nothing


def checks(database: Database, picture: Picture, clock: Clock) -> Mapping[str, health.Check]:
    """The named checks of /readyz; each returns one line or raises saying what is wrong."""

    async def database_answers() -> str:
        reading = await DatabaseProbe(database, clock).measure()
        return f"{reading.detail} in {reading.value} ms"

    async def broker_answers() -> str:
        engine, measured_at = picture.engine, picture.measured_at
        if engine.state == "not-configured":
            return "no broker is configured"
        if engine.state == "silent" or measured_at is None:
            raise OSError(engine.detail or "nothing was heard yet")
        if clock.now() - measured_at > OLDEST_S:
            raise OSError(f"the engine was silent for {clock.now() - measured_at:.0f} s")
        return f"{len(picture.containers())} containers, measured {clock.now() - measured_at:.0f} s ago"

    return {"database": database_answers, "broker": broker_answers}


def create_metrics_app(named_checks: Mapping[str, health.Check]) -> FastAPI:
    app = FastAPI(
        title="Homeport portal metrics", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    problem.install(app)
    app.include_router(health.routes(named_checks, timeout_s=CHECK_S))

    @app.get("/metrics", include_in_schema=False)
    async def exposition() -> Response:
        text, content_type = await asyncio.to_thread(metrics.exposition)
        return Response(text, media_type=content_type)

    return app
