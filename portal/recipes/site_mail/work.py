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
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from kit.problem import Problem
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

PASSWORD_BYTES = 24


@dataclass(frozen=True, slots=True)
class Shared:
    """The operator's one account for all sites."""

    user: str
    password: str


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
        done: list[str] = []
        for change in order.changes:
            site = await self.sites.active(change.name)
            progress.at(len(done), of=len(order.changes))
            if change.after is None:
                await self._remove(site, progress)
            else:
                await self._configure(site, change.after, progress)
            done.append(site.name)
        progress.at(len(done), of=len(order.changes))
        return {"sites": done}

    # -- one site -----------------------------------------------------------------------------------------------------

    async def _configure(self, site: Site, wanted: Mapping[str, Any], progress: Progress) -> None:
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        if wanted["source"] == "mailbox":
            await self._give_account(site, str(wanted["account"]), password, progress)
        elif self.shared is not None:
            password = self.shared.password
        login = schemas.MailLogin(
            host=self.host,
            port=self.port,
            user=wanted["account"],
            password=password,
            sender=wanted["sender"],
            sender_name=wanted["sender_name"],
        )
        try:
            await self.site_files.secrets(site.name, site.uid, schemas.Secrets(url=site.url, mail=login))
            await self.sites.change(site.name, mail=dict(wanted))
        except BaseException:
            if site.mail is None:  # else the login that it had is not known here: only doing it again helps
                await self._take_back(site, progress)
            raise
        await self._disable_others(site, str(wanted["account"]), progress)
        progress.note(f"{site.name} sends as {wanted['sender']}")

    async def _take_back(self, site: Site, progress: Progress) -> None:
        """A site that sent nothing before sends nothing again. Its tree may have the login or not: nobody was told."""
        try:
            await self.site_files.secrets(site.name, site.uid, schemas.Secrets(url=site.url, drop_mail=True))
        except (Problem, OSError) as error:
            progress.note(f"{site.name} may have kept a login, which is disabled: {type(error).__name__}")
        await self.sites.change(site.name, mail=None)
        await self._disable_others(site, "", progress)

    async def _remove(self, site: Site, progress: Progress) -> None:
        await self.site_files.secrets(site.name, site.uid, schemas.Secrets(url=site.url, drop_mail=True))
        await self.sites.change(site.name, mail=None)
        await self._disable_others(site, "", progress)
        progress.note(f"{site.name} sends no mail through our server any more")

    async def _give_account(self, site: Site, account: str, password: str, progress: Progress) -> None:
        """Recorded before it is made: what is ours must be known also when this is cut off in between."""
        assert self.mail is not None  # the plan would not name a mailbox
        address = Address.parse(account)
        if why := await self.taken(site, address):
            raise SiteMailConflict(f"{site.name}: {why}", conflicts=[why])
        now = now_utc(self.clock)
        stored = await progress.in_thread(passwords.hashed, password, address.local)
        row = SiteMailAccountRow(address=str(address), uid=site.uid, made_at=now)
        await self.db.run(lambda session: session.merge(row))
        try:
            await self.mail.run(lambda session: accounts.give(session, address, stored, now))
        except service.Refused as error:
            raise SiteMailConflict(f"{site.name}: {error}", conflicts=[str(error)]) from error

    async def _disable_others(self, site: Site, keep: str, progress: Progress) -> None:
        """Those that were made for this site, and that it does not send as any more."""
        for account in await self._disabled(site, keep):
            progress.note(f"disabled {account}")

    async def end(self, site: Site) -> None:
        """Disable all that were made for this site. Its tree keeps their passwords, wherever it lies."""
        await self._disabled(site, "")

    async def _disabled(self, site: Site, keep: str) -> list[str]:
        if self.mail is None:
            return []
        now = now_utc(self.clock)
        others = [each for each in await self.db.read(lambda session: made_for(session, site.uid)) if each != keep]
        for account in others:
            await self._disable(Address.parse(account), now)
        return others

    async def _disable(self, address: Address, now: Any) -> None:
        assert self.mail is not None
        await self.mail.run(lambda session: accounts.disable(session, address, now))

    async def taken(self, site: Site, address: Address) -> str:
        """Why a site cannot have an address of ours; "" when it can."""
        if self.mail is None:
            return "there is no mail server's database"
        is_ours = str(address) in await self.db.read(lambda session: made_for(session, site.uid))
        return await self.mail.read(lambda session: accounts.taken(session, address, is_ours=is_ours))


def made_for(session: Session, uid: int) -> list[str]:
    found = session.scalars(select(SiteMailAccountRow.address).where(SiteMailAccountRow.uid == uid))
    return sorted(found)
