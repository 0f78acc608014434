"""The schema: made from nothing, twice, by two at once and after a kill; what each account may read; what views say."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymysql  # type: ignore[import-untyped]
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session

from kit.clock import now_utc
from portal.mailboxes import service
from portal.mailboxes.addresses import Address
from portal.mailboxes.database import GRANTS, MailDatabase, SchemaError
from portal.mailboxes.models import MailBase
from tests.portal.mailboxes.conftest import LOGIN, PASSWORDS, MailDb, make_accounts
from tests.services.mariadb import MariaDB
from tests.services.process import free_port

TABLES = ("domains", "mailboxes", "addresses", "alembic_version")
VIEWS = ("dovecot_users", "dovecot_addresses", "postfix_senders")
SENTINEL = ("sentinel@homeport.invalid", None, 1024**2)


def test_migrations_lead_to_what_the_code_declares(mail: MailDb) -> None:
    engine = create_engine(mail.settings.url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, MailBase.metadata) == []
    engine.dispose()


def test_migrate_can_be_repeated_and_makes_one_sentinel(empty: MailDb) -> None:
    for _ in range(2):
        assert empty.done("migrate").out == "Schema and grants are up to date.\n"
        assert empty.view("dovecot", "dovecot_users") == {SENTINEL}
        assert empty.view("dovecot", "dovecot_addresses") == {(SENTINEL[0], SENTINEL[0])}
        assert empty.view("postfix", "postfix_senders") == set()


def test_migrate_of_two_at_once_ends_well_for_both(empty: MailDb) -> None:
    databases = [MailDatabase(empty.settings) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda database: database.migrate(wait_s=60), databases))
    assert empty.view("dovecot", "dovecot_users") == {SENTINEL}
    for database in databases:
        assert database.is_current()
        database.close()


def test_migrate_that_ends_after_any_statement_is_finished_by_the_next(empty: MailDb) -> None:
    """MariaDB commits each statement of a schema by itself, so a kill leaves any number of them behind."""
    statements = 0
    while True:
        empty.server.execute("CREATE OR REPLACE DATABASE mail")
        database = MailDatabase(empty.settings)
        with contextlib.closing(database):
            engine = database._engine
            seen: list[str] = []

            def cut(*executed: Any, seen: list[str] = seen, last: int = statements + 1) -> None:
                seen.append(executed[2])
                if len(seen) == last:
                    raise KeyboardInterrupt

            event.listen(engine, "after_cursor_execute", cut)
            statements += 1
            try:
                database.migrate()
            except KeyboardInterrupt:
                database.migrate()
            else:
                break
            assert database.is_current()
        assert empty.view("dovecot", "dovecot_users") == {SENTINEL}, seen
        assert empty.view("dovecot", "dovecot_addresses") == {(SENTINEL[0], SENTINEL[0])}
        assert empty.view("postfix", "postfix_senders") == set()
    assert any(each.startswith("GRANT") for each in seen)
    assert statements > len(TABLES) + len(VIEWS)


def test_sentinel_does_not_come_back_by_itself(mail: MailDb) -> None:
    """An emptied database must be noticed."""
    mail.server.execute("DELETE FROM mail.addresses")
    mail.done("migrate")
    assert mail.view("dovecot", "dovecot_users") == set()


# -- who may read what ------------------------------------------------------------------------------------------------


def test_accounts_read_their_views_and_nothing_else(mail: MailDb) -> None:
    for account, granted in GRANTS.items():
        for name in (*TABLES, *VIEWS):
            if name in granted:
                mail.view(account, name)
                continue
            with pytest.raises(pymysql.err.OperationalError, match="denied") as refused:
                mail.view(account, name)
            assert refused.value.args[0] == 1142
        for statement in (
            *(f"DELETE FROM {view}" for view in VIEWS),
            *(f"UPDATE {view} SET {column} = 'x'" for view, column in zip(VIEWS, ("username",) * 3, strict=True)),
            *(
                "INSERT INTO dovecot_users VALUES ('a', 'b', 1)",
                "CREATE TABLE mine (a INT)",
                "SHOW CREATE VIEW dovecot_users",
            ),
            *("SELECT LOAD_FILE('/etc/passwd') INTO OUTFILE '/tmp/x'", "SELECT * FROM mysql.global_priv"),
        ):
            with pytest.raises(pymysql.err.Error):
                mail.ask(account, statement)
        said = {grant for (grant,) in mail.ask(account, "SHOW GRANTS")}
        assert {grant.partition(" TO ")[0] for grant in said if "USAGE" not in grant} == {
            f"GRANT SELECT ON `mail`.`{view}`" for view in granted
        }


def test_account_that_was_made_anew_gets_its_grants_by_the_next_migrate(mail: MailDb) -> None:
    make_accounts(mail.server, "dovecot")
    with pytest.raises(pymysql.err.OperationalError, match="denied"):
        mail.view("dovecot", "dovecot_users")
    mail.done("migrate")
    assert mail.view("dovecot", "dovecot_users") == {SENTINEL}


def test_views_answer_for_a_daemon_although_it_cannot_see_the_tables(mail: MailDb) -> None:
    mail.done("add", "bob@example.org", "--quota", "5G", stdin=f"{LOGIN}\n")
    rows = mail.ask("dovecot", "SELECT username, quota_bytes FROM dovecot_users WHERE username = %s", "bob@example.org")
    assert rows == [("bob@example.org", 5 * 1024**3)]


@pytest.mark.parametrize(
    "asked",
    [
        *("bób@example.org", "bob@example.org ", "\u212aob@example.org", "bob@example.org\0"),
        *("😀", "' OR 1=1 -- ", "b%", "b_b@example.org", "BOB@EXAMPLE.ORG"),
    ],
)
def test_look_up_of_a_hostile_name_finds_nobody_and_is_no_error(mail: MailDb, asked: str) -> None:
    """An error would be "come again later" to the sender, for an address that is simply unknown."""
    mail.done("add", "bob@example.org", "--no-login")
    assert mail.ask("dovecot", "SELECT * FROM dovecot_users WHERE username = %s", asked) == []
    assert mail.ask("dovecot", "SELECT * FROM dovecot_addresses WHERE address = %s", asked) == []
    assert mail.ask("postfix", "SELECT login FROM postfix_senders WHERE address = %s", asked) == []


def test_look_up_reads_single_rows(mail: MailDb) -> None:
    """With thousands of mailboxes a login must not read them all."""
    for number in range(20):
        mail.done("add", f"user{number}@example.org", "--no-login")
    mail.server.execute("ANALYZE TABLE mail.addresses, mail.mailboxes, mail.domains")
    for view, column in zip(VIEWS, ("username", "address", "address"), strict=True):
        plan = mail.ask("mail_owner", f"EXPLAIN SELECT * FROM {view} WHERE {column} = 'user7@example.org'")
        assert {row[8] for row in plan} == {"1"}, plan


# -- what views say ---------------------------------------------------------------------------------------------------


def test_views_follow_mailboxes_aliases_and_domains(mail: MailDb) -> None:
    mail.done("domain", "add", "second.example")
    mail.done("add", "bob@example.org", stdin=f"{LOGIN}\n")
    mail.done("add", "news@example.org", "--no-login", "--receive-only")
    mail.done("alias", "add", "office@second.example", "bob@example.org")
    mail.done("alias", "add", "noreply@example.org", "bob@example.org", "--receive-only")

    def seen() -> tuple[set[str], set[tuple[str, str]], set[tuple[str, str]]]:
        users = {name for name, *_ in mail.view("dovecot", "dovecot_users")} - {SENTINEL[0]}
        addresses = mail.view("dovecot", "dovecot_addresses") - {(SENTINEL[0], SENTINEL[0])}
        return users, addresses, mail.view("postfix", "postfix_senders")

    bob, news = "bob@example.org", "news@example.org"
    everything = (
        {bob, news},
        {(bob, bob), (news, news), ("office@second.example", bob), ("noreply@example.org", bob)},
        {(bob, bob), ("office@second.example", bob)},
    )
    assert seen() == everything
    mail.done("disable", bob)
    assert seen() == ({news}, {(news, news)}, set())
    mail.done("enable", bob)
    assert seen() == everything
    mail.server.execute("UPDATE mail.domains SET is_active = 0 WHERE name = 'second.example'")
    assert seen() == (
        {bob, news},
        {(bob, bob), (news, news), ("noreply@example.org", bob)},
        {(bob, bob)},
    )
    mail.server.execute("UPDATE mail.domains SET is_active = 1")
    mail.done("alias", "remove", "office@second.example")
    assert "office@second.example" not in {address for address, _ in seen()[1] | seen()[2]}


# -- when it cannot be done -------------------------------------------------------------------------------------------


def test_migrate_without_the_daemons_accounts_says_which_and_can_be_repeated(empty: MailDb) -> None:
    empty.server.execute("DROP USER postfix@'%'")
    ended = empty.run("migrate")
    assert (ended.code, ended.error) == (
        1,
        "homeport: error: the server has no account 'postfix'@'%'; mail-db makes it at its start from its secret",
    )
    make_accounts(empty.server, "postfix")
    empty.done("migrate")
    assert empty.view("postfix", "postfix_senders") == set()


def test_migrate_with_a_wrong_password_ends_at_once(empty: MailDb) -> None:
    ended = empty.run("migrate", "--wait", "600", HOMEPORT_MAILBOXES_DATABASE_PASSWORD="canary-of-another-day")
    assert ended.code == 1
    assert "the server refuses the account" in ended.error


def test_migrate_without_rights_or_database_says_so(empty: MailDb) -> None:
    empty.server.execute("REVOKE ALL, GRANT OPTION FROM mail_owner@'%'")
    assert "no rights on the database" in empty.run("migrate").error
    empty.server.execute("GRANT ALL ON mail.* TO mail_owner@'%'")  # no GRANT OPTION
    assert "WITH GRANT OPTION" in empty.run("migrate").error
    url = f"mysql+pymysql://mail_owner@127.0.0.1:{empty.server.port}/mail2"
    empty.server.execute("GRANT ALL ON mail2.* TO mail_owner@'%'")
    assert "no such database" in empty.run("migrate", HOMEPORT_MAILBOXES_DATABASE_URL=url).error


def test_migrate_waits_for_a_server_that_comes_later() -> None:
    with MariaDB() as server:
        make_accounts(server, *PASSWORDS)
        server.execute("CREATE DATABASE mail", "GRANT ALL ON mail.* TO mail_owner@'%' WITH GRANT OPTION")
        mail = MailDb(server, lambda *_, **__: None)  # type: ignore[arg-type]
        server.stop()
        database = MailDatabase(mail.settings)
        with ThreadPoolExecutor(1) as threads:
            migrating = threads.submit(database.migrate, wait_s=60)
            server.start()
            migrating.result(60)
        assert database.is_current()
        database.close()


def test_migrate_gives_up_on_a_server_that_does_not_answer(empty: MailDb) -> None:
    url = f"mysql+pymysql://mail_owner@127.0.0.1:{free_port()}/mail"
    ended = empty.run("migrate", "--wait", "0", HOMEPORT_MAILBOXES_DATABASE_URL=url)
    assert ended.code == 1
    assert "does not answer" in ended.error


def test_server_that_hangs_is_given_up(mail: MailDb, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel takes the connection, nobody answers."""
    monkeypatch.setattr("portal.db.ANSWER_S", 1)
    mail.server.daemon.pause()
    try:
        for command in (["migrate", "--wait", "0"], ["list"]):
            assert "the database server does not answer" in mail.refused(*command)
    finally:
        mail.server.daemon.resume()
    mail.done("list")


