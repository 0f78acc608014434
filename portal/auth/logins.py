"""Logging in, proving a factor again, logging out.

    password -> no second factor: session
    password -> second factor: a ticket for five minutes -> TOTP or recovery code -> session
    passkey with user verification -> session, with no name and no password before it

A failed login says nothing but that it failed: the same answer, after the same work, for a wrong password, an unknown
name, a disabled user and one who has not taken up the invitation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from kit.clock import Clock
from kit.problem import Problem
from portal import metrics
from portal.actor import Actor, Role
from portal.audit import Result, record, record_now
from portal.auth.challenges import Challenges
from portal.auth.models import Factor, PasskeyRow, RecoveryCodeRow, UserRow
from portal.auth.passkeys import Asked, PasskeyRefused, Passkeys
from portal.auth.passwords import Passwords
from portal.auth.proofs import Proofs, locked_user
from portal.auth.sessions import FRESH, OpenSession, Sessions
from portal.auth.throttle import Throttle
from portal.db import Database

T = TypeVar("T")

TICKET_S = 300.0
CHALLENGE_S = 300.0  # WebAuthn Level 3, 15.1: 5 min is the recommended default where user verification is asked for
TICKET_ATTEMPTS = 5

SecondFactor = Literal["passkey", "totp", "recovery-code"]


class LoginFailed(Problem):
    """Name and password, or the code, do not fit."""

    status, type, title = 401, "login-failed", "Login failed"


class LoginExpired(Problem):
    """The second factor came too late, or too often wrong. Begin again with the name."""

    status, type, title = 401, "login-expired", "Login expired"


class FactorRefused(Problem):
    """The code or password does not fit, was used before, or does not count here."""

    status, type, title = 403, "factor-refused", "Factor refused"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who knocks: the address as an anonymous actor, and what the browser calls itself."""

    actor: Actor
    agent: str


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The secret is for the cookie, and shown nowhere else."""

    secret: str


@dataclass(frozen=True, slots=True)
class SecondFactorNeeded:
    ticket: str
    factors: tuple[SecondFactor, ...]


@dataclass(slots=True)
class _Ticket:
    """The password was right; this is not a session and opens nothing."""

    user_id: str
    name: str
    attempts_left: int = TICKET_ATTEMPTS


@dataclass(frozen=True, slots=True)
class Confirmed:
    """An administrator has proved a factor on the terminal of the host."""

    user_id: str
    name: str


class Logins:
    def __init__(
        self, db: Database, clock: Clock, sessions: Sessions, passwords: Passwords, passkeys: Passkeys, proofs: Proofs
    ) -> None:
        self._db, self._sessions, self._passwords = db, sessions, passwords
        self._passkeys, self._proofs = passkeys, proofs
        self._tickets = Challenges[_Ticket](clock, lifetime_s=TICKET_S)
        self._challenges = Challenges[bytes](clock, lifetime_s=CHALLENGE_S)
        self._confirmed = Challenges[Confirmed](clock, lifetime_s=FRESH.total_seconds())
        self._throttle = Throttle(clock)

    # -- in ---------------------------------------------------------------------------------------------------------

    async def by_password(self, name: str, password: str, visitor: Visitor) -> LoggedIn | SecondFactorNeeded:
        """Raise LoginFailed or TooManyAttempts."""
        attempt = self._throttle.begin(account=name, address=visitor.actor.source)
        found = await self._db.read(lambda session: _login_view(session, name))
        is_right = await self._passwords.verify(found.password_hash if found else None, password)
        if found is None or not is_right or found.is_disabled:
            await self._record_failure(visitor, found.name if found else "", "password")
            raise LoginFailed
        if found.factors:  # not succeeded: else each right password would buy new guesses at the second factor
            self._throttle.withdraw(attempt)
            return SecondFactorNeeded(self._tickets.put(_Ticket(found.id, found.name)), found.factors)
        await self._rehash(found, password)
        logged_in = await self._begin(visitor, "password", lambda session: locked_user(session, found.id))
        self._throttle.succeeded(attempt)
        return logged_in

    async def by_totp(self, ticket_id: str, code: str, visitor: Visitor) -> LoggedIn:
        """Raise LoginFailed, LoginExpired or TooManyAttempts."""
        return await self._by_code(ticket_id, code, visitor, "totp", self._proofs.totp)

    async def by_recovery_code(self, ticket_id: str, code: str, visitor: Visitor) -> LoggedIn:
        """As `by_totp`. The code is used up."""
        return await self._by_code(ticket_id, code, visitor, "recovery-code", self._proofs.recovery_code)

    def ask_for_passkey(self) -> tuple[str, Asked]:
        """Return a challenge's id and the options for the browser. Raise PasskeysImpossible."""
        return self._put(self._passkeys.ask_to_prove())

    async def by_passkey(self, challenge_id: str, credential: dict[str, Any], visitor: Visitor) -> LoggedIn:
        """Raise PasskeyRefused or TooManyAttempts."""
        attempt = self._throttle.begin(account="", address=visitor.actor.source)
        challenge = self._take(challenge_id)
        try:
            logged_in = await self._begin(
                visitor, "passkey", lambda session: self._proofs.passkey(session, credential, challenge)
            )
        except PasskeyRefused:
            await self._record_failure(visitor, "", "passkey")
            raise
        self._throttle.succeeded(attempt)
        return logged_in

    async def _by_code(
        self,
        ticket_id: str,
        code: str,
        visitor: Visitor,
        factor: Factor,
        prove: Callable[[Session, str, str], bool],
    ) -> LoggedIn:
        ticket = self._tickets.look(ticket_id)
        if ticket is None:
            raise LoginExpired
        attempt = self._throttle.begin(account=ticket.name, address=visitor.actor.source)
        ticket.attempts_left -= 1
        if ticket.attempts_left <= 0:
            self._tickets.take(ticket_id)

        def proved(session: Session) -> UserRow | None:
            return locked_user(session, ticket.user_id) if prove(session, ticket.user_id, code) else None

        try:
            logged_in = await self._begin(visitor, factor, proved)
        except LoginFailed:
            await self._record_failure(visitor, ticket.name, factor)
            raise
        self._throttle.succeeded(attempt)
        self._tickets.take(ticket_id)
        return logged_in

    async def _begin(self, visitor: Visitor, factor: Factor, who: Callable[[Session], UserRow | None]) -> LoggedIn:
        """Given a function that finds the user, begin a session in the same transaction. Raise LoginFailed."""

        def work(session: Session) -> LoggedIn:
            user = who(session)
            if user is None or user.is_disabled:
                raise LoginFailed
            return LoggedIn(self.begin(session, user, factor, visitor))

        return await self._db.run(work)

    def begin(self, session: Session, user: UserRow, factor: Factor, visitor: Visitor) -> str:
        """Begin a session in the caller's transaction, record it, and return its secret."""
        secret = self._sessions.begin(session, user, factor, source=visitor.actor.source, agent=visitor.agent)
        actor = actor_of(user, visitor.actor)
        record(session, actor, actor.tag("session:create"), user.name, Result.DONE, detail=f"by {factor}")
        return secret

    async def _rehash(self, found: _LoginView, password: str) -> None:
        """Keep the password by today's cost, now that it is known. It may have been changed meanwhile."""
        stored = found.password_hash
        if stored is None or not self._passwords.needs_rehash(stored):
            return
        hashed = await self._passwords.hash(password)

        def work(session: Session) -> None:
            user = locked_user(session, found.id)
            if user is not None and user.password_hash == stored:
                user.password_hash = hashed

        await self._db.run(work)

    async def _record_failure(self, visitor: Visitor, name: str, factor: str) -> None:
        """The name is recorded only if it is a user's: people type passwords into the wrong field."""
        metrics.LOGIN_FAILURES.labels(factor).inc()
        actor = visitor.actor
        await record_now(
            self._db, actor, actor.tag("session:create"), name or "unknown user", Result.DENIED, detail=factor
        )

    # -- once more --------------------------------------------------------------------------------------------------

    async def ask_for_own_passkey(self, user_id: str) -> tuple[str, Asked]:
        """As `ask_for_passkey`, for one of this user's passkeys."""
        own = await self._db.read(
            lambda session: list(session.scalars(select(PasskeyRow.credential_id).where(PasskeyRow.user_id == user_id)))
        )
        return self._put(self._passkeys.ask_to_prove(own))

    async def step_up_by_passkey(
        self, current: OpenSession, actor: Actor, challenge_id: str, credential: dict[str, Any]
    ) -> LoggedIn:
        """Raise PasskeyRefused; also when it is another user's passkey."""
        challenge = self._take(challenge_id)

        def work(session: Session) -> LoggedIn:
            if self._proofs.passkey(session, credential, challenge).id != current.user_id:
                raise PasskeyRefused
            return self._renew(session, current, actor, "passkey")

        return await self._guarded(actor, actor.name, "passkey", lambda: self._db.run(work))

    async def step_up_by_totp(self, current: OpenSession, actor: Actor, code: str) -> LoggedIn:
        """Raise FactorRefused."""

        def work(session: Session) -> LoggedIn:
            if not self._proofs.totp(session, current.user_id, code):
                raise FactorRefused
            return self._renew(session, current, actor, "totp")

        return await self._guarded(actor, actor.name, "totp", lambda: self._db.run(work))

    async def step_up_by_password(self, current: OpenSession, actor: Actor, password: str) -> LoggedIn:
        """Raise FactorRefused; always where there is a second factor."""

        async def attempt() -> LoggedIn:
            await self._check_password(current.user_name, password)
            return await self._db.run(lambda session: self._renew(session, current, actor, "password"))

        return await self._guarded(actor, actor.name, "password", attempt)

    async def confirm(self, actor: Actor, name: str, *, password: str | None, code: str | None) -> str:
        """The local administrator's step-up: an administrator of the portal proves a factor on the terminal.

        returns  a ticket that stands for it for five minutes
        raises   FactorRefused; also for whoever is no administrator
        """

        async def attempt() -> str:
            found = await self._db.read(lambda session: _login_view(session, name))
            if password is not None:
                await self._check_password(name, password)
            is_proved = password is not None or (
                found is not None
                and code is not None
                and await self._db.run(lambda session: self._proofs.totp(session, found.id, code))
            )
            if not is_proved or found is None or found.is_disabled or found.role is not Role.ADMIN:
                raise FactorRefused
            return self._confirmed.put(Confirmed(found.id, found.name))

        return await self._guarded(actor, name, "password" if password is not None else "totp", attempt)

    async def confirmed(self, ticket: str) -> Confirmed | None:
        """Who stands behind a ticket of `confirm`; None when its five minutes, or that one's rights, are over."""
        confirmed = self._confirmed.look(ticket)
        if confirmed is None:
            return None
        user = await self._db.read(lambda session: session.get(UserRow, confirmed.user_id))
        return confirmed if user and user.role == Role.ADMIN and not user.is_disabled else None

    async def _check_password(self, name: str, password: str) -> None:
        found = await self._db.read(lambda session: _login_view(session, name))
        is_right = await self._passwords.verify(found.password_hash if found else None, password)
        if found is None or not is_right or found.is_disabled or found.factors:
            raise FactorRefused

    async def _guarded(self, actor: Actor, account: str, factor: str, prove: Callable[[], Awaitable[T]]) -> T:
        attempt = self._throttle.begin(account=account, address=actor.source)
        try:
            proved = await prove()
        except (FactorRefused, PasskeyRefused):
            metrics.LOGIN_FAILURES.labels(factor).inc()
            await record_now(self._db, actor, actor.tag("session:step-up"), actor.name, Result.DENIED, detail=factor)
            raise
        self._throttle.succeeded(attempt)
        return proved

    def _renew(self, session: Session, current: OpenSession, actor: Actor, factor: Factor) -> LoggedIn:
        secret = self._sessions.renew(session, current.id, factor)
        record(session, actor, actor.tag("session:step-up"), actor.name, Result.DONE, detail=f"by {factor}")
        return LoggedIn(secret)

    # -- out --------------------------------------------------------------------------------------------------------

    async def end(self, actor: Actor, user_id: str, session_id: str) -> None:
        """End one session of a user, if there is one."""

        def work(session: Session) -> None:
            if self._sessions.end(session, user_id, session_id):
                record(session, actor, actor.tag("session:delete"), session_id, Result.DONE)

        await self._db.run(work)

    async def end_all(self, actor: Actor, user_id: str, *, but: str | None = None) -> None:
        """End a user's sessions, except one if it is named."""

        def work(session: Session) -> None:
            count = self._sessions.end_all(session, user_id, but=but)
            record(session, actor, actor.tag("session:delete"), user_id, Result.DONE, after={"ended": count})

        await self._db.run(work)

    # -- challenges -------------------------------------------------------------------------------------------------

    def _put(self, asked: Asked) -> tuple[str, Asked]:
        return self._challenges.put(asked.challenge), asked

    def _take(self, challenge_id: str) -> bytes:
        challenge = self._challenges.take(challenge_id)
        if challenge is None:
            raise PasskeyRefused("The challenge is unknown or too old; try again.")
        return challenge


@dataclass(frozen=True, slots=True)
class _LoginView:
    """What a login needs to know of a user."""

    id: str
    name: str
    role: Role
    is_disabled: bool
    password_hash: str | None
    factors: tuple[SecondFactor, ...]


def _login_view(session: Session, name: str) -> _LoginView | None:
    found = session.execute(
        select(
            UserRow,
            exists().where(PasskeyRow.user_id == UserRow.id),
            exists().where(RecoveryCodeRow.user_id == UserRow.id),
        ).where(UserRow.name == name)
    ).one_or_none()
    if found is None:
        return None
    user, has_passkey, has_codes = found
    has_totp = user.totp_sealed is not None
    has: dict[SecondFactor, bool] = {
        "passkey": has_passkey,
        "totp": has_totp,
        "recovery-code": has_codes and (has_passkey or has_totp),
    }
    factors = tuple(factor for factor, is_there in has.items() if is_there)
    return _LoginView(user.id, user.name, Role(user.role), user.is_disabled, user.password_hash, factors)


def actor_of(user: UserRow, visitor: Actor) -> Actor:
    """The visitor, now that it is known who it is."""
    return Actor("user", user.id, user.name, Role(user.role), visitor.source, visitor.request_id)
