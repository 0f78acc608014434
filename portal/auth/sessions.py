"""Logins that are under way: opaque ids in a cookie, their digests in a table (security.md 3.1).

A session ends after 30 minutes without a request, after 12 hours in any case, at logout, when it is revoked, when its
user is disabled or removed, and, if it is not the one that asked, when its user changes a factor. It gets a new id
when it begins and at every step-up; the old one opens nothing from then on.

Functions that take a database session run inside the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from kit.problem import Problem
from portal.actor import Role
from portal.auth.models import Factor, PasskeyRow, SessionRow, UserRow
from portal.auth.plain_text import visible
from portal.auth.secret_ids import digest, new_id, new_secret
from portal.db import Database

IDLE = timedelta(minutes=30)  # security.md 3.1; ASVS 5.0 7.3.1
ABSOLUTE = timedelta(hours=12)  # ASVS 5.0 7.3.2
FRESH = timedelta(minutes=5)  # security.md 3.3: how long a proved factor counts as a step-up
SEEN_EVERY = timedelta(minutes=1)  # `seen_at` is written no more often, so a session may end so much earlier


class LoginRequired(Problem):
    """Nobody is logged in, or the session or token does not hold any more."""

    status, type, title = 401, "login-required", "Login required"


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session as it was found for this request.

    factor, factor_at   the strongest thing that was proved last, and when
    has_second_factor   whether its user has one now
    """

    id: str
    user_id: str
    user_name: str
    role: Role
    has_second_factor: bool
    factor: Factor
    factor_at: datetime
    created_at: datetime
    seen_at: datetime

    @property
    def ends_at(self) -> datetime:
        return min(self.seen_at + IDLE, self.created_at + ABSOLUTE)

    def step_up_until(self, act: str) -> datetime | None:
        """Until when `act` needs no further factor; None if what was proved does not count for it.

        A password counts only while there is no second factor. A recovery code stands in for a lost factor, so it
        counts for replacing that one, and for nothing else.
        """
        counts = {
            "passkey": True,
            "totp": True,
            "password": not self.has_second_factor,
            "recovery-code": act == "account:change",
        }
        return self.factor_at + FRESH if counts[self.factor] else None

    def is_stepped_up(self, act: str, now: datetime) -> bool:
        until = self.step_up_until(act)
        return until is not None and now < until


class Sessions:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    async def find(self, secret: str, *, is_activity: bool) -> OpenSession | None:
        """Given what a cookie holds, return the session, or None if there is none (any more).

        is_activity   whether this keeps it from idling out; False for what a page asks without its user
        """
        found = await self._db.read(lambda session: self._find(session, SessionRow.digest == digest(secret)))
        if found and is_activity and now_utc(self._clock) - found.seen_at >= SEEN_EVERY:
            await self._db.run(lambda session: self._see(session, found.id))
        return found

    async def find_by_id(self, session_id: str) -> OpenSession | None:
        """A session that was found earlier, if it is still open; no activity. It may have a new secret since."""
        return await self._db.read(lambda session: self._find(session, SessionRow.id == session_id))

    def begin(self, session: Session, user: UserRow, factor: Factor, *, source: str, agent: str) -> str:
        """Begin a session and return its secret. What has ended of anybody's sessions is cleared away."""
        now = now_utc(self._clock)
        session.execute(
            delete(SessionRow).where((SessionRow.seen_at <= now - IDLE) | (SessionRow.created_at <= now - ABSOLUTE))
        )
        secret = new_secret()
        session.add(
            SessionRow(
                id=new_id(),
                digest=digest(secret),
                user_id=user.id,
                factor=factor,
                factor_at=now,
                created_at=now,
                seen_at=now,
                source=source,
                agent=visible(agent, characters=200),
            )
        )
        user.last_login_at = now
        return secret

    def renew(self, session: Session, session_id: str, factor: Factor) -> str:
        """A factor was proved: give the session a new secret, and return it. Its absolute end stays."""
        secret, now = new_secret(), now_utc(self._clock)
        session.execute(
            update(SessionRow)
            .where(SessionRow.id == session_id)
            .values(digest=digest(secret), factor=factor, factor_at=now, seen_at=now)
        )
        return secret

    def end(self, session: Session, user_id: str, session_id: str) -> bool:
        """End one session of a user; return whether there was one."""
        ended = delete(SessionRow).where(SessionRow.user_id == user_id, SessionRow.id == session_id)
        return _count(session, ended) > 0

    def end_all(self, session: Session, user_id: str, *, but: str | None = None) -> int:
        """End a user's sessions, except one if it is named; return how many there were."""
        return _count(session, delete(SessionRow).where(SessionRow.user_id == user_id, SessionRow.id != (but or "")))

    def list_open(self, session: Session, user_id: str | None = None) -> list[SessionRow]:
        """Given a user, or nobody for everybody's, return the sessions that have not ended, newest first."""
        now = now_utc(self._clock)
        query = select(SessionRow).where(SessionRow.seen_at > now - IDLE, SessionRow.created_at > now - ABSOLUTE)
        if user_id is not None:
            query = query.where(SessionRow.user_id == user_id)
        return list(session.scalars(query.order_by(SessionRow.created_at.desc())))

    def _find(self, session: Session, which: ColumnElement[bool]) -> OpenSession | None:
        has_passkey = exists().where(PasskeyRow.user_id == UserRow.id)
        found = session.execute(
            select(SessionRow, UserRow, has_passkey)
            .join(UserRow, UserRow.id == SessionRow.user_id)
            .where(which, UserRow.is_disabled.is_(False))
        ).one_or_none()
        if found is None:
            return None
        row, user, user_has_passkey = found
        opened = OpenSession(
            id=row.id,
            user_id=user.id,
            user_name=user.name,
            role=Role(user.role),
            has_second_factor=user_has_passkey or user.totp_sealed is not None,
            factor=row.factor,
            factor_at=row.factor_at,
            created_at=row.created_at,
            seen_at=row.seen_at,
        )
        return opened if now_utc(self._clock) < opened.ends_at else None

    def _see(self, session: Session, session_id: str) -> None:
        session.execute(update(SessionRow).where(SessionRow.id == session_id).values(seen_at=now_utc(self._clock)))


def _count(session: Session, statement: object) -> int:
    result = session.execute(statement)  # type: ignore[call-overload]
    return int(result.rowcount)
