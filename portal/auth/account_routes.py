"""One's own account: factors and sessions. Whatever changes a factor needs a fresh one (the policy table says so)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from portal.auth import totp
from portal.auth.dependencies import GuardedRoute, OwnSession, auth_of, own_session
from portal.auth.factors import Enrolled
from portal.auth.schemas import (
    AccountView,
    NewPasskeyForm,
    PasskeyOptions,
    PasswordForm,
    RecoveryCodes,
    TotpEnrolment,
    TotpForm,
)
from portal.idempotency import OnceDep

router = APIRouter(prefix="/api/account", tags=["account"], route_class=GuardedRoute)

Reading = Annotated[OwnSession, own_session("account:read")]
Changing = Annotated[OwnSession, own_session("account:change")]
Revoking = Annotated[OwnSession, own_session("session:delete")]


@router.get("")
async def read_account(request: Request, own: Reading) -> AccountView:
    """The account of whoever asks."""
    return AccountView.of(await auth_of(request).factors.account(own.session), own.session.id)


@router.post("/password", status_code=204)
async def change_password(request: Request, own: Changing, form: PasswordForm, once: OnceDep) -> None:
    """Change the password. Other sessions end."""
    current, new = form.current.get_secret_value(), form.new.get_secret_value()
    factors = auth_of(request).factors
    await once.without_answer(own.actor, lambda: factors.change_password(own.session, own.actor, current, new))


@router.post("/totp")
async def begin_totp(request: Request, own: Changing, once: OnceDep) -> TotpEnrolment:
    """Make a secret for an authenticator app. Nothing changes until it is confirmed."""

    async def begin() -> TotpEnrolment:
        begun = auth_of(request).factors.begin_totp(own.session)
        return TotpEnrolment(enrolment=begun.id, secret=begun.secret, uri=begun.uri, qr_svg=totp.qr_svg(begun.uri))

    return await once(own.actor, TotpEnrolment, begin, keep_answer=False)


@router.post("/totp/confirm")
async def confirm_totp(
    request: Request, response: Response, own: Changing, form: TotpForm, once: OnceDep
) -> RecoveryCodes:
    """The app shows this code. The session gets a new id, other sessions end."""

    async def confirm() -> RecoveryCodes:
        enrolled = await auth_of(request).factors.confirm_totp(own.session, own.actor, form.enrolment, form.code)
        return _enrolled(request, response, enrolled)

    return await once(own.actor, RecoveryCodes, confirm, keep_answer=False)


@router.delete("/totp", status_code=204)
async def remove_totp(request: Request, own: Changing, once: OnceDep) -> None:
    """Remove the authenticator app. Other sessions end."""
    await once.without_answer(own.actor, lambda: auth_of(request).factors.remove_totp(own.session, own.actor))


@router.post("/passkeys/options")
async def ask_for_new_passkey(request: Request, own: Changing, once: OnceDep) -> PasskeyOptions:
    """A challenge to make a passkey with."""

    async def ask() -> PasskeyOptions:
        challenge_id, asked = await auth_of(request).factors.ask_for_passkey(own.session)
        return PasskeyOptions(challenge_id=challenge_id, options=asked.options)

    return await once(own.actor, PasskeyOptions, ask)


@router.post("/passkeys")
async def add_passkey(
    request: Request, response: Response, own: Changing, form: NewPasskeyForm, once: OnceDep
) -> RecoveryCodes:
    """Register a passkey. The session gets a new id, other sessions end."""

    async def add() -> RecoveryCodes:
        factors = auth_of(request).factors
        enrolled = await factors.add_passkey(own.session, own.actor, form.challenge_id, form.credential, form.name)
        return _enrolled(request, response, enrolled)

    return await once(own.actor, RecoveryCodes, add, keep_answer=False)


@router.delete("/passkeys/{passkey_id}", status_code=204)
async def remove_passkey(request: Request, own: Changing, passkey_id: str, once: OnceDep) -> None:
    """Remove a passkey. Other sessions end."""
    factors = auth_of(request).factors
    await once.without_answer(own.actor, lambda: factors.remove_passkey(own.session, own.actor, passkey_id))


@router.post("/recovery-codes")
async def renew_recovery_codes(request: Request, own: Changing, once: OnceDep) -> RecoveryCodes:
    """Replace all recovery codes. Other sessions end."""

    async def renew() -> RecoveryCodes:
        return RecoveryCodes(recovery_codes=await auth_of(request).factors.renew_recovery_codes(own.session, own.actor))

    return await once(own.actor, RecoveryCodes, renew, keep_answer=False)


@router.delete("/sessions", status_code=204)
async def end_other_sessions(request: Request, own: Revoking, once: OnceDep) -> None:
    """End all other sessions of one's own."""
    session, logins = own.session, auth_of(request).logins
    await once.without_answer(own.actor, lambda: logins.end_all(own.actor, session.user_id, but=session.id))


@router.delete("/sessions/{session_id}", status_code=204)
async def end_session(request: Request, own: Revoking, session_id: str, once: OnceDep) -> None:
    """End one session of one's own. One that has ended by itself meanwhile is no error."""
    logins = auth_of(request).logins
    await once.without_answer(own.actor, lambda: logins.end(own.actor, own.session.user_id, session_id))


def _enrolled(request: Request, response: Response, enrolled: Enrolled) -> RecoveryCodes:
    response.headers["Set-Cookie"] = auth_of(request).site.cookie(enrolled.session_secret)
    return RecoveryCodes(recovery_codes=enrolled.recovery_codes)
