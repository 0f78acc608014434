"""A portal with auth and nothing else, on a database of the test's own, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from argon2 import PasswordHasher
from fastapi import APIRouter, FastAPI, Request
from sqlalchemy import text

from kit import problem
from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed, is_still_allowed, require_step_up
from portal.auth.passwords import Passwords
from portal.auth.routes import router
from portal.auth.sealing import Seal
from portal.auth.service import Auth
from portal.auth.site import Site
from portal.db import Database
from portal.idempotency import Idempotency
from tests.clock import FakeClock
from tests.portal.auth.browser import ORIGIN, PASSWORD, Browser, done

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_app(database: Database, clock: FakeClock, tmp_path: Path) -> Callable[..., FastAPI]:
    def make(public_url: str = ORIGIN, db: Database = database) -> FastAPI:
        app = FastAPI()
        problem.install(app)
        app.include_router(router)
        app.include_router(_room(app))
        site, seal = Site.from_public_url(public_url), Seal.at(tmp_path / "secret.key")
        auth = Auth(db, site=site, seal=seal, clock=clock, passwords=Passwords(CHEAP))
        idempotency = Idempotency(db, clock, seal.key_for("idempotency"))
        shown = SimpleNamespace(demo=False)
        app.state.portal = SimpleNamespace(auth=auth, db=db, idempotency=idempotency, settings=shown)
        return app

    return make


def _room(app: FastAPI) -> APIRouter:
    """Routes as a room has them."""
    room = APIRouter(prefix="/api/containers", route_class=GuardedRoute)

    @room.get("")
    async def list_containers(actor: Annotated[Actor, allowed("containers:list")]) -> dict[str, str]:
        return {"actor": actor.name, "kind": actor.kind}

    @room.post("/{name}/restart")
    async def restart(
        request: Request, name: str, actor: Annotated[Actor, allowed("containers:restart")]
    ) -> dict[str, str]:
        if name == "blog-db":
            require_step_up(request)
        return {"restarted": name}

    @room.get("/{name}/still")
    async def still(
        request: Request, name: str, actor: Annotated[Actor, allowed("containers:read")]
    ) -> dict[str, bool]:
        before = await is_still_allowed(request, "containers:read")
        await app.state.between()
        return {"before": before, "after": await is_still_allowed(request, "containers:read")}

    return room


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    return make_app()


@pytest.fixture
def auth(app: FastAPI) -> Auth:
    found: Auth = app.state.portal.auth
    return found


@pytest.fixture
def browser(app: FastAPI, clock: FakeClock) -> Browser:
    """Nobody is logged in, nothing is set up."""
    return Browser(app, clock)


@pytest.fixture
async def admin(browser: Browser, auth: Auth) -> Browser:
    """The first administrator, mika, a moment after the set-up."""
    link = await auth.users.begin_setup()
    assert link is not None
    document = {"token": link.partition("#")[2], "name": "mika", "password": PASSWORD}
    done(await browser.post("/api/setup", document))
    return browser


@pytest.fixture
def audit(database: Database) -> Callable[[], list[tuple[str, str, str]]]:
    """What stands in the audit: (action, target, result)."""

    def rows() -> list[tuple[str, str, str]]:
        query = text("SELECT action, target, result FROM audit ORDER BY sequence")
        return database.read_sync(lambda session: [tuple(row) for row in session.execute(query)])

    return rows


@pytest.fixture
def stored(database: Database) -> Callable[[], str]:
    """Everything that the database holds, as one text: no secret may be found in it."""

    def everything() -> str:
        def read(session: Any) -> str:
            names = session.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
            return "\n".join(
                repr(tuple(row)) for name in names for row in session.execute(text(f'SELECT * FROM "{name}"'))
            )

        return database.read_sync(read)

    return everything
