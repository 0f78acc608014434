"""The one place that decides whether a request may do what it asks for. Routes say what that is in their signature:

    actor: Annotated[Actor, allowed("containers:restart")]     whoever may do this act
    visitor: Annotated[Visitor, anyone()]                      a public route; it is listed in permissions.py too
    own: Annotated[OwnSession, own_session("account:read")]    an act about one's own login or account

A route whose router has `route_class=GuardedRoute` asks this before the framework reads the body, so whoever may not
come in hears nothing about what they sent. permissions.py refuses any other.

In this order: one credential at most (401, 400) - a session's unsafe request comes from our own page (403) - the role
(403) - a token's scope (403) - a fresh factor where the policy table says always (403). Where it says "protected" the
service calls `require_step_up(request)` once it knows that its target is.

Who asks: a cookie's session, a bearer token, or the kernel's word on the admin socket, `scope["state"]["local_uid"]`,
which only the server of that socket sets. A request has one of them; with two it is refused. No header that a proxy or
a VPN adds is ever a login. Whatever is refused is logged, and recorded within bounds (refusals.py).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import Depends, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from kit.clock import now_utc
from kit.problem import Problem
from portal.actor import Actor, Role
from portal.auth.logins import Confirmed, Visitor
from portal.auth.policy import POLICY, Act
from portal.auth.scopes import covers
from portal.auth.sessions import LoginRequired, OpenSession
from portal.auth.tokens import Token

if TYPE_CHECKING:
    from portal.auth.service import Auth

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
STEP_UP_HEADER = "Homeport-Step-Up"  # the local administrator's ticket (logins.py, `confirm`)
BACKGROUND_HEADER = "Homeport-Background"  # what a page asks without its user: no activity
LOCAL_SOURCE = "admin.sock"


class TwoCredentials(Problem):
    """The request has a session and a token, or one of them twice; nobody knows for whom it speaks."""

    status, type, title = 400, "two-credentials", "Two credentials"


class CrossSiteRequest(Problem):
    """The request does not come from the portal's own page."""

    status, type, title = 403, "cross-site-request", "Cross-site request"


class NotPermitted(Problem):
    """The role, or the token's scopes, do not allow this. `needed_role` names the least role that does."""

    status, type, title = 403, "not-permitted", "Not permitted"


class StepUpRequired(Problem):
    """This needs a factor proved within the last five minutes. `factors` names those that count."""

    status, type, title = 403, "step-up-required", "Step-up required"


class TypedNameRequired(Problem):
    """This is done only when the target's name has been typed. `name` is what to type."""

    status, type, title = 403, "typed-name-required", "Typed name required"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and by what. At most one of the three is there; `confirmed` is the admin socket's step-up."""

    actor: Actor
    session: OpenSession | None = None
    token: Token | None = None
    confirmed: Confirmed | None = None

    @property
    def person_id(self) -> str:
        """Id of the user who stands behind this: the token's owner, or whoever confirmed on the terminal."""
        if self.session is not None:
            return self.session.user_id
        if self.token is not None:
            return self.token.owner_id
        if self.confirmed is not None:
            return self.confirmed.user_id
        raise NotPermitted("Nobody with an account stands behind this request.")


@dataclass(frozen=True, slots=True)
class OwnSession:
    actor: Actor
    session: OpenSession


# -- what stands in a route's signature -------------------------------------------------------------------------------


def allowed(act: str) -> Any:
    """Given an act of the policy table, return the dependency that is an `Actor` who may do it."""
    return Depends(Permission(POLICY[act]))


def own_session(act: str) -> Any:
    """As `allowed`, for one's own login: an `OwnSession`. Tokens and the local administrator have none."""
    return Depends(OwnPermission(POLICY[act]))


def anyone() -> Any:
    """For the few routes that need no login: a `Visitor`. An unsafe request still has to come from our own page."""
    return Depends(NoPermission())


class Guard:
    """Instances stand in route signatures, where GuardedRoute and permissions.py find them. Decides once a request."""

    async def __call__(self, request: Request) -> Any:
        decided = request.scope.setdefault("homeport.decided", {})
        if self not in decided:
            decided[self] = await self.decide(request)
        return decided[self]

    async def decide(self, request: Request) -> Any:
        """Return what the route gets, or raise the problem that says why not."""
        raise NotImplementedError


