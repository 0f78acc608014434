"""Mail domains with all they stand on: Cloudflare's fake, a real MariaDB, a relay that hands mail to a real Dovecot."""

from __future__ import annotations

import contextlib
import email
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql  # type: ignore[import-untyped]
import pytest
from pydantic import SecretStr

from kit.clock import SystemClock
from portal.actor import Actor
from portal.dns.service import DnsRoom
from portal.integrations.cloudflare import Cloudflare
from portal.mailboxes.database import MailDatabase
from portal.mailboxes.settings import MailboxesSettings
from portal.operations.hub import Hub
from portal.operations.plans import Plans
from portal.operations.runner import Operation, Runner
from portal.probes import Uses
from portal.recipes.mail_domain.schemas import ApplyDomainPlan, DomainPlan, MailDomainView, NewDomainPlan
from portal.recipes.mail_domain.service import MailDomains
from portal.settings import PortalSettings
from tests.fakes.cloudflare import CloudflareFake
from tests.portal import database as databases
from tests.portal.conftest import HOME, TWO, Edge, Ended
from tests.portal.mailboxes.conftest import PASSWORDS, MailDb, make_accounts
from tests.services.dialogue import Dialogue
from tests.services.dovecot import Dovecot
from tests.services.mariadb import MariaDB
from tests.services.tcp import TcpServer

JP = "example.co.jp"
DATABASE = "mail_of_recipes"
ANNA = Actor.system("anna")
SENDER = "canary@outside.example"


