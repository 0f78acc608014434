"""The sites that Homeport knows: one table, also of those that are gone, since no user id is ever given twice.

    site = await sites.add(NewSite("garden", ("garden.example",), server="blog"), operation_id=progress.operation_id)
    site = await sites.change("garden", state="active")
    await sites.remove("garden")                       # the row stays, the name may be used again

Recipes make and remove sites; this only remembers them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from kit.problem import Problem
from portal.broker.schemas import FIRST_UID, LAST_UID
from portal.db import Database
from portal.integrations.php_settings import PhpSettings
from portal.wordpress.models import HostnameRow, SiteRow
from portal.wordpress.names import check_hostnames, check_name, database_of

ADD_ATTEMPTS = 5  # at a user id that another one takes at the same time

State = Literal["creating", "active", "removing", "removed"]
Ring = Literal[1, 2]


class NoSuchSite(Problem):
    """There is no site of this name, or it has been removed. `homeport wordpress list` shows those that there are."""

    status, type, title = 404, "no-such-site", "No such site"


class SiteExists(Problem):
    """A site has this name already. Choose another one."""

    status, type, title = 409, "site-exists", "There is such a site"


class HostnameTaken(Problem):
    """A host name belongs to another site; `site` says to which. Take it from there first."""

    status, type, title = 409, "site-hostname-taken", "Host name belongs to another site"


class NoMoreUids(Problem):
    """Every user id between 20000 and 29999 was given to a site once. None is given twice: a tree that is left of an
    old site must belong to nobody else."""

    status, type, title = 409, "no-more-uids", "No user id is left"


@dataclass(frozen=True, slots=True)
class NewSite:
    """
    hostnames               A-labels, the primary one first
    server                  of its database, as the databases room names it
    redis_password_sha256   64 hexadecimal digits
    adopted                 it was there before Homeport knew of it: imported, not made
    """

    name: str
    hostnames: tuple[str, ...]
    server: str
    redis_password_sha256: str
    ring: Ring = 2
    php: PhpSettings = field(default_factory=PhpSettings)
    xmlrpc: bool = False
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class Site:
    """
    uid            of its files and processes, its group too
    database       and account: on `server`, called alike
    ring           1 is updated first
    mail           where its mail goes, without the password; None: nowhere
    is_served      it is among the virtual hosts
    is_maintained  the web server answers 503 in its place
    made_by        the operation that made it
    """

    name: str
    hostnames: tuple[str, ...]
    uid: int
    server: str
    database: str
    account: str
    redis_password_sha256: str
    state: State
    ring: Ring
    php: PhpSettings
    mail: Mapping[str, Any] | None
    xmlrpc: bool
    is_served: bool
    is_maintained: bool
    adopted: bool
    made_by: str | None
    created_at: datetime
    removed_at: datetime | None

    @property
    def url(self) -> str:
        """Of the primary host name."""
        return f"https://{self.hostnames[0]}"


_CHANGEABLE = frozenset(
    {"state", "ring", "php", "mail", "xmlrpc", "is_served", "is_maintained", "hostnames", "redis_password_sha256"}
)


class Sites:
    """on_remove: called with the name of a site that is gone, by which another one may be called from now on."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.on_remove: Callable[[str], None] = lambda _: None

    async def all(self) -> list[Site]:
        """Return the sites that are not removed, by name."""
        return await self._database.read(_all)

    async def removed(self) -> list[Site]:
        """Return the sites that were, the last one first; they have no host names any more."""
        return await self._database.read(_removed)

    async def get(self, name: str) -> Site:
        """Raise NoSuchSite."""
        return await self._database.read(lambda session: _site(session, _row(session, name)))

    async def find(self, name: str) -> Site | None:
        """Return None where there is none."""
        try:
            return await self.get(name)
        except NoSuchSite:
            return None

    async def active(self, name: str) -> Site:
        """Return a site that can be acted on. Raise NoSuchSite, also for one that is being made or removed."""
        site = await self.get(name)
        if site.state != "active":
            raise NoSuchSite(f"{name} is not ready: it is {site.state}")
        return site

    async def add(self, new: NewSite, *, operation_id: str | None) -> Site:
        """Remember a site, in the state `creating`, with a user id that none had before.

        raises   SiteNameInvalid, SiteExists, HostnameTaken, NoMoreUids
        """
        check_name(new.name)
        check_hostnames(new.hostnames)
        now = now_utc(self._clock)
        for attempts_left in reversed(range(ADD_ATTEMPTS)):
            try:
                return await self._database.run(lambda session: _add(session, new, operation_id, now))
            except IntegrityError:  # somebody was quicker, with the name, a host name or the id: the next look says
                if not attempts_left:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def change(self, name: str, **changes: Any) -> Site:
        """Set members of a site: state (not `removed`), ring, php, mail, xmlrpc, is_served, is_maintained, hostnames,
        redis_password_sha256. Return it as it is then.

        raises   NoSuchSite, HostnameTaken, SiteNameInvalid
        """
        if unknown := changes.keys() - _CHANGEABLE:
            raise ValueError(f"cannot be changed: {', '.join(sorted(unknown))}")
        if changes.get("state") == "removed":
            raise ValueError("remove() removes")
        if "hostnames" in changes:
            check_hostnames(tuple(changes["hostnames"]))
        return await self._database.run(lambda session: _change(session, name, changes))

    async def remove(self, name: str) -> Site:
        """Keep the row of a site that is gone, and give its name and host names free. Raise NoSuchSite."""
        now = now_utc(self._clock)
        site = await self._database.run(lambda session: _remove(session, name, now))
        self.on_remove(name)
        return site

    async def bring_back(self, uid: int, hostnames: Sequence[str], state: State) -> Site:
        """Let a removed site be one again; one that never went stays as it is. Raise SiteExists, HostnameTaken."""
        return await self._database.run(lambda session: _bring_back(session, uid, hostnames, state))