class GuardedRoute(APIRoute):
    """A route that asks its guards before it reads the body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        guards = [call for call in calls(self.dependant) if isinstance(call, Guard)]

        async def handle_guarded(request: Request) -> Response:
            for guard in guards:
                await guard(request)
            return await handle(request)

        return handle_guarded


def calls(dependant: Dependant) -> Iterator[object]:
    """Everything that a route's signature depends on, however deep."""
    for inner in dependant.dependencies:
        yield inner.call
        yield from calls(inner)


class Permission(Guard):
    def __init__(self, act: Act) -> None:
        self.act = act

    async def decide(self, request: Request) -> Any:
        return (await authorise(request, self.act)).actor


class OwnPermission(Permission):
    async def decide(self, request: Request) -> OwnSession:
        caller = await authorise(request, self.act)
        if caller.session is None:
            raise NotPermitted("This is about a login of one's own.")
        return OwnSession(caller.actor, caller.session)


class NoPermission(Guard):
    async def decide(self, request: Request) -> Visitor:
        actor = Actor.anonymous(_source(request), request_id=_request_id())
        if not _is_local(request):
            try:
                _check_own_page(request)
            except CrossSiteRequest as problem:
                await auth_of(request).refusals.record(actor, "session:create", request.url.path, problem.detail)
                raise
        return Visitor(actor, request.headers.get("user-agent", ""))


# -- what services ask ------------------------------------------------------------------------------------------------


def auth_of(request: Request) -> Auth:
    auth: Auth = request.app.state.portal.auth
    return auth


def require_step_up(request: Request) -> None:
    """For acts that need a step-up on protected targets only: raise StepUpRequired unless a factor is fresh."""
    caller: Caller = request.state.caller
    act: Act = request.state.act
    if caller.token is not None:
        raise NotPermitted("A token never does this to a protected target.")
    _check_step_up(request, caller, act)


def require_typed_name(name: str, typed: str | None) -> None:
    """Raise TypedNameRequired unless the target's name was typed."""
    if typed != name:
        raise TypedNameRequired(name=name)


def may(caller: Caller, act: Act) -> bool:
    """Whether role and, of a token, some scope allow an act; whatever else it may need."""
    role = caller.actor.role
    if role is None or not role.includes(act.role):
        return False
    if caller.token is None:
        return caller.session is not None or not act.is_own
    return act.is_token_allowed and any(scope.act == act.name for scope in caller.token.scopes)


async def is_still_allowed(request: Request, act: str) -> bool:
    """Whether a request that was let in, such as an open stream, would still be. It is no activity."""
    caller: Caller = request.state.caller
    try:
        _check_permission(await _still(request, caller), POLICY[act], _resource(request))
    except Problem:
        return False
    return True


# -- the decision -----------------------------------------------------------------------------------------------------


async def authorise(request: Request, act: Act) -> Caller:
    """Return who asks, if they may do this act. Raise the problem that says why not."""
    caller = Caller(Actor.anonymous(_source(request), request_id=_request_id()))
    resource = _resource(request)
    try:
        caller = await _caller(request)
        if caller.session is not None:
            _check_own_page(request)
        _check_permission(caller, act, resource)
        if act.step_up is True:
            _check_step_up(request, caller, act)
    except Problem as problem:
        if caller.actor.kind != "anonymous" or request.method not in SAFE_METHODS:
            await auth_of(request).refusals.record(caller.actor, act.name, resource, problem.type)
        raise
    request.state.caller, request.state.act = caller, act
    return caller


async def current_caller(request: Request) -> Caller | None:
    """Who asks, for the public route that tells a page whether anybody is logged in."""
    try:
        return await _caller(request)
    except LoginRequired:
        return None


async def _caller(request: Request) -> Caller:
    """Who asks. Raise LoginRequired or TwoCredentials."""
    auth, source, uid = auth_of(request), _source(request), _local_uid(request)
    cookies, authorizations = request.headers.getlist("cookie"), request.headers.getlist("authorization")
    secret = auth.site.session_id("; ".join(cookies))
    if len(authorizations) > 1 or (secret and authorizations) or (uid is not None and (secret or authorizations)):
        raise TwoCredentials
    if uid is not None:
        return await _local_caller(request, uid)
    if authorizations:
        scheme, _, presented = authorizations[0].partition(" ")
        token = await auth.tokens.find(presented.strip(), source) if scheme.lower() == "bearer" else None
        if token is None:
            raise LoginRequired(headers={"WWW-Authenticate": "Bearer"})
        return _token_caller(token, source)
    is_activity = BACKGROUND_HEADER not in request.headers
    session = await auth.sessions.find(secret, is_activity=is_activity) if secret else None
    if session is None:
        raise LoginRequired
    return _session_caller(session, source)


