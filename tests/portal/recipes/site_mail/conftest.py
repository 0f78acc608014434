"""The mail of real sites: a real Postfix for submission, a real Dovecot behind it, accounts in a real MariaDB."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from kit.clock import SystemClock
from portal.broker.client import Broker
from portal.mailboxes.passwords import SCHEME
from portal.operations.hub import Hub
from portal.operations.plans import Plans
from portal.operations.runner import Operation, Runner
from portal.recipes.site_mail.schemas import ApplyMailPlan, MailPlan, NewMailPlan
from portal.recipes.site_mail.service import SiteMail
from portal.settings import PortalSettings
from portal.wordpress.service import WordPress
from tests.portal import database as databases
from tests.portal.mailboxes.conftest import MailDb
from tests.portal.wordpress.adopted import adopt_into
from tests.portal.wordpress.conftest import ANNA
from tests.portal.wordpress.public_edge import certificate
from tests.services.dovecot import Dovecot
from tests.services.fleet import Fleet
from tests.services.fleet_site import SUBMISSION_PORT
from tests.services.postfix import Postfix

DOMAIN, OTHER_DOMAIN = "sites.example", "others.example"
SUBMISSION = """
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {sasl}
smtpd_sender_login_maps = regexp:{logins}
smtpd_sender_restrictions = reject_sender_login_mismatch
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
"""


class Submission(Postfix):
    """As stacks/mailserver: STARTTLS or nothing, logins of Dovecot, and nobody sends as anybody else."""

    def __init__(self, dovecot: Dovecot, directory: Path) -> None:
        super().__init__(dovecot.lmtp_port, domains=[DOMAIN])
        pem, key = certificate(directory, ["mail.example"])
        logins = self.directory / "etc" / "logins"
        logins.write_text("/^(.*)$/ $1\n")
        more = SUBMISSION.format(certificate=pem, key=key, sasl=dovecot.directory / "run" / "sasl", logins=logins)
        main = self.directory / "etc" / "main.cf"
        kept = [line for line in main.read_text().splitlines() if not line.startswith("smtpd_recipient_restrictions")]
        main.write_text("\n".join(kept) + more)
        with (self.directory / "etc" / "master.cf").open("a") as services:
            services.write("tlsmgr unix - - n 1000? 1 tlsmgr\n")


class Accounts:
    """Dovecot reads the mail server's database in production; here its accounts are copied from there, all the time."""

    def __init__(self, dovecot: Dovecot, mail_db: MailDb) -> None:
        self._users, self._mail_db = dovecot.directory / "users" / DOMAIN, mail_db
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._copy_on)

    def __enter__(self) -> Accounts:
        self._users.mkdir(exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        shutil.rmtree(self._users, ignore_errors=True)

    def _copy_on(self) -> None:
        statement = "SELECT a.address, m.password FROM mailboxes m JOIN addresses a ON a.mailbox_id = m.id"
        while not self._is_over.wait(0.1):
            for address, password in self._mail_db.ask("mail_owner", f"{statement} WHERE m.is_active"):
                entry = self._users / address.partition("@")[0]
                line = f"{address}:{password}::::::\n"
                if not entry.exists() or entry.read_text() != line:
                    part = entry.with_name(entry.name + "\x01")
                    part.write_text(line)
                    part.rename(entry)


@dataclass
class World:
    """The mail of sites as app.py wires it, and what an operator does with it."""

    fleet: Fleet
    mail_db: MailDb
    mail: SiteMail
    wordpress: WordPress
    runner: Runner

    async def plan(self, **wanted: Any) -> MailPlan:
        return await self.mail.plan(ANNA, NewMailPlan(**wanted))

    async def applied(self, plan: MailPlan) -> Operation:
        """Apply it; return the operation when it has ended."""
        return await self.runner.wait((await self.mail.apply(ANNA, plan.id, ApplyMailPlan())).id)

    async def done(self, **wanted: Any) -> MailPlan:
        plan = await self.plan(**wanted)
        operation = await self.applied(plan)
        assert operation.state == "done", operation.error
        return plan

    async def tested(self, site: str) -> Operation:
        return await self.runner.wait((await self.mail.test(ANNA, site)).id)

    def login(self, site: str) -> Path:
        return self.fleet.site(site).tree / "private" / "mail.json"

    def mailboxes(self) -> dict[str, bool]:
        """The accounts of sites, and whether somebody can log in."""
        statement = "SELECT a.address, m.is_active FROM mailboxes m JOIN addresses a ON a.mailbox_id = m.id"
        statement += " WHERE a.address LIKE 'wp-%%'"
        return {address: bool(is_active) for address, is_active in self.mail_db.ask("mail_owner", statement)}

    async def senders(self, *sites: str) -> dict[str, str | None]:
        """The domain each site can really send from: its tree's login fits the one account of it that is enabled."""
        return {site: await self._sender(site) for site in sites}

    async def _sender(self, site: str) -> str | None:
        statement = "SELECT a.address, m.password FROM mailboxes m JOIN addresses a ON a.mailbox_id = m.id"
        statement += f" WHERE a.address LIKE 'wp-{site}@%%' AND m.is_active"
        enabled = dict(self.mail_db.ask("mail_owner", statement))
        told = (await self.wordpress.sites.get(site)).mail
        if not self.login(site).exists():
            assert (told, enabled) == (None, {})
            return None
        login = json.loads(self.login(site).read_text())
        assert told is not None
        assert (login["user"], login["sender_name"]) == (told["account"], told["sender_name"])
        assert enabled.keys() == {login["user"]}
        assert PasswordHasher().verify(enabled[login["user"]].removeprefix(SCHEME), login["password"])
        return "@" + str(login["user"]).partition("@")[2]


@pytest.fixture(scope="module")
def mail_dovecot() -> Iterator[Dovecot]:
    """One that Postfix may ask for logins."""
    extra = "service auth {\n  unix_listener sasl {\n    mode = 0666\n  }\n}\nauth_mechanisms = plain login\n"
    with Dovecot(extra=extra) as running:
        yield running


@pytest.fixture(scope="module")
def submission(mail_dovecot: Dovecot, fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Submission]:
    with Submission(mail_dovecot, tmp_path_factory.mktemp("submission")) as running:
        fleet.lead_submission(running.smtp_port)
        yield running


@pytest.fixture
def way(submission: Submission, mail_dovecot: Dovecot, mail_db: MailDb) -> Iterator[dict[str, Any]]:
    """The way from a site into its mailbox; the settings for it."""
    for domain in (DOMAIN, OTHER_DOMAIN):
        mail_db.done("domain", "add", domain)
    with Accounts(mail_dovecot, mail_db):
        yield {
            "site_mail_host": "mail-postfix",
            "site_mail_port": SUBMISSION_PORT,
            "mail_imap_url": f"imap://127.0.0.1:{mail_dovecot.imap_port}",
            "mail_canary_s": 30,
        }


@contextlib.asynccontextmanager
async def standing(
    url: str, directory: Path, fleet: Fleet, mail_db: MailDb, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> AsyncIterator[World]:
    for name, value in mail_db.environment.items():
        monkeypatch.setenv(name, value)
    made = PortalSettings(state_dir=directory, web_dir=fleet.web_dir, **settings)
    clock, hub, broker = SystemClock(), Hub(), Broker(fleet.broker_socket)
    with databases.opened(url) as database:
        runner = Runner(database, hub, clock, recheck_waits_s=(0.05,))
        plans = Plans(database, runner, clock)
        wordpress = WordPress.of(broker, database, hub, runner, plans, clock, made)
        mail = SiteMail.of(wordpress, database, runner, plans, clock, made)
        wordpress.begin()
        mail.begin()
        await runner.recover()
        await adopt_into(wordpress.sites, fleet)
        try:
            yield World(fleet, mail_db, mail, wordpress, runner)
        finally:
            await runner.close()
            await wordpress.close()
            await mail.close()
            await broker.close()
            hub.close()


@pytest.fixture
async def world(
    database_url: str,
    tmp_path: Path,
    fleet: Fleet,
    mail_db: MailDb,
    way: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[World]:
    async with standing(database_url, tmp_path, fleet, mail_db, monkeypatch, **way) as ready:
        yield ready
    for site in fleet.sites.values():
        (site.tree / "private" / "mail.json").unlink(missing_ok=True)
