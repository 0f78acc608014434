from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx2
from fastapi import FastAPI

from kit import health
from kit.health import Check, run_checks
from tests.kit.server import serve


async def fine() -> str:
    return "spool is writable"


async def broken() -> str:
    raise ConnectionRefusedError("127.0.0.1:24\nrefused")


async def nameless() -> str:
    raise KeyError


async def hanging() -> str:
    await asyncio.Event().wait()
    return "never"


async def slow_inside() -> str:
    raise TimeoutError("lmtp did not greet")


def get(path: str, checks: Mapping[str, Check] | None) -> httpx2.Response:
    app = FastAPI()
    app.include_router(health.routes(checks, timeout_s=0.05))
    with serve(app) as url:
        return httpx2.get(url + path, trust_env=False, timeout=10.0)


async def test_checks_all_fine_report_is_ok() -> None:
    report = await run_checks({"spool": fine}, timeout_s=5.0)
    assert report.ok
    assert report.results["spool"].detail == "spool is writable"


async def test_checks_one_broken_fails_the_report_and_keeps_the_others() -> None:
    report = await run_checks({"spool": fine, "lmtp": broken, "key": nameless, "x": slow_inside}, timeout_s=5.0)
    assert not report.ok
    found = {name: (result.ok, result.detail) for name, result in report.results.items()}
    assert found == {
        "spool": (True, "spool is writable"),
        "lmtp": (False, "127.0.0.1:24 refused"),
        "key": (False, "KeyError"),
        "x": (False, "lmtp did not greet"),
    }


async def test_checks_that_hang_end_together_at_the_timeout() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    report = await run_checks({f"c{n}": hanging for n in range(50)}, timeout_s=0.05)
    assert {result.detail for result in report.results.values()} == {"no answer within 0.05 s"}
    assert loop.time() - started < 2.0  # fifty in a row would take 2.5 s


async def test_no_checks_are_ok() -> None:
    assert (await run_checks({}, timeout_s=1.0)).document() == {"status": "ok", "checks": {}}


def test_livez_looks_at_no_check() -> None:
    response = get("/livez", {"lmtp": hanging})
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_readyz_fine_is_200_with_every_check() -> None:
    response = get("/readyz", {"spool": fine})
    assert response.status_code == 200
    check = response.json()["checks"]["spool"]
    assert (check["ok"], check["detail"]) == (True, "spool is writable")
    assert isinstance(check["seconds"], float)
    assert response.headers["cache-control"] == "no-store"


def test_readyz_one_hangs_is_503_and_says_which() -> None:
    response = get("/readyz", {"spool": fine, "lmtp": hanging})
    assert response.status_code == 503
    assert response.json()["status"] == "failing"
    assert [name for name, check in response.json()["checks"].items() if not check["ok"]] == ["lmtp"]


def test_readyz_of_a_public_listener_does_not_exist() -> None:
    assert get("/readyz", None).status_code == 404