def _session_caller(session: OpenSession, source: str) -> Caller:
    actor = Actor("user", session.user_id, session.user_name, session.role, source, _request_id())
    return Caller(actor, session=session)


def _token_caller(token: Token, source: str) -> Caller:
    name = f"{token.name} of {token.owner}"
    return Caller(Actor("token", token.id, name, token.owner_role, source, _request_id()), token=token)


async def _local_caller(request: Request, uid: int) -> Caller:
    ticket = request.headers.get(STEP_UP_HEADER, "")
    confirmed = await auth_of(request).logins.confirmed(ticket) if ticket else None
    name = f"uid {uid}" + (f", confirmed by {confirmed.name}" if confirmed else "")
    actor = Actor("local", str(uid), name, Role.ADMIN, LOCAL_SOURCE, _request_id())
    return Caller(actor, confirmed=confirmed)


async def _still(request: Request, earlier: Caller) -> Caller:
    """The caller as it is now. A session is found by its id: a step-up has given it another secret meanwhile."""
    auth, source = auth_of(request), earlier.actor.source
    if earlier.session is not None:
        session = await auth.sessions.find_by_id(earlier.session.id)
        if session is None:
            raise LoginRequired
        return _session_caller(session, source)
    if earlier.token is not None:
        token = await auth.tokens.find_by_id(earlier.token.id)
        if token is None:
            raise LoginRequired
        return _token_caller(token, source)
    return earlier  # the kernel's word does not expire


def _check_permission(caller: Caller, act: Act, resource: str) -> None:
    token, role = caller.token, caller.actor.role
    if role is None or not role.includes(act.role):
        raise NotPermitted(f"This needs the role {act.role}.", needed_role=act.role)
    if token is not None and not (act.is_token_allowed and covers(token.scopes, act.name, resource)):
        raise NotPermitted(f"The token's scopes do not hold {act.name} on {resource or 'everything'}.")


def _check_step_up(request: Request, caller: Caller, act: Act) -> None:
    if caller.session is not None:
        if not caller.session.is_stepped_up(act.name, now_utc(auth_of(request).clock)):
            factors = ["passkey", "totp"] if caller.session.has_second_factor else ["password"]
            raise StepUpRequired(factors=factors)
    elif caller.confirmed is None:
        raise StepUpRequired("An administrator of the portal confirms this on the terminal.", factors=["totp"])


def _check_own_page(request: Request) -> None:
    """Raise CrossSiteRequest for an unsafe request that our own page did not send (security.md 3.2)."""
    if request.method in SAFE_METHODS:
        return
    headers = request.headers
    for is_right, what in (
        (headers.getlist("sec-fetch-site") in (["same-origin"], ["none"]), "Sec-Fetch-Site"),
        (len(found := headers.getlist("origin")) == 1 and found[0] in auth_of(request).site.origins, "Origin"),
        (headers.getlist("x-csrf") == ["1"], "X-CSRF"),
        (_media_type(headers.getlist("content-type")) == "application/json", "Content-Type"),
    ):
        if not is_right:
            raise CrossSiteRequest(f"{what} is missing or not the portal's own.")


def _media_type(values: list[str]) -> str:
    return values[0].partition(";")[0].strip().lower() if len(values) == 1 else ""


def _resource(request: Request) -> str:
    """What a token's scope is compared with: the values of the path's parameters."""
    return "/".join(str(value) for value in request.path_params.values())


def _is_local(request: Request) -> bool:
    return _local_uid(request) is not None


def _local_uid(request: Request) -> int | None:
    uid = request.scope.get("state", {}).get("local_uid")
    return uid if isinstance(uid, int) else None


def _source(request: Request) -> str:
    if _is_local(request):
        return LOCAL_SOURCE
    return request.client.host if request.client else ""


def _request_id() -> str:
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))
