"""Users: the first administrator, invitations, roles, disabling, reset.

Nobody chooses somebody else's password. A new user gets a one-time link, shown once to whoever made it, and chooses the
password there; `reset` takes away the password and all factors and makes such a link again. The first administrator's
link is printed on the console at start, as long as there is no user (invitations.py).

The last administrator can be neither disabled nor demoted nor removed, and nobody can do that to themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from kit.problem import Problem
from portal.actor import Actor, Role
from portal.audit import Result, record
from portal.auth.invitations import Invitations
from portal.auth.logins import LoggedIn, Logins, Visitor
from portal.auth.models import PasskeyRow, RecoveryCodeRow, UserRow
from portal.auth.passwords import PasswordRefused, Passwords, weakness
from portal.auth.proofs import locked_user
from portal.auth.secret_ids import new_id, new_secret
from portal.auth.sessions import Sessions
from portal.auth.site import Site
from portal.db import Database


class SetupRefused(Problem):
    """The set-up link does not hold: it is wrong or too old, or the portal has been set up."""

    status, type, title = 403, "setup-refused", "Set-up refused"


class InvitationRefused(Problem):
    """The invitation does not hold: it is wrong, too old, or was used."""

    status, type, title = 403, "invitation-refused", "Invitation refused"


class NoSuchUser(Problem):
    """There is no user with this id or name."""

    status, type, title = 404, "no-such-user", "No such user"


class UserExists(Problem):
    """There is a user of this name already."""

    status, type, title = 409, "user-exists", "User exists"


class UserProtected(Problem):
    """This would lock everybody out, or is about whoever asks for it."""

    status, type, title = 409, "user-protected", "User is protected"


@dataclass(frozen=True, slots=True)
class User:
    """
    factors        of password, totp, passkey
    open_sessions  how many there are just now
    """

    id: str
    name: str
    role: Role
    is_disabled: bool
    factors: tuple[str, ...]
    created_at: datetime
    last_login_at: datetime | None
    open_sessions: int


@dataclass(frozen=True, slots=True)
class Invited:
    """A user, and the one-time link to choose a password with; the link is shown once."""

    user: User
    link: str


class Users:
    def __init__(
        self, db: Database, clock: Clock, site: Site, passwords: Passwords, sessions: Sessions, logins: Logins
    ) -> None:
        self._db, self._clock, self._invitations = db, clock, Invitations(clock, site)
        self._passwords, self._sessions, self._logins = passwords, sessions, logins

    # -- the first one ----------------------------------------------------------------------------------------------

    async def is_set_up(self) -> bool:
        return await self._db.read(lambda session: _count_users(session) > 0)

    async def begin_setup(self) -> str | None:
        """Return a new link for the first administrator, which replaces earlier ones; None once there is a user."""
        secret = new_secret()

        def work(session: Session) -> bool:
            if _count_users(session):
                return False
            self._invitations.make(session, secret, None)
            return True

        return self._invitations.setup_link(secret) if await self._db.run(work) else None

    async def set_up(self, secret: str, name: str, password: str, visitor: Visitor) -> LoggedIn:
        """Make the first administrator, and log in. Raise SetupRefused or PasswordRefused."""
        if not await self._db.read(lambda session: self._invitations.is_setup(session, secret)):
            raise SetupRefused  # before any costly work
        _check_password(password, name)
        hashed = await self._passwords.hash(password)

        def work(session: Session) -> LoggedIn:
            if not self._invitations.use_up_setup(session, secret) or _count_users(session):
                raise SetupRefused
            user = self._add(session, name, Role.ADMIN)
            user.password_hash = hashed
            session.flush()
            secret_of_session = self._logins.begin(session, user, "password", visitor)
            _record(session, visitor.actor, "users:create", name, after={"role": Role.ADMIN, "by": "setup"})
            return LoggedIn(secret_of_session)

        return await self._db.run(work)

    # -- the others -------------------------------------------------------------------------------------------------

    async def list_all(self) -> list[User]:
        return await self._db.read(self._list)

    async def create(self, actor: Actor, name: str, role: Role) -> Invited:
        """Raise UserExists."""
        secret = new_secret()

        def work(session: Session) -> User:
            user = self._add(session, name, role)
            try:
                session.flush()
            except IntegrityError:
                raise UserExists(f"{name} is taken.") from None
            self._invitations.make(session, secret, user.id)
            _record(session, actor, "users:create", name, after={"role": role})
            return self._view(session, user)

        return Invited(await self._db.run(work), self._invitations.invitation_link(secret))

    async def accept_invitation(self, secret: str, password: str, visitor: Visitor) -> LoggedIn:
        """Choose the password, and log in. Raise InvitationRefused or PasswordRefused."""
        name = await self._db.read(lambda session: self._invitations.invited(session, secret))
        if name is None:
            raise InvitationRefused  # before any costly work
        _check_password(password, name)
        hashed = await self._passwords.hash(password)

        def work(session: Session) -> LoggedIn:
            user_id = self._invitations.use_up(session, secret)
            user = locked_user(session, user_id) if user_id else None
            if user is None or user.is_disabled:
                raise InvitationRefused
            user.password_hash = hashed
            return LoggedIn(self._logins.begin(session, user, "password", visitor))

        return await self._db.run(work)

    async def change(self, actor: Actor, user_id: str, *, role: Role | None, is_disabled: bool | None) -> User:
        """Change what is given. Disabling ends the user's sessions; the tokens stop with it. Raise UserProtected."""

        def work(session: Session) -> User:
            user = _existing(session, user_id)
            before = {"role": user.role, "is_disabled": user.is_disabled}
            if (role is not None and role is not Role.ADMIN) or is_disabled:
                _protect(session, actor, user)
            if role is not None:
                user.role = role.value
            if is_disabled is not None:
                user.is_disabled = is_disabled
            if is_disabled:
                self._sessions.end_all(session, user.id)
            after = {"role": user.role, "is_disabled": user.is_disabled}
            _record(session, actor, "users:change", user.name, before=before, after=after)
            return self._view(session, user)

        return await self._db.run(work)

    async def reset(self, actor: Actor, user_id: str) -> Invited:
        """Take away the password, all factors and all sessions, and invite again. Raise UserProtected for oneself."""

        secret = new_secret()

        def work(session: Session) -> User:
            user = _existing(session, user_id)
            if actor.id == user.id:
                raise UserProtected("Change your own password and factors in your account.")
            return self._reset(session, actor, user, secret)

        return Invited(await self._db.run(work), self._invitations.invitation_link(secret))

    def reset_by_name(self, actor: Actor, name: str) -> Invited:
        """Break-glass, in this thread and without the portal: as `reset`, and the user is enabled again."""
        secret = new_secret()

        def work(session: Session) -> User:
            user_id = session.scalars(select(UserRow.id).where(UserRow.name == name)).one_or_none()
            if user_id is None:
                raise NoSuchUser(f"There is no user {name}.")
            user = _existing(session, user_id)
            user.is_disabled = False
            return self._reset(session, actor, user, secret, detail="break-glass")

        return Invited(self._db.run_sync(work), self._invitations.invitation_link(secret))

    async def end_sessions(self, actor: Actor, user_id: str) -> None:
        await self._db.read(lambda session: _existing(session, user_id, is_locked=False))
        await self._logins.end_all(actor, user_id)

    async def delete(self, actor: Actor, user_id: str) -> None:
        """Remove a user with all that is theirs, tokens included. Raise UserProtected."""

        def work(session: Session) -> None:
            user = _existing(session, user_id)
            _protect(session, actor, user)
            session.delete(user)
            _record(session, actor, "users:delete", user.name, before={"role": user.role})

        await self._db.run(work)

    async def name_of(self, user_id: str) -> str:
        """Raise NoSuchUser."""
        return await self._db.read(lambda session: _existing(session, user_id, is_locked=False).name)

    # -- inside a transaction ---------------------------------------------------------------------------------------

    def _add(self, session: Session, name: str, role: Role) -> UserRow:
        user = UserRow(id=new_id(), name=name, role=role.value, is_disabled=False, created_at=now_utc(self._clock))
        session.add(user)
        return user

    def _reset(self, session: Session, actor: Actor, user: UserRow, secret: str, detail: str = "reset") -> User:
        before = {"factors": self._view(session, user).factors}
        user.password_hash = user.totp_sealed = user.totp_enrolled_at = user.totp_last_step = None
        for table in (PasskeyRow, RecoveryCodeRow):
            session.execute(delete(table).where(table.user_id == user.id))
        self._sessions.end_all(session, user.id)
        self._invitations.make(session, secret, user.id)
        _record(session, actor, "users:change", user.name, before=before, after={"factors": []}, detail=detail)
        return self._view(session, user)

    def _list(self, session: Session) -> list[User]:
        return [self._view(session, user) for user in session.scalars(select(UserRow).order_by(UserRow.name))]

    def _view(self, session: Session, user: UserRow) -> User:
        has = {
            "password": user.password_hash is not None,
            "totp": user.totp_sealed is not None,
            "passkey": bool(
                session.scalar(select(func.count()).select_from(PasskeyRow).where(PasskeyRow.user_id == user.id))
            ),
        }
        return User(
            id=user.id,
            name=user.name,
            role=Role(user.role),
            is_disabled=user.is_disabled,
            factors=tuple(factor for factor, is_there in has.items() if is_there),
            created_at=user.created_at,
            last_login_at=user.last_login_at,
            open_sessions=len(self._sessions.list_open(session, user.id)),
        )


