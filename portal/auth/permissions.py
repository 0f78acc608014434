"""No route without a permission: what every route and method of an application needs, and the refusal to start.

`check_routes(app)` is the last line of `create_app`. A route names its act in its signature (dependencies.py) or stands
on `PUBLIC_ROUTES`; a third kind does not exist. It asks before it reads a body (GuardedRoute), and a changing one that
names an act takes an `Idempotency-Key` (portal/idempotency/). Whatever is no plain route, such as a mounted
application or a web socket, is refused too: nobody here can look into it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from portal.auth.dependencies import SAFE_METHODS, Guard, GuardedRoute, Permission, calls
from portal.auth.policy import POLICY
from portal.idempotency import once

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
class RouteMethod:
    """
    act             what its signature names; None for a public one
    is_asked_first  its guards are asked before its body is read
    is_once         its signature takes an Idempotency-Key
    """

    method: str
    path: str
    act: str | None
    is_asked_first: bool
    is_once: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes_of(app: FastAPI) -> Iterator[RouteMethod]:
    """Every method of every route, those of included routers too. Raise UnguardedRoute for what is no plain route."""
    for route in iter_route_contexts(app.routes):
        if route.path is None or route.methods is None:
            raise UnguardedRoute(f"{route.path or route.route}: neither its methods nor its permission can be seen")
        found = _calls(route)
        has_guard = any(isinstance(call, Guard) for call in found)
        is_asked_first = not has_guard or isinstance(route.original_route, GuardedRoute)
        for method in sorted(route.methods):
            yield RouteMethod(method, route.path, _act(route), is_asked_first, once in found)


def check_routes(app: FastAPI) -> None:
    """Raise UnguardedRoute unless each route names its act or is on the public list."""
    routes = list(routes_of(app))
    unguarded = [str(route) for route in routes if route.act is None and str(route) not in PUBLIC_ROUTES]
    both = [str(route) for route in routes if route.act is not None and str(route) in PUBLIC_ROUTES]
    unlisted = [f"{route}: {route.act}" for route in routes if route.act is not None and route.act not in POLICY]
    late = [str(route) for route in routes if not route.is_asked_first]
    changing = [route for route in routes if route.act is not None and route.method not in SAFE_METHODS]
    repeatable = [str(route) for route in changing if not route.is_once]
    mistakes = [f"{route} names no permission and is not public" for route in unguarded]
    mistakes += [f"{route} would read its body before it asks who sends it: no GuardedRoute" for route in late]
    mistakes += [f"{route} changes something and takes no Idempotency-Key" for route in repeatable]
    mistakes += [f"{route} names a permission and is public" for route in both]
    mistakes += [f"{route} is no act of the policy" for route in unlisted]
    if mistakes:
        raise UnguardedRoute("\n".join(mistakes))


def _act(route: RouteContext) -> str | None:
    found = {call.act.name for call in _calls(route) if isinstance(call, Permission)}
    if len(found) > 1:
        raise UnguardedRoute(f"{route.path} names {' and '.join(sorted(found))}: one act per route")
    return found.pop() if found else None


def _calls(route: RouteContext) -> list[object]:
    original = route.original_route
    return list(calls(original.dependant)) if isinstance(original, APIRoute) else []
