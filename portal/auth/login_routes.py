"""Logging in and out, and the step-up: how a browser gets its session cookie, and another one.

The public ones stand in permissions.py. Each is a request of our own page, or it is refused: a login that another site
sends in somebody's name is an attack too.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from portal.actor import Actor
from portal.auth.dependencies import (
    Caller,
    GuardedRoute,
    NotPermitted,
    OwnSession,
    allowed,
    anyone,
    auth_of,
    current_caller,
    own_session,
)
from portal.auth.logins import LoggedIn, SecondFactorNeeded, Visitor
from portal.auth.schemas import (
    CodeForm,
    CurrentSession,
    CurrentUser,
    InvitationForm,
    LoginForm,
    PasskeyForm,
    PasskeyOptions,
    SecondFactorView,
    SessionView,
    SetupForm,
    StepUpForm,
    StepUpTicket,
)
from portal.auth.sessions import LoginRequired, OpenSession
from portal.idempotency import OnceDep

router = APIRouter(prefix="/api", tags=["login"], route_class=GuardedRoute)


@router.get("/session")
async def read_session(request: Request, visitor: Annotated[Visitor, anyone()]) -> SessionView:
    """Who is logged in; always 200, so that a page can ask."""
    auth = auth_of(request)
    caller = await current_caller(request)
    if caller is None:
        state = "anonymous" if await auth.users.is_set_up() else "setup-needed"
        return SessionView(state=state, passkeys_possible=auth.passkeys.are_possible, is_demo=_is_demo(request))
    return _view(request, caller.actor, caller.session)


@router.post("/setup")
async def set_up(
    request: Request, response: Response, visitor: Annotated[Visitor, anyone()], form: SetupForm
) -> SessionView:
    """Make the first administrator with the one-time token of the console, and log in."""
    auth = auth_of(request)
    logged_in = await auth.users.set_up(form.token, form.name, form.password.get_secret_value(), visitor)
    return await _logged_in(request, response, visitor, logged_in)


@router.post("/invitation")
async def accept_invitation(
    request: Request, response: Response, visitor: Annotated[Visitor, anyone()], form: InvitationForm
) -> SessionView:
    """Choose a password with the one-time token of an invitation, and log in."""
    auth = auth_of(request)
    logged_in = await auth.users.accept_invitation(form.token, form.password.get_secret_value(), visitor)
    return await _logged_in(request, response, visitor, logged_in)


@router.post("/login")
async def login(
    request: Request, response: Response, visitor: Annotated[Visitor, anyone()], form: LoginForm
) -> SessionView | SecondFactorView:
    """Log in with name and password. With a second factor, that is only the half."""
    outcome = await auth_of(request).logins.by_password(form.name, form.password.get_secret_value(), visitor)
    if isinstance(outcome, SecondFactorNeeded):
        return SecondFactorView(login=outcome.ticket, factors=list(outcome.factors))
    return await _logged_in(request, response, visitor, outcome)


@router.post("/login/totp")
async def login_with_totp(
    request: Request, response: Response, visitor: Annotated[Visitor, anyone()], form: CodeForm
) -> SessionView:
    """The other half, by an authenticator app."""
    logged_in = await auth_of(request).logins.by_totp(form.login, form.code, visitor)
    return await _logged_in(request, response, visitor, logged_in)


@router.post("/login/recovery-code")
async def login_with_recovery_code(
    request: Request, response: Response, visitor: Annotated[Visitor, anyone()], form: CodeForm
) -> SessionView:
    """The other half, by a recovery code, which is used up."""
    logged_in = await auth_of(request).logins.by_recovery_code(form.login, form.code, visitor)
    return await _logged_in(request, response, visitor, logged_in)


@router.post("/login/passkey/options")
async def ask_for_passkey(request: Request, visitor: Annotated[Visitor, anyone()]) -> PasskeyOptions:
    """A challenge for any passkey of this portal."""
    challenge_id, asked = auth_of(request).logins.ask_for_passkey()
    return PasskeyOptions(challenge_id=challenge_id, options=asked.options)


@router.post("/login/passkey")
async def login_with_passkey(
    request: Request, response: Response, visitor: Annotated[Visitor, anyone()], form: PasskeyForm
) -> SessionView:
    """Log in with a passkey: no name, no password."""
    logged_in = await auth_of(request).logins.by_passkey(form.challenge_id, form.credential, visitor)
    return await _logged_in(request, response, visitor, logged_in)


@router.post("/logout", status_code=204)
async def logout(
    request: Request, response: Response, own: Annotated[OwnSession, own_session("session:delete")], once: OnceDep
) -> None:
    """End this session."""
    auth = auth_of(request)
    await once.without_answer(own.actor, lambda: auth.logins.end(own.actor, own.session.user_id, own.session.id))
    response.headers["Set-Cookie"] = auth.site.cookie("")


@router.post("/step-up/passkey/options")
async def ask_for_own_passkey(
    request: Request, own: Annotated[OwnSession, own_session("session:step-up")], once: OnceDep
) -> PasskeyOptions:
    """A challenge for one's own passkeys."""

    async def ask() -> PasskeyOptions:
        challenge_id, asked = await auth_of(request).logins.ask_for_own_passkey(own.session.user_id)
        return PasskeyOptions(challenge_id=challenge_id, options=asked.options)

    return await once(own.actor, PasskeyOptions, ask)