def _existing(session: Session, user_id: str, *, is_locked: bool = True) -> UserRow:
    user = locked_user(session, user_id) if is_locked else session.get(UserRow, user_id)
    if user is None:
        raise NoSuchUser
    return user


def _protect(session: Session, actor: Actor, user: UserRow) -> None:
    """Raise UserProtected for oneself and for the last administrator."""
    if actor.id == user.id:
        raise UserProtected("Nobody removes, disables or demotes themselves; ask another administrator.")
    admins = session.scalars(
        select(UserRow.id)
        .where(UserRow.role == Role.ADMIN.value, UserRow.is_disabled.is_(False))
        .order_by(UserRow.id)
        .with_for_update()  # two administrators who demote each other at once take turns
    ).all()
    if list(admins) == [user.id]:
        raise UserProtected(f"{user.name} is the last administrator.")


def _count_users(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(UserRow)) or 0


def _check_password(password: str, name: str) -> None:
    if reason := weakness(password, name):
        raise PasswordRefused(reason)


def _record(
    session: Session,
    actor: Actor,
    act: str,
    target: str,
    *,
    before: object = None,
    after: object = None,
    detail: str = "",
) -> None:
    record(session, actor, actor.tag(act), target, Result.DONE, before=before, after=after, detail=detail)
