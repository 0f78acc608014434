"""Where a site's mail goes, as something that is planned, applied and taken back (operations.plans).

The value of a site is who it sends as, without a password: that is drawn anew each time something is written, goes to
the mail server as its hash and into the site's `private/mail.json`, and is kept nowhere else. So also the way back
writes a new one.

    {"account": "wp-garden@home.example", "sender": ..., "sender_name": "Garden", "source": "mailbox" | "shared"}
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from portal.broker import schemas
from portal.db import Database
from portal.integrations.site_files import SiteFiles
from portal.mailboxes import passwords, service
from portal.mailboxes.addresses import Address
from portal.mailboxes.database import MailDatabase
from portal.operations.plans import Order, Value
from portal.operations.progress import Progress
from portal.recipes.site_mail import accounts
from portal.recipes.site_mail.models import SiteMailAccountRow
from portal.recipes.site_mail.problems import SiteMailConflict
from portal.wordpress.sites import Site, Sites
from portal.wordpress.whole import whole

log = get_logger()

APPLY, TARGET = "wordpress:mail", "mail of sites"
PASSWORD_BYTES = 24


@dataclass(frozen=True, slots=True)
class Shared:
    """The operator's one account for all sites."""

    user: str
    password: str


@dataclass
class _Begun:
    """
    site             as it was
    states           of the accounts that were made for it before
    is_tree_reached  whether its tree may have another login by now
    """

    site: Site
    states: dict[str, accounts.State]
    is_tree_reached: bool = False