def _add(session: Session, new: NewSite, operation_id: str | None, now: datetime) -> Site:
    if session.scalar(select(SiteRow.uid).where(SiteRow.live_name == new.name)) is not None:
        raise SiteExists(f"there is a site called {new.name}")
    _require_free(session, new.hostnames, None)
    uid = max(session.scalar(select(func.max(SiteRow.uid))) or 0, FIRST_UID - 1) + 1
    if uid > LAST_UID:
        raise NoMoreUids(f"{LAST_UID} was the last")
    row = SiteRow(
        uid=uid,
        name=new.name,
        live_name=new.name,
        server=new.server,
        database=database_of(new.name),
        account=database_of(new.name),
        redis_password_sha256=new.redis_password_sha256,
        state="creating",
        ring=new.ring,
        php=new.php.model_dump_json(),
        mail=None,
        xmlrpc=new.xmlrpc,
        is_served=False,
        is_maintained=False,
        adopted=new.adopted,
        made_by=operation_id,
        created_at=now,
        removed_at=None,
    )
    session.add(row)
    session.flush()  # before its host names, which refer to it
    _put_hostnames(session, uid, new.hostnames)
    return _site(session, row)


def _change(session: Session, name: str, changes: Mapping[str, Any]) -> Site:
    row = _row(session, name, is_locked=True)
    if changes.get("state", row.state) not in get_args(State):
        raise ValueError(f"{changes['state']!r} is no state")
    for member, value in changes.items():
        if member == "hostnames":
            _require_free(session, value, row.uid)
            _put_hostnames(session, row.uid, value)
        elif member == "php":
            row.php = value.model_dump_json()
        elif member == "mail":
            row.mail = None if value is None else json.dumps(value)
        else:
            setattr(row, member, value)
    session.flush()
    return _site(session, row)


def _remove(session: Session, name: str, now: datetime) -> Site:
    row = _row(session, name, is_locked=True)
    site = _site(session, row)
    session.execute(delete(HostnameRow).where(HostnameRow.uid == row.uid))
    row.state, row.live_name, row.removed_at, row.is_served = "removed", None, now, False
    session.flush()
    return replace(site, state="removed", removed_at=now, is_served=False)


def _bring_back(session: Session, uid: int, hostnames: Sequence[str], state: State) -> Site:
    row = session.get_one(SiteRow, uid, with_for_update=True)
    if row.live_name is None:
        if session.scalar(select(SiteRow.uid).where(SiteRow.live_name == row.name)) is not None:
            raise SiteExists(f"there is a site called {row.name}")
        _require_free(session, hostnames, uid)
        row.state, row.live_name, row.removed_at = state, row.name, None
        session.flush()
        _put_hostnames(session, uid, hostnames)
    return _site(session, row)


def _row(session: Session, name: str, *, is_locked: bool = False) -> SiteRow:
    wanted = select(SiteRow).where(SiteRow.live_name == name)
    row = session.scalars(wanted.with_for_update() if is_locked else wanted).one_or_none()
    if row is None:
        raise NoSuchSite("no site has this name")
    return row


def _require_free(session: Session, hostnames: Sequence[str], uid: int | None) -> None:
    taken = session.execute(
        select(HostnameRow.hostname, SiteRow.name)
        .join(SiteRow, SiteRow.uid == HostnameRow.uid)
        .where(HostnameRow.hostname.in_(hostnames), HostnameRow.uid != (uid or 0))
        .order_by(HostnameRow.hostname)
    ).first()
    if taken is not None:
        raise HostnameTaken(f"{taken[0]} belongs to {taken[1]}", site=taken[1])


def _put_hostnames(session: Session, uid: int, hostnames: Sequence[str]) -> None:
    session.execute(delete(HostnameRow).where(HostnameRow.uid == uid))
    session.add_all(
        [HostnameRow(hostname=hostname, uid=uid, position=position) for position, hostname in enumerate(hostnames)]
    )
    session.flush()


def _all(session: Session) -> list[Site]:
    rows = session.scalars(select(SiteRow).where(SiteRow.live_name.is_not(None)).order_by(SiteRow.name)).all()
    hostnames = _hostnames(session, None)
    return [_to_site(row, hostnames.get(row.uid, ())) for row in rows]


def _removed(session: Session) -> list[Site]:
    rows = session.scalars(select(SiteRow).where(SiteRow.live_name.is_(None)).order_by(SiteRow.removed_at.desc()))
    return [_to_site(row, ()) for row in rows]


def _site(session: Session, row: SiteRow) -> Site:
    return _to_site(row, _hostnames(session, row.uid).get(row.uid, ()))


def _hostnames(session: Session, uid: int | None) -> dict[int, tuple[str, ...]]:
    wanted = select(HostnameRow).order_by(HostnameRow.uid, HostnameRow.position)
    found: dict[int, tuple[str, ...]] = {}
    for row in session.scalars(wanted if uid is None else wanted.where(HostnameRow.uid == uid)):
        found[row.uid] = (*found.get(row.uid, ()), row.hostname)
    return found


_AS_THEY_ARE = (
    *("name", "uid", "server", "database", "account", "redis_password_sha256", "state", "ring", "xmlrpc"),
    *("is_served", "is_maintained", "adopted", "made_by", "created_at", "removed_at"),
)


def _to_site(row: SiteRow, hostnames: tuple[str, ...]) -> Site:
    return Site(
        hostnames=hostnames,
        php=PhpSettings.model_validate_json(row.php),
        mail=None if row.mail is None else json.loads(row.mail),
        **{name: getattr(row, name) for name in _AS_THEY_ARE},
    )
