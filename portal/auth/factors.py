"""One's own factors: password, TOTP, passkeys, recovery codes.

Whatever changes here ends the user's other sessions (ASVS 5.0 7.4.3). The first second factor comes with ten recovery
codes, shown once; with the last one they go. Proving a new TOTP secret or passkey counts as a step-up, and so gives
the session a new id: nothing is asked twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from kit.problem import Problem
from portal.actor import Actor
from portal.audit import Result, record
from portal.auth import recovery, totp
from portal.auth.challenges import Challenges
from portal.auth.logins import CHALLENGE_S, FactorRefused
from portal.auth.models import Factor, PasskeyRow, RecoveryCodeRow, SessionRow, UserRow
from portal.auth.passkeys import Asked, PasskeyRefused, Passkeys
from portal.auth.passwords import PasswordRefused, Passwords, weakness
from portal.auth.proofs import locked_user, totp_context
from portal.auth.sealing import Seal
from portal.auth.secret_ids import digest, new_id
from portal.auth.sessions import LoginRequired, OpenSession, Sessions
from portal.auth.throttle import Throttle
from portal.db import Database

ENROLMENT_S = 600.0
MAX_PASSKEYS = 20


class EnrolmentExpired(Problem):
    """The TOTP secret was not confirmed in time, or another one was begun. Begin again."""

    status, type, title = 409, "enrolment-expired", "Enrolment expired"


class NoSuchFactor(Problem):
    """The account has no such factor."""

    status, type, title = 404, "no-such-factor", "No such factor"


class TooManyPasskeys(Problem):
    """The account has as many passkeys as it may have."""

    status, type, title = 409, "too-many-passkeys", "Too many passkeys"


@dataclass(frozen=True, slots=True)
class Account:
    """One's own account, without any secret."""

    user: UserRow
    passkeys: list[PasskeyRow]
    recovery_codes_left: int
    sessions: list[SessionRow]


@dataclass(frozen=True, slots=True)
class Enrolment:
    id: str
    secret: str
    uri: str


@dataclass(frozen=True, slots=True)
class Enrolled:
    """
    session_secret  the session's new one
    recovery_codes  shown once; None if there are some already
    """

    session_secret: str
    recovery_codes: list[str] | None


@dataclass(frozen=True, slots=True)
class _Pending:
    user_id: str
    value: Any


