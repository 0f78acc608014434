"""No application is built with a route that names no permission; and the policy table is what the routes need."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from fastapi import APIRouter, FastAPI, WebSocket

from portal.actor import Actor
from portal.auth import commands
from portal.auth.dependencies import GuardedRoute, allowed, anyone
from portal.auth.logins import Visitor
from portal.auth.permissions import PUBLIC_ROUTES, UnguardedRoute, check_routes, routes_of
from portal.auth.policy import POLICY
from portal.idempotency import OnceDep

Listing = Annotated[Actor, allowed("containers:list")]


def _app() -> FastAPI:
    return FastAPI(docs_url=None, redoc_url=None, openapi_url=None)


def test_route_that_names_an_act_is_guarded_however_deep_it_stands() -> None:
    app, outer, inner = _app(), APIRouter(prefix="/api"), APIRouter(prefix="/containers", route_class=GuardedRoute)

    @inner.get("/{name}")
    async def read(name: str, actor: Listing) -> None: ...

    outer.include_router(inner)
    app.include_router(outer)
    check_routes(app)
    assert [(str(route), route.act) for route in routes_of(app)] == [("GET /api/containers/{name}", "containers:list")]


def test_route_without_a_permission_keeps_the_application_from_being_built() -> None:
    app, room = _app(), APIRouter(prefix="/api/containers")

    @room.get("")
    async def list_them(actor: Listing) -> None: ...

    @room.post("/{name}/restart")
    async def restart(name: str) -> None: ...

    app.include_router(room)
    with pytest.raises(UnguardedRoute, match=r"POST /api/containers/\{name\}/restart names no permission"):
        check_routes(app)


def test_route_that_would_read_its_body_first_is_refused() -> None:
    app = _app()

    @app.get("/api/containers")
    async def list_them(actor: Listing) -> None: ...

    @app.post("/api/login")
    async def login(visitor: Annotated[Visitor, anyone()]) -> None: ...

    with pytest.raises(UnguardedRoute) as refused:
        check_routes(app)
    for route in ("GET /api/containers", "POST /api/login"):
        assert f"{route} would read its body" in str(refused.value)


def test_changing_route_that_could_be_repeated_is_refused() -> None:
    app, room = _app(), APIRouter(prefix="/api/containers", route_class=GuardedRoute)

    @room.post("/{name}/restart")
    async def restart(name: str, actor: Annotated[Actor, allowed("containers:restart")]) -> None: ...

    @room.post("/{name}/stop")
    async def stop(name: str, actor: Annotated[Actor, allowed("containers:stop")], once: OnceDep) -> None: ...

    app.include_router(room)
    with pytest.raises(UnguardedRoute) as refused:
        check_routes(app)
    assert str(refused.value) == "POST /api/containers/{name}/restart changes something and takes no Idempotency-Key"


def test_method_beside_a_guarded_one_is_not_guarded_by_it() -> None:
    app = _app()

    @app.get("/api/containers")
    async def list_them(actor: Listing) -> None: ...

    @app.delete("/api/containers")
    async def remove_them() -> None: ...

    with pytest.raises(UnguardedRoute, match="DELETE /api/containers names no permission"):
        check_routes(app)


def test_public_dependency_alone_makes_no_route_public() -> None:
    app = _app()

    @app.get("/api/secrets")
    async def secrets(visitor: Annotated[Visitor, anyone()]) -> None: ...

    with pytest.raises(UnguardedRoute):
        check_routes(app)


def test_route_with_two_acts_is_refused() -> None:
    app = _app()

    @app.get("/api/x")
    async def both(one: Listing, other: Annotated[Actor, allowed("containers:read")]) -> None: ...

    with pytest.raises(UnguardedRoute, match="one act per route"):
        check_routes(app)


def test_framework_pages_are_refused() -> None:
    with pytest.raises(UnguardedRoute, match="/docs"):
        check_routes(FastAPI())


def test_mounted_application_is_refused() -> None:
    app = _app()
    app.mount("/elsewhere", _app())
    with pytest.raises(UnguardedRoute, match="/elsewhere"):
        check_routes(app)


def test_web_socket_is_refused() -> None:
    app = _app()

    @app.websocket("/api/terminal")
    async def terminal(websocket: WebSocket) -> None: ...

    with pytest.raises(UnguardedRoute, match="/api/terminal"):
        check_routes(app)


def test_act_that_is_not_in_the_table_cannot_be_named() -> None:
    with pytest.raises(KeyError):
        allowed("containers:destroy")


def test_acts_are_named_subject_and_verb_and_ask_for_sensible_things() -> None:
    for act in POLICY.values():
        subject, _, verb = act.name.partition(":")
        assert subject.replace("-", "_").isidentifier()
        assert verb.replace("-", "").isalpha()
        if act.kind == "read":
            assert (act.step_up, act.typed_name) == (False, False), act


@pytest.mark.parametrize("group", [commands.users, commands.tokens], ids=["users", "tokens"])
def test_each_act_on_users_and_tokens_has_a_command_of_its_name(
    group: typer.Typer, request: pytest.FixtureRequest
) -> None:
    subject = request.node.callspec.id
    verbs = {act.name.partition(":")[2] for act in POLICY.values() if act.name.startswith(f"{subject}:")}
    assert verbs <= set(typer.main.get_group(group).commands)


def test_public_routes_are_these() -> None:
    """A snapshot: a change here is a decision that somebody reviews."""
    assert {route for route in PUBLIC_ROUTES if " /api" in route} == {
        "GET /api/session",
        "POST /api/setup",
        "POST /api/invitation",
        "POST /api/login",
        "POST /api/login/totp",
        "POST /api/login/recovery-code",
        "POST /api/login/passkey/options",
        "POST /api/login/passkey",
    }
    assert {route for route in PUBLIC_ROUTES if " /api" not in route} == {
        "GET /livez",
        "GET /problems/{slug}",
        "GET /{path:path}",
        "HEAD /{path:path}",
    }