def test_migrate_while_another_one_is_at_work_waits_its_time_and_says_so(
    empty: MailDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.mailboxes.database.LOCK_TRY_S", 0.01)
    with pymysql.connect(
        host="127.0.0.1", port=empty.server.port, user="mail_owner", password=PASSWORDS["mail_owner"]
    ) as other:
        other.cursor().execute("SELECT GET_LOCK('homeport.mailboxes.migrate', 0)")
        database = MailDatabase(empty.settings)
        with pytest.raises(SchemaError, match="another migration is at work"):
            database.migrate()
        with ThreadPoolExecutor(1) as threads:
            migrating = threads.submit(database.migrate, wait_s=60)
            other.cursor().execute("SELECT RELEASE_LOCK('homeport.mailboxes.migrate')")
            migrating.result(60)
        database.close()


def test_schema_of_a_newer_version_is_refused_and_left_alone(mail: MailDb) -> None:
    mail.server.execute("UPDATE mail.alembic_version SET version_num = '9999'")
    assert "another version of Homeport" in mail.run("migrate").error
    assert "another version of Homeport" in mail.refused("list")
    assert mail.ask("mail_owner", "SELECT version_num FROM alembic_version") == [("9999",)]


# -- two at once ------------------------------------------------------------------------------------------------------


def test_address_asked_for_by_many_at_once_is_given_once(mail: MailDb) -> None:
    """As a mailbox and as an alias: the unique key decides, not what was read before."""
    mail.done("add", "bob@example.org", "--no-login")
    database = MailDatabase(mail.settings)
    bob, wanted, start = Address.parse("bob@example.org"), Address.parse("sales@example.org"), threading.Barrier(8)

    def as_mailbox(session: Session) -> object:
        return service.add_mailbox(session, wanted, now_utc(), password=None, quota_bytes=None)

    def as_alias(session: Session) -> object:
        return service.add_alias(session, wanted, bob, now_utc(), may_send=True)

    def take(number: int) -> str:
        start.wait(10)
        try:
            database.run_sync(as_mailbox if number % 2 else as_alias)
        except service.Refused as refused:
            return str(refused)
        return "done"

    with ThreadPoolExecutor(8) as threads:
        ended = list(threads.map(take, range(8)))
    database.close()
    assert ended.count("done") == 1, ended
    assert all("sales@example.org is" in each for each in ended if each != "done")
    assert mail.ask("mail_owner", "SELECT COUNT(*) FROM addresses WHERE address LIKE 'sales@%%'") == [(1,)]
    assert mail.ask("mail_owner", "SELECT id FROM mailboxes WHERE id NOT IN (SELECT mailbox_id FROM addresses)") == []


def test_database_itself_refuses_a_second_own_address_and_upper_case(mail: MailDb) -> None:
    mail.done("add", "bob@example.org", "--no-login")
    add = (
        "INSERT INTO addresses (address, domain_id, mailbox_id, is_own, may_send, created_at)"
        " SELECT %s, domain_id, mailbox_id, 1, 1, NOW() FROM addresses WHERE address = 'bob@example.org'"
    )
    with pytest.raises(pymysql.err.IntegrityError, match="own_of"):
        mail.ask("mail_owner", add, "rob@example.org")
    with pytest.raises(pymysql.err.OperationalError, match="lower"):
        mail.ask("mail_owner", add.replace("1, 1, NOW", "0, 1, NOW"), "Rob@example.org")
