"""Two questions an orchestrator asks: is the process alive (/livez), and can it do its work (/readyz)?

`/livez` says 200 as long as the event loop turns; it looks at nothing else, so a broken neighbour never gets this
process killed. `/readyz` runs the named checks side by side, each under its own timeout, and says 200 or 503 with one
line per check. The lines may name hosts and paths: `/readyz` belongs on a private listener.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import JSONResponse

Check = Callable[[], Awaitable[str]]  # returns one line on what was found, or raises saying why not


@dataclass(frozen=True, slots=True)
class Result:
    ok: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    results: Mapping[str, Result]

    @property
    def ok(self) -> bool:
        return all(result.ok for result in self.results.values())

    def document(self) -> dict[str, object]:
        """`{"status": "ok" | "failing", "checks": {NAME: {"ok", "detail", "seconds"}}}`."""
        checks = {
            name: {"ok": result.ok, "detail": result.detail, "seconds": round(result.seconds, 3)}
            for name, result in self.results.items()
        }
        return {"status": "ok" if self.ok else "failing", "checks": checks}


async def run_checks(checks: Mapping[str, Check], *, timeout_s: float) -> Report:
    """Run all checks at once, each for at most `timeout_s`. A check that raises, or gives no answer, has failed."""
    results = await asyncio.gather(*(_run(check, timeout_s) for check in checks.values()))
    return Report(dict(zip(checks, results, strict=True)))


async def _run(check: Check, timeout_s: float) -> Result:
    started = time.monotonic()
    deadline = asyncio.timeout(timeout_s)
    try:
        async with deadline:
            ok, detail = True, await check()
    except Exception as error:  # whatever a check raises is its finding
        ok = False
        detail = f"no answer within {timeout_s:g} s" if deadline.expired() else _one_line(error)
    return Result(ok, detail, time.monotonic() - started)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def routes(checks: Mapping[str, Check] | None = None, *, timeout_s: float = 2.0) -> APIRouter:
    """Return the routes `GET /livez` and, when `checks` is given, `GET /readyz`. A public listener gives none."""
    router = APIRouter(tags=["health"])

    @router.get("/livez")
    async def livez() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    if checks is not None:

        @router.get("/readyz", responses={503: {"description": "At least one check fails; the same document"}})
        async def readyz() -> JSONResponse:
            """Every check, by name."""
            report = await run_checks(checks, timeout_s=timeout_s)
            return JSONResponse(report.document(), 200 if report.ok else 503, {"Cache-Control": "no-store"})

    return router