class Factors:
    """Everything takes the session of whoever asks: nobody changes another one's factors (see `Users.reset`)."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        host: str,
        passwords: Passwords,
        passkeys: Passkeys,
        seal: Seal,
        sessions: Sessions,
    ) -> None:
        self._db, self._clock, self._host, self._seal, self._sessions = db, clock, host, seal, sessions
        self._passwords, self._passkeys = passwords, passkeys
        self._enrolments = Challenges[_Pending](clock, lifetime_s=ENROLMENT_S)
        self._challenges = Challenges[_Pending](clock, lifetime_s=CHALLENGE_S)
        self._throttle = Throttle(clock)

    async def account(self, own: OpenSession) -> Account:
        def work(session: Session) -> Account:
            user = session.get(UserRow, own.user_id)
            if user is None:
                raise LoginRequired
            passkeys = select(PasskeyRow).where(PasskeyRow.user_id == user.id).order_by(PasskeyRow.created_at)
            return Account(
                user,
                list(session.scalars(passkeys)),
                _codes_left(session, user.id),
                self._sessions.list_open(session, user.id),
            )

        return await self._db.read(work)

    # -- password ---------------------------------------------------------------------------------------------------

    async def change_password(self, own: OpenSession, actor: Actor, current: str, new: str) -> None:
        """Raise FactorRefused, PasswordRefused or TooManyAttempts."""
        if reason := weakness(new, own.user_name):
            raise PasswordRefused(reason)
        attempt = self._throttle.begin(account=own.user_name, address=actor.source)
        user = await self._db.read(lambda session: session.get(UserRow, own.user_id))
        stored = user.password_hash if user else None
        if not await self._passwords.verify(stored, current):
            raise FactorRefused
        self._throttle.succeeded(attempt)
        hashed = await self._passwords.hash(new)

        def work(session: Session) -> None:
            _own_row(session, own).password_hash = hashed
            self._changed(session, own, actor, "password")

        await self._db.run(work)

    # -- TOTP -------------------------------------------------------------------------------------------------------

    def begin_totp(self, own: OpenSession) -> Enrolment:
        """Make a secret. Nothing is changed before `confirm_totp`."""
        secret = totp.new_secret()
        return Enrolment(
            self._enrolments.put(_Pending(own.user_id, secret)), secret, totp.uri(secret, own.user_name, self._host)
        )

    async def confirm_totp(self, own: OpenSession, actor: Actor, enrolment_id: str, code: str) -> Enrolled:
        """The app shows the right code, so the secret takes the place of an earlier one.

        raises   EnrolmentExpired, FactorRefused, TooManyAttempts
        """
        pending = self._enrolments.look(enrolment_id)
        if pending is None or pending.user_id != own.user_id:
            raise EnrolmentExpired
        attempt = self._throttle.begin(account=own.user_name, address=actor.source)
        step = totp.verify(pending.value, code, now=self._clock.now(), last_step=None)
        if step is None:
            raise FactorRefused("The code does not fit. Is the clock of the device right?")
        self._throttle.succeeded(attempt)
        self._enrolments.take(enrolment_id)
        sealed = self._seal.seal(pending.value, totp_context(own.user_id))

        def work(session: Session) -> Enrolled:
            user = _own_row(session, own)
            user.totp_sealed, user.totp_last_step, user.totp_enrolled_at = sealed, step, now_utc(self._clock)
            return self._enrolled(session, own, actor, "totp")

        return await self._db.run(work)

    async def remove_totp(self, own: OpenSession, actor: Actor) -> None:
        """Raise NoSuchFactor."""

        def work(session: Session) -> None:
            user = _own_row(session, own)
            if user.totp_sealed is None:
                raise NoSuchFactor
            user.totp_sealed = user.totp_enrolled_at = user.totp_last_step = None
            self._removed(session, own, actor, user, "totp")

        await self._db.run(work)

    # -- passkeys ---------------------------------------------------------------------------------------------------

    async def ask_for_passkey(self, own: OpenSession) -> tuple[str, Asked]:
        """Return a challenge's id and the options for the browser. Raise PasskeysImpossible, TooManyPasskeys."""
        existing = await self._db.read(
            lambda session: list(
                session.scalars(select(PasskeyRow.credential_id).where(PasskeyRow.user_id == own.user_id))
            )
        )
        if len(existing) >= MAX_PASSKEYS:
            raise TooManyPasskeys
        asked = self._passkeys.ask_to_register(own.user_id, own.user_name, existing)
        return self._challenges.put(_Pending(own.user_id, asked.challenge)), asked

    async def add_passkey(
        self, own: OpenSession, actor: Actor, challenge_id: str, credential: dict[str, Any], name: str
    ) -> Enrolled:
        """Raise PasskeyRefused; also when the passkey is registered already."""
        pending = self._challenges.take(challenge_id)
        if pending is None or pending.user_id != own.user_id:
            raise PasskeyRefused("The challenge is unknown or too old; try again.")
        registered = self._passkeys.register(credential, pending.value)

        def work(session: Session) -> Enrolled:
            _own_row(session, own)
            session.add(
                PasskeyRow(
                    id=new_id(),
                    digest=digest(registered.credential_id),
                    credential_id=registered.credential_id,
                    user_id=own.user_id,
                    public_key=registered.public_key,
                    sign_count=registered.sign_count,
                    name=name,
                    is_backed_up=registered.is_backed_up,
                    created_at=now_utc(self._clock),
                )
            )
            try:
                session.flush()
            except IntegrityError:
                raise PasskeyRefused("This passkey is registered already.") from None
            return self._enrolled(session, own, actor, "passkey")

        return await self._db.run(work)

    async def remove_passkey(self, own: OpenSession, actor: Actor, passkey_id: str) -> None:
        """Raise NoSuchFactor."""

        def work(session: Session) -> None:
            user = _own_row(session, own)
            passkey = session.get(PasskeyRow, passkey_id)
            if passkey is None or passkey.user_id != own.user_id:
                raise NoSuchFactor
            session.delete(passkey)
            session.flush()
            self._removed(session, own, actor, user, "passkey")

        await self._db.run(work)

    # -- recovery codes ---------------------------------------------------------------------------------------------

    async def renew_recovery_codes(self, own: OpenSession, actor: Actor) -> list[str]:
        """Replace all codes; return the new ones, to be shown once. Raise NoSuchFactor without a second factor."""

        def work(session: Session) -> list[str]:
            user = _own_row(session, own)
            if not _has_second_factor(session, user):
                raise NoSuchFactor("Recovery codes come with a passkey or an authenticator app.")
            codes = _replace_codes(session, user.id)
            self._changed(session, own, actor, "recovery codes")
            return codes

        return await self._db.run(work)

    # -- inside a transaction ---------------------------------------------------------------------------------------

    def _enrolled(self, session: Session, own: OpenSession, actor: Actor, factor: Factor) -> Enrolled:
        codes = None if _codes_left(session, own.user_id) else _replace_codes(session, own.user_id)
        self._changed(session, own, actor, factor)
        return Enrolled(self._sessions.renew(session, own.id, factor), codes)

    def _removed(self, session: Session, own: OpenSession, actor: Actor, user: UserRow, factor: Factor) -> None:
        if not _has_second_factor(session, user):
            session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user.id))
        self._changed(session, own, actor, f"{factor} removed")

    def _changed(self, session: Session, own: OpenSession, actor: Actor, what: str) -> None:
        self._sessions.end_all(session, own.user_id, but=own.id)
        record(session, actor, actor.tag("account:change"), own.user_name, Result.DONE, detail=what)


def _own_row(session: Session, own: OpenSession) -> UserRow:
    user = locked_user(session, own.user_id)
    if user is None:  # removed a moment ago, and the session with it
        raise LoginRequired
    return user


def _has_second_factor(session: Session, user: UserRow) -> bool:
    passkeys = select(func.count()).select_from(PasskeyRow).where(PasskeyRow.user_id == user.id)
    return user.totp_sealed is not None or bool(session.scalar(passkeys))


def _codes_left(session: Session, user_id: str) -> int:
    query = select(func.count()).select_from(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user_id)
    return session.scalar(query) or 0


def _replace_codes(session: Session, user_id: str) -> list[str]:
    session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user_id))
    codes = recovery.new_codes()
    session.add_all(RecoveryCodeRow(digest=recovery.digest(code), user_id=user_id) for code in codes)
    return codes
