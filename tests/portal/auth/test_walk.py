"""Every route and method of the whole portal, anonymously and as each role, against the policy table.

The application is the real one, with all its rooms; nothing is listed here by hand, so a new route is walked too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Message

from kit.clock import SystemClock, now_utc
from portal.actor import Role
from portal.app import Adapters, create_app
from portal.auth.models import UserRow
from portal.auth.permissions import PUBLIC_ROUTES, RouteMethod, routes_of
from portal.auth.policy import POLICY
from portal.auth.service import Auth
from portal.broker.client import Broker
from portal.settings import PortalSettings
from tests.portal.auth.browser import ORIGIN, OWN_PAGE

GARBAGE = [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"a":' * 10_000, b"null", b"NaN", b"x" * 500_000]
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND")


@dataclass(frozen=True)
class Answer:
    status: int
    problem: str

    @property
    def is_refused(self) -> bool:
        return self.problem in ("login-required", "not-permitted")


@dataclass
class Walk:
    app: FastAPI
    auth: Auth

    @property
    def routes(self) -> list[RouteMethod]:
        return list(routes_of(self.app))

    async def ask(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes = b"{}"
    ) -> Answer:
        """Send a request; hear how the answer begins, and end it there: some answers are streams."""
        given = OWN_PAGE | {"Host": "portal.home.example"} | (headers or {})
        sent: asyncio.Queue[Message] = asyncio.Queue()
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if messages:
                return messages.pop()
            await asyncio.Event().wait()
            raise AssertionError

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
            "client": ("100.64.0.7", 40_000),
            "server": ("portal.home.example", 443),
            "state": {},
        }
        task = asyncio.create_task(self.app(scope, receive, sent.put))
        try:
            start = await asyncio.wait_for(sent.get(), 30)
            slug = ""
            if dict(start["headers"]).get(b"content-type") == b"application/problem+json":
                document: dict[str, Any] = json.loads((await asyncio.wait_for(sent.get(), 30))["body"])
                slug = str(document["type"]).removeprefix("/problems/")
            return Answer(start["status"], slug)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def session(self, role: Role) -> dict[str, str]:
        """A new session of a user with this role, as a Cookie header."""
        db = self.app.state.portal.db

        def begin(session: Any) -> str:
            user = session.get(UserRow, role.value)
            if user is None:
                now = now_utc()
                user = UserRow(id=role.value, name=role.value, role=role.value, is_disabled=False, created_at=now)
                session.add(user)
                session.flush()
            return self.auth.sessions.begin(session, user, "password", source="100.64.0.7", agent="")

        return {"Cookie": f"__Host-sid={await db.run(begin)}"}


@pytest.fixture
async def walk(database_url: str, tmp_path: Path) -> AsyncIterator[Walk]:
    settings = PortalSettings(state_dir=tmp_path, database_url=database_url, public_url=ORIGIN)
    app = create_app(settings, Adapters(broker=Broker(None), clock=SystemClock()))
    async with app.router.lifespan_context(app):
        yield Walk(app, app.state.portal.auth)


def at(path: str) -> str:
    """A path that the route has, for something that does not exist."""
    return re.sub(r"\{[^}]*\}", "x", path)


async def test_nobody_gets_anything_without_a_login_except_what_is_public(walk: Walk) -> None:
    routes = walk.routes
    methods = {path: {route.method for route in routes if route.path == path} for path in {r.path for r in routes}}
    assert len(methods) > 30, "the walk found the rooms"
    for path, known in methods.items():
        for method in METHODS:
            answer = await walk.ask(method, at(path))
            if f"{method} {path}" in PUBLIC_ROUTES:
                assert answer.problem != "login-required", (method, path)
            elif method in known:
                assert answer == Answer(401, "login-required"), (method, path)
            elif path.startswith("/api"):
                assert answer.status in (401, 404, 405), (method, path)


@pytest.mark.parametrize("body", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", ""])
async def test_what_a_stranger_sends_is_not_even_read(walk: Walk, body: bytes, media_type: str) -> None:
    for route in walk.routes:
        if route.act is not None:
            answer = await walk.ask(route.method, at(route.path), headers={"Content-Type": media_type}, body=body)
            assert answer == Answer(401, "login-required"), str(route)


async def test_what_somebody_sends_who_may_not_is_not_even_read(walk: Walk) -> None:
    for role in Role:
        cookie = await walk.session(role)
        for route in walk.routes:
            if route.act is not None and not role.includes(POLICY[route.act].role):
                answer = await walk.ask(route.method, at(route.path), headers=cookie, body=b"{")
                assert answer == Answer(403, "not-permitted"), (role, str(route))


async def test_login_that_another_site_sends_is_not_even_read(walk: Walk) -> None:
    for route in walk.routes:
        if route.act is None and route.method == "POST":
            elsewhere = {"Origin": "https://evil.example"}
            answer = await walk.ask(route.method, at(route.path), headers=elsewhere, body=b"{")
            assert answer == Answer(403, "cross-site-request"), str(route)


async def test_each_role_may_do_what_the_policy_table_says_and_nothing_else(walk: Walk) -> None:
    for role in Role:
        for route in walk.routes:
            if route.act is None:
                continue
            answer = await walk.ask(route.method, at(route.path), headers=await walk.session(role))
            is_permitted = role.includes(POLICY[route.act].role)
            assert answer.is_refused is not is_permitted, (role, str(route), answer)
            assert answer.status < 500 or answer.status == 503, (role, str(route), answer)


async def test_every_route_is_closed_to_a_session_that_ended(walk: Walk) -> None:
    cookie = await walk.session(Role.ADMIN)
    await walk.app.state.portal.db.run(lambda session: walk.auth.sessions.end_all(session, "admin"))
    for route in walk.routes:
        if route.act is not None:
            answer = await walk.ask(route.method, at(route.path), headers=cookie)
            assert answer == Answer(401, "login-required"), str(route)


async def test_every_act_of_the_policy_table_has_a_route(walk: Walk) -> None:
    assert {route.act for route in walk.routes if route.act} == set(POLICY)


async def test_public_list_names_no_route_that_is_gone(walk: Walk) -> None:
    assert {str(route) for route in walk.routes if route.act is None} == PUBLIC_ROUTES