class Relay(TcpServer):
    """A smarthost: takes one message after the other and hands each to `deliver`.

    refusal   what it says to RCPT instead of taking it
    """

    def __init__(self) -> None:
        super().__init__(self._serve_one)
        self.messages: list[bytes] = []
        self.deliver: Callable[[str, bytes], None] = lambda _to, _message: None
        self.refusal: bytes | None = None

    def _serve_one(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            connection.sendall(b"220 relay.test ESMTP\r\n")
            to = ""
            for line in lines:
                verb = line[:4].upper()
                if verb == b"RCPT":
                    to = line.partition(b"<")[2].partition(b">")[0].decode()
                    connection.sendall(self.refusal or b"250 2.1.5 ok\r\n")
                elif verb == b"DATA":
                    connection.sendall(b"354 go on\r\n")
                    message = b"".join(iter(lines.readline, b".\r\n"))
                    self.messages.append(message)
                    self.deliver(to, message)
                    connection.sendall(b"250 2.0.0 queued as R1\r\n")
                else:
                    connection.sendall(b"221 bye\r\n" if verb == b"QUIT" else b"250 relay.test\r\n")
                    if verb == b"QUIT":
                        return


@dataclass
class World:
    """Mail domains as app.py wires them, and what an operator does with them."""

    service: MailDomains
    cf: CloudflareFake
    runner: Runner
    room: DnsRoom

    async def plan(self, domain: str = JP, act: Any = "add", **asked: Any) -> DomainPlan:
        return await self.service.plan(ANNA, NewDomainPlan(act=act, domain=domain, **asked))

    async def apply(self, plan: DomainPlan) -> Operation:
        """Apply it as one who may; return the operation when it has ended."""
        wanted = ApplyDomainPlan(typed_names=[plan.domain])
        begun = await self.service.apply(ANNA, plan.id, wanted, lambda: None)
        return await self.runner.wait(begun.id)

    async def done(self, domain: str = JP, act: Any = "add", **asked: Any) -> Operation:
        """Plan and apply, and be sure that it worked."""
        operation = await self.apply(await self.plan(domain, act, **asked))
        assert operation.state == "done", (operation.error, operation.report)
        return operation

    async def view(self, domain: str = JP) -> MailDomainView:
        (found,) = [each for each in (await self.service.domains()).domains if each.domain == domain]
        return found


@dataclass
class Desk:
    """Stands a world up, again and again on the same state: a restart of the portal."""

    cf: CloudflareFake
    edge: Edge
    database_url: str
    mail_db: MailDb
    monkeypatch: pytest.MonkeyPatch
    settings: dict[str, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def stand(self, **more: Any) -> AsyncIterator[World]:
        given: dict[str, Any] = {
            "state_dir": self.edge.state_dir,
            "cloudflare_token": SecretStr(self.cf.token()),
            "cloudflare_account": self.cf.account_id,
            "cloudflare_url": self.cf.url,
            "edge_mail_api_url": "https://mail-api.home.example",
            "edge_keys_file": self.edge.keys_file,
            "edge_worker_file": self.edge.worker_file,
            "mail_dkim": ("s1=s1.domainkey.relay.example",),
            "mail_dmarc_rua": "reports@home.example",
        }
        given |= self.settings | more
        canary_s = given.pop("canary_s", None)  # less than anybody may set
        settings = PortalSettings(**given)
        settings = settings.model_copy(update={"mail_canary_s": canary_s} if canary_s is not None else {})
        settings.state_dir.mkdir(exist_ok=True)
        for name, value in self.mail_db.environment.items():
            self.monkeypatch.setenv(name, value)
        clock, hub = SystemClock(), Hub()
        cloudflare = Cloudflare(
            settings.cloudflare_token or SecretStr(""),
            account=self.cf.account_id,
            url=settings.cloudflare_url,
            say=lambda _: None,
        )
        with databases.opened(self.database_url) as database:
            runner = Runner(database, hub, clock, recheck_waits_s=(0.05,))
            plans = Plans(database, runner, clock)
            room = DnsRoom.of(cloudflare, database, hub, runner, plans, Uses({}), clock, settings)
            service = MailDomains.of(cloudflare, room, database, runner, plans, clock, settings)
            room.begin()
            service.begin()
            await runner.recover()
            try:
                yield World(service, self.cf, runner, room)
            finally:
                await runner.close()
                await service.close()
                await room.close()
                await cloudflare.close()
                hub.close()


@pytest.fixture
def cf() -> Iterator[CloudflareFake]:
    with CloudflareFake(zones=[JP, HOME, TWO]) as fake:
        yield fake


@pytest.fixture
def edge(cf: CloudflareFake, tmp_path: Path, run_cli: Callable[..., Ended]) -> Edge:
    """`homeport edge` beside the portal, without any zone in its settings."""
    desk = Edge(cf, tmp_path, run_cli)
    del desk.settings["edge_zones"]
    return desk


@pytest.fixture(scope="session")
def migrated_mail(mariadb: MariaDB) -> Iterator[None]:
    """The mail server's database, made once; each test finds it empty."""
    make_accounts(mariadb, *PASSWORDS)
    mariadb.execute(
        f"CREATE OR REPLACE DATABASE {DATABASE} CHARACTER SET utf8mb4",
        f"GRANT ALL ON {DATABASE}.* TO mail_owner@'%' WITH GRANT OPTION",
    )
    with contextlib.closing(MailDatabase(MailboxesSettings.load(_environment(mariadb)))) as database:
        database.migrate()
    yield
    mariadb.execute(f"DROP DATABASE {DATABASE}")


def _environment(server: MariaDB) -> dict[str, str]:
    return {
        "HOMEPORT_MAILBOXES_DATABASE_URL": f"mysql+pymysql://mail_owner@127.0.0.1:{server.port}/{DATABASE}",
        "HOMEPORT_MAILBOXES_DATABASE_PASSWORD": PASSWORDS["mail_owner"],
    }


class RecipeMailDb(MailDb):
    """In a database of its own, which is migrated once."""

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Ended:
        return self.run_cli("mailboxes", *arguments, stdin=stdin, environment=self.environment | environment)

    def ask(self, account: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with (
            pymysql.connect(
                host="127.0.0.1", port=self.server.port, user=account, password=PASSWORDS[account], database=DATABASE
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    @property
    def environment(self) -> dict[str, str]:
        return _environment(self.server)


@pytest.fixture
def mail_db(migrated_mail: None, mariadb: MariaDB, run_cli: Callable[..., Ended]) -> Iterator[MailDb]:
    make_accounts(mariadb, *PASSWORDS)  # other tests drop them
    mariadb.execute(f"GRANT ALL ON {DATABASE}.* TO mail_owner@'%' WITH GRANT OPTION")
    yield RecipeMailDb(mariadb, run_cli)
    mariadb.execute(*(f"DELETE FROM {DATABASE}.{table}" for table in ("addresses", "mailboxes", "domains")))


@pytest.fixture
def desk(cf: CloudflareFake, edge: Edge, database_url: str, mail_db: MailDb, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(cf, edge, database_url, mail_db, monkeypatch)


@pytest.fixture
async def world(desk: Desk) -> AsyncIterator[World]:
    """Without a relay: everything but a canary."""
    async with desk.stand() as standing:
        yield standing


@pytest.fixture
def relay() -> Iterator[Relay]:
    with Relay() as running:
        yield running


@pytest.fixture
def mail_way(relay: Relay, dovecot: Dovecot, mail_db: MailDb) -> Iterator[dict[str, Any]]:
    """The way from the relay into Dovecot's mailbox; the settings for it. Its password is the one in MariaDB."""

    def deliver(to: str, message: bytes) -> None:
        assert email.message_from_bytes(message)["From"] == SENDER
        statement = "SELECT m.password FROM mailboxes m JOIN addresses a ON a.mailbox_id = m.id WHERE a.address = %s"
        ((password,),) = mail_db.ask("mail_owner", statement, to)
        local, _, domain = to.partition("@")
        entry = dovecot.directory / "users" / domain / local
        entry.parent.mkdir(exist_ok=True)
        if not entry.exists():  # a new one is known at once
            entry.write_text(f"{to}:{password}::::::\n")
        with Dialogue(dovecot.lmtp_port) as lmtp:
            assert lmtp.transact([to], message)[-1].startswith(b"250")

    relay.deliver = deliver
    yield {
        "mail_relay_url": f"smtp://127.0.0.1:{relay.port}",
        "mail_canary_from": SENDER,
        "mail_imap_url": f"imap://127.0.0.1:{dovecot.imap_port}",
        "mail_canary_s": 20,
    }
    shutil.rmtree(dovecot.directory / "users" / JP, ignore_errors=True)