@dataclass(frozen=True)
class SiteMailWork:
    """
    mail         the mail server's database; None: `shared` is used
    host, port   of the submission server, as sites see it
    """

    sites: Sites
    site_files: SiteFiles
    db: Database
    mail: MailDatabase | None
    shared: Shared | None
    host: str
    port: int
    clock: Clock

    async def look(self, target: str, names: Sequence[str]) -> Mapping[str, Value]:
        known = {site.name: site.mail for site in await self.sites.all()}
        return {name: dict(mail) for name in names if (mail := known.get(name)) is not None}

    async def put(self, order: Order, progress: Progress) -> Mapping[str, Any]:
        """All of them, or none: where one cannot be done, those before it send again as they did, or nothing at all.

        While its login is changed, a site is known to have none: what a killed portal leaves is a change once more.
        """
        begun: list[_Begun] = []
        try:
            for change in order.changes:
                progress.at(len(begun), of=len(order.changes))
                site = await self.sites.active(change.name)
                begun.append(_Begun(site, await self._states(site)))
                await whole(self._changed(begun[-1], change.after, progress))
        except BaseException:
            await whole(self._back(begun, progress))
            raise
        progress.at(len(begun), of=len(order.changes))
        return {"sites": [each.site.name for each in begun]}

    async def enabled(self, site: Site) -> list[str]:
        """The accounts that the site can send as now."""
        return sorted(address for address, state in (await self._states(site)).items() if state.is_active)

    async def disable(self, site: Site) -> None:
        """Disable all that were made for this site. Its tree keeps their passwords, wherever it lies."""
        await self._disabled(site, "")

    async def enable(self, site: Site, addresses: Sequence[str]) -> None:
        """Enable those among these that were made for this site, with the passwords that they had."""
        if self.mail is None or not addresses:
            return
        before, now = await self._states(site), now_utc(self.clock)
        wanted = {name: state._replace(is_active=True) for name, state in before.items() if name in addresses}
        await self.mail.run(lambda session: accounts.put_back(session, wanted, wanted, now))

    async def taken(self, site: Site, address: Address) -> str:
        """Why a site cannot have an address of ours; "" when it can."""
        if self.mail is None:
            return "there is no mail server's database"
        is_ours = str(address) in await self._ours(site)
        return await self.mail.read(lambda session: accounts.taken(session, address, is_ours=is_ours))

    # -- one site -----------------------------------------------------------------------------------------------------

    async def _changed(self, begun: _Begun, wanted: Value, progress: Progress) -> None:
        site, password = begun.site, None
        if site.mail is not None:
            await self.sites.change(site.name, mail=None)
        if wanted is not None:
            password = self._password(wanted)
            if wanted["source"] == "mailbox":
                await self._give_account(site, Address.parse(str(wanted["account"])), password, progress)
        begun.is_tree_reached = True
        await self._write(site, wanted, password)
        if wanted is not None:
            await self.sites.change(site.name, mail=dict(wanted))
        for account in await self._disabled(site, "" if wanted is None else str(wanted["account"])):
            progress.note(f"disabled {account}")
        sends = "sends no mail through our server any more" if wanted is None else f"sends as {wanted['sender']}"
        progress.note(f"{site.name} {sends}")

    def _password(self, wanted: Mapping[str, Any]) -> str:
        if wanted["source"] == "mailbox" or self.shared is None:
            return secrets.token_urlsafe(PASSWORD_BYTES)
        return self.shared.password

    async def _write(self, site: Site, wanted: Value, password: str | None) -> None:
        """The login into the site's tree, or none."""
        if wanted is None or password is None:
            await self.site_files.secrets(site.name, site.uid, schemas.Secrets(url=site.url, drop_mail=True))
            return
        login = schemas.MailLogin(
            host=self.host,
            port=self.port,
            user=wanted["account"],
            password=password,
            sender=wanted["sender"],
            sender_name=wanted["sender_name"],
        )
        await self.site_files.secrets(site.name, site.uid, schemas.Secrets(url=site.url, mail=login))

    async def _give_account(self, site: Site, address: Address, password: str, progress: Progress) -> None:
        """Recorded before it is made: what is ours must be known also when this is cut off in between."""
        assert self.mail is not None  # the plan would not name a mailbox
        if why := await self.taken(site, address):
            raise SiteMailConflict(f"{site.name}: {why}", conflicts=[why])
        now = now_utc(self.clock)
        stored = await progress.in_thread(passwords.hashed, password, address.local)
        is_ours = str(address) in await self._ours(site)
        row = SiteMailAccountRow(address=str(address), uid=site.uid, made_at=now)
        await self.db.run(lambda session: session.merge(row))
        try:
            await self.mail.run(lambda session: accounts.give(session, address, stored, now, is_ours=is_ours))
        except service.Refused as error:
            if not is_ours:  # somebody was faster: it is not to be mistaken for ours
                await self.db.run(lambda session: forget(session, str(address)))
            raise SiteMailConflict(f"{site.name}: {error}", conflicts=[str(error)]) from error

    async def _disabled(self, site: Site, keep: str) -> list[str]:
        """Disable those that were made for this site but one, and return them."""
        if self.mail is None:
            return []
        now = now_utc(self.clock)
        others = [Address.parse(each) for each in await self._ours(site) if each != keep]
        for address in others:
            await self.mail.run(partial(accounts.disable, address=address, now=now))
        return [str(each) for each in others]

    # -- the way back -------------------------------------------------------------------------------------------------

    async def _back(self, begun: Sequence[_Begun], progress: Progress) -> None:
        """What has led here is what the operation ends with; what fails on the way back is told beside it."""
        for each in reversed(begun):
            try:
                await self._put_back(each, progress)
            except Exception as error:
                log.error("site_mail_not_put_back", site=each.site.name, error=type(error).__name__, exc_info=error)
                progress.note(f"{each.site.name} may be left with a login that does not fit: configure its mail again")
            else:
                progress.note(f"{each.site.name} sends as it did before")

    async def _put_back(self, begun: _Begun, progress: Progress) -> None:
        """The accounts first, as they were: where the tree was never changed, its login fits again, whatever follows.

        The login that the tree had is not known here. So the site that had one gets another password, in the tree
        before it gets it at the server.
        """
        site, now_there = begun.site, await self.sites.find(begun.site.name)
        if now_there is None or (now_there.uid, now_there.state) != (site.uid, "active"):
            await self._disabled(site, "")  # it goes, or has gone, meanwhile
            return
        if self.mail is not None:
            ours, now = await self._ours(site), now_utc(self.clock)
            await self.mail.run(lambda session: accounts.put_back(session, ours, begun.states, now))
            for address in set(ours) - (await self._states(site)).keys():  # it was never made, and may be somebody's
                await self.db.run(partial(forget, address=address))
        if begun.is_tree_reached:
            password = None if site.mail is None else self._password(site.mail)
            await self._write(site, site.mail, password)
            if site.mail is not None and password is not None and site.mail["source"] == "mailbox":
                await self._give_account(site, Address.parse(str(site.mail["account"])), password, progress)
        await self.sites.change(site.name, mail=site.mail)

    # -- what they share ----------------------------------------------------------------------------------------------

    async def _states(self, site: Site) -> dict[str, accounts.State]:
        """Of the accounts that were made for it."""
        if self.mail is None:
            return {}
        if not (ours := await self._ours(site)):
            return {}  # the mail server need not be there for a site that never sent
        return await self.mail.read(lambda session: accounts.states(session, ours))

    async def _ours(self, site: Site) -> list[str]:
        return await self.db.read(lambda session: made_for(session, site.uid))


def made_for(session: Session, uid: int) -> list[str]:
    found = session.scalars(select(SiteMailAccountRow.address).where(SiteMailAccountRow.uid == uid))
    return sorted(found)


def forget(session: Session, address: str) -> None:
    session.execute(delete(SiteMailAccountRow).where(SiteMailAccountRow.address == address))
