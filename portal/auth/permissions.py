"""No route without a permission: what every route and method of an application needs, and the refusal to start.

`check_routes(app)` is the last line of `create_app`. A route names its act in its signature (dependencies.py) or stands
on `PUBLIC_ROUTES`; a third kind does not exist. Whatever is no plain route, such as a mounted application or a web
socket, is refused too: nobody here can look into it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from portal.auth.dependencies import Permission
from portal.auth.policy import POLICY

PUBLIC_ROUTES = frozenset(
    {
        # auth: how one comes in
        "GET /api/session",
        "POST /api/setup",
        "POST /api/invitation",
        "POST /api/login",
        "POST /api/login/totp",
        "POST /api/login/recovery-code",
        "POST /api/login/passkey/options",
        "POST /api/login/passkey",
        # frame: what is the same for everybody
        "GET /livez",
        "GET /problems/{slug}",
        "GET /{path:path}",
        "HEAD /{path:path}",
    }
)


class UnguardedRoute(Exception):
    """The application has routes that nobody guards, or guards that nobody needs. The text has one per line."""


@dataclass(frozen=True, slots=True)
class GuardedRoute:
    """One method of one route. `act` is what its signature names; None for a public one."""

    method: str
    path: str
    act: str | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes_of(app: FastAPI) -> Iterator[GuardedRoute]:
    """Every method of every route, those of included routers too. Raise UnguardedRoute for what is no plain route."""
    for route in iter_route_contexts(app.routes):
        if route.path is None or route.methods is None:
            raise UnguardedRoute(f"{route.path or route.route}: neither its methods nor its permission can be seen")
        for method in sorted(route.methods):
            yield GuardedRoute(method, route.path, _act(route))


def check_routes(app: FastAPI) -> None:
    """Raise UnguardedRoute unless each route names its act or is on the public list."""
    routes = list(routes_of(app))
    unguarded = [str(route) for route in routes if route.act is None and str(route) not in PUBLIC_ROUTES]
    both = [str(route) for route in routes if route.act is not None and str(route) in PUBLIC_ROUTES]
    unlisted = [f"{route}: {route.act}" for route in routes if route.act is not None and route.act not in POLICY]
    mistakes = [f"{route} names no permission and is not public" for route in unguarded]
    mistakes += [f"{route} names a permission and is public" for route in both]
    mistakes += [f"{route} is no act of the policy" for route in unlisted]
    if mistakes:
        raise UnguardedRoute("\n".join(mistakes))


def _act(route: RouteContext) -> str | None:
    found = {permission.act.name for permission in _permissions(route)}
    if len(found) > 1:
        raise UnguardedRoute(f"{route.path} names {' and '.join(sorted(found))}: one act per route")
    return found.pop() if found else None


def _permissions(route: RouteContext) -> Iterator[Permission]:
    dependant = getattr(route.original_route, "dependant", None)
    if isinstance(route.original_route, APIRoute) and isinstance(dependant, Dependant):
        yield from (call for call in _calls(dependant) if isinstance(call, Permission))


def _calls(dependant: Dependant) -> Iterator[object]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)