@router.post("/step-up")
async def step_up(
    request: Request,
    response: Response,
    actor: Annotated[Actor, allowed("session:step-up")],
    form: StepUpForm,
    once: OnceDep,
) -> SessionView | StepUpTicket:
    """Prove a factor: the session gets a new id. Over the admin socket, the answer is a ticket instead."""
    return await once(actor, SessionView, lambda: _stepped_up(request, response, actor, form), keep_answer=False)


async def _stepped_up(
    request: Request, response: Response, actor: Actor, form: StepUpForm
) -> SessionView | StepUpTicket:
    logins = auth_of(request).logins
    caller: Caller = request.state.caller
    password = form.password.get_secret_value() if form.password else None
    if caller.session is None:
        if form.name is None:
            raise NotPermitted("Whose factor is it? Give the name of an administrator of the portal.")
        ticket = await logins.confirm(actor, form.name, password=password, code=form.totp)
        return StepUpTicket(ticket=ticket, name=form.name)
    if form.credential is not None and form.challenge_id is not None:
        outcome = await logins.step_up_by_passkey(caller.session, actor, form.challenge_id, form.credential)
    elif form.totp is not None:
        outcome = await logins.step_up_by_totp(caller.session, actor, form.totp)
    else:
        assert password is not None, "the form has one factor"
        outcome = await logins.step_up_by_password(caller.session, actor, password)
    return await _logged_in(request, response, Visitor(actor, ""), outcome)


async def _logged_in(request: Request, response: Response, visitor: Visitor, logged_in: LoggedIn) -> SessionView:
    """Give the browser its cookie, and tell the page who it is now. The session it came with ends (ASVS 7.2.4)."""
    auth = auth_of(request)
    session = await auth.sessions.find(logged_in.secret, is_activity=False)
    if session is None:  # its user was disabled since it began, a moment ago
        raise LoginRequired
    presented = auth.site.session_id(request.headers.get("cookie", ""))
    earlier = await auth.sessions.find(presented, is_activity=False) if presented else None
    if earlier is not None:
        await auth.logins.end(visitor.actor, earlier.user_id, earlier.id)
    response.headers["Set-Cookie"] = auth.site.cookie(logged_in.secret)
    actor = Actor("user", session.user_id, session.user_name, session.role, visitor.actor.source, "")
    return _view(request, actor, session)


def _view(request: Request, actor: Actor, session: OpenSession | None) -> SessionView:
    assert actor.role is not None, "only the anonymous have none"
    return SessionView(
        state="logged-in",
        user=CurrentUser(id=actor.id, name=actor.name, role=actor.role),
        session=session
        and CurrentSession(
            id=session.id,
            factor=session.factor,
            created_at=session.created_at,
            ends_at=session.ends_at,
            step_up_until=session.step_up_until("users:change"),
        ),
        has_second_factor=session is not None and session.has_second_factor,
        passkeys_possible=auth_of(request).passkeys.are_possible,
        is_demo=_is_demo(request),
    )


def _is_demo(request: Request) -> bool:
    is_demo: bool = request.app.state.portal.settings.demo
    return is_demo
