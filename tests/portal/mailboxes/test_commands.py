"""`homeport mailboxes`, from an empty database to a login that Dovecot itself takes."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.portal.mailboxes.conftest import LOGIN, MailDb, documents
from tests.services.portal import HOMEPORT

BOB = "bob@example.org"


def test_first_installation_end_to_end(empty: MailDb) -> None:
    empty.done("migrate")
    empty.done("domain", "add", "Example.ORG")
    empty.done("add", "Bob@example.org", "--quota", "5g", stdin=f"{LOGIN}\n")
    empty.done("alias", "add", "office@example.org", BOB)
    assert empty.done("list").out.splitlines() == [
        "MAILBOX          QUOTA  LOGIN  SENDS",
        "bob@example.org  5G     yes    yes",
    ]
    assert empty.done("domain", "list").out.splitlines()[1].split() == ["example.org", "1", "1"]
    assert empty.done("alias", "list").out.splitlines()[1].split() == ["office@example.org", BOB, "yes"]
    assert empty.done("addresses").out.split() == [BOB, "office@example.org"]


def test_every_list_is_one_json_document_without_the_sentinel(mail: MailDb) -> None:
    mail.done("add", BOB, "--quota", "1500M", stdin=f"{LOGIN}\n")
    made = documents(mail.done("alias", "add", "office@example.org", BOB, "--receive-only", "--json"))
    assert made == {"alias": "office@example.org", "mailbox": BOB, "may_send": False}
    assert documents(mail.done("alias", "list", "--json")) == {"aliases": [made]}
    (listed,) = documents(mail.done("list", "--json"))["mailboxes"]
    assert listed.pop("created_at").endswith("+00:00")
    assert listed == {
        "address": BOB,
        "aliases": ["office@example.org"],
        "quota_bytes": 1500 * 1024**2,
        "can_log_in": True,
        "may_send": True,
        "is_active": True,
    }
    assert documents(mail.done("domain", "list", "--json")) == {
        "domains": [{"name": "example.org", "mailboxes": 1, "aliases": 1}]
    }
    assert documents(mail.done("list", "--domain", "other.example", "--json")) == {"mailboxes": []}


@pytest.mark.parametrize("scheme_password", [LOGIN, "spaces and !\"#$%&'()*+,-./:;<=>?@[]^_`{|}~", "x" * 255])
def test_dovecot_verifies_the_stored_password(mail: MailDb, scheme_password: str) -> None:
    """Both daemons' own program: what the view holds is what Dovecot reads."""
    if scheme_password == "x" * 255:  # one piece, repeated, is refused
        scheme_password = "".join(chr(33 + 7 * number % 94) for number in range(255))
    mail.done("add", BOB, stdin=f"{scheme_password}\n")
    ((stored,),) = mail.ask("dovecot", "SELECT password FROM dovecot_users WHERE username = %s", BOB)
    assert verifies(stored, scheme_password)
    assert not verifies(stored, scheme_password + "x")


def verifies(stored: str, password: str) -> bool:
    ended = subprocess.run(
        ["doveadm", "-c", "/dev/null", "pw", "-t", stored, "-p", password], capture_output=True, text=True, check=False
    )
    assert ("verified" in ended.stdout) == (ended.returncode == 0), ended.stderr
    return ended.returncode == 0


def test_passwd_changes_the_login_and_nothing_else(mail: MailDb) -> None:
    mail.done("add", BOB, "--quota", "1G", stdin=f"{LOGIN}\r\n")
    before = mail.view("dovecot", "dovecot_users")
    mail.done("passwd", BOB, stdin=f"{LOGIN} and one more\n")
    ((name, stored, quota),) = mail.view("dovecot", "dovecot_users") - before
    assert (name, quota) == (BOB, 1024**3)
    assert verifies(stored, f"{LOGIN} and one more")


def test_mailbox_without_login_gets_mail_and_no_password(mail: MailDb) -> None:
    mail.done("add", BOB, "--no-login")
    assert mail.ask("dovecot", "SELECT password FROM dovecot_users WHERE username = %s", BOB) == [(None,)]


@pytest.mark.parametrize("stdin", ["", "\n", "short\n", "password1234\n", "x" * 10_000, "neun stille Störche\n"])
def test_password_that_is_refused_makes_no_mailbox(mail: MailDb, stdin: str) -> None:
    mail.refused("add", BOB, stdin=stdin)
    assert documents(mail.done("list", "--json")) == {"mailboxes": []}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["add", "bob@other.example", "--no-login"],
            "there is no domain other.example; `homeport mailboxes domain add",
        ),
        (["add", BOB, "--no-login"], f"{BOB} is a mailbox"),
        (["add", "BOB@EXAMPLE.ORG", "--no-login"], f"{BOB} is a mailbox"),
        (["add", "office@example.org", "--no-login"], f"office@example.org is an alias of {BOB}"),
        (["add", "office@example.org", "--no-login", "--reassign"], f"office@example.org is an alias of {BOB}"),
        (["add", "two@example.org", "--no-login", "--quota", "5"], "--quota is not a size"),
        (["add", "two@example.org", "--no-login", "--quota", "999999T"], "--quota is not a size"),
        (["add", "sentinel@homeport.invalid", "--no-login"], "belongs to Homeport"),
        (["disable", "sentinel@homeport.invalid"], "belongs to Homeport"),
        (["disable", "nobody@example.org"], "there is no mailbox nobody@example.org"),
        (["passwd", "nobody@example.org"], "there is no mailbox nobody@example.org"),
        (["alias", "add", BOB, BOB], f"{BOB} is a mailbox"),
        (["alias", "add", "office@example.org", BOB], f"office@example.org is an alias of {BOB}"),
        (["alias", "add", "x@example.org", "nobody@example.org"], "there is no mailbox nobody@example.org"),
        (["alias", "add", "x@other.example", BOB], "there is no domain other.example"),
        (["alias", "remove", BOB], f"{BOB} is a mailbox, which can be disabled"),
        (["alias", "remove", "x@example.org"], "there is no alias x@example.org"),
        (["domain", "add", "example.org"], "example.org is there already"),
        (["domain", "add", "homeport.invalid"], "belongs to Homeport"),
        (["domain", "add", "x..example"], "is no domain"),
        (["add", "../etc@example.org", "--no-login"], "before the @ stand letters"),
        (["add", "\x1b[31m@example.org", "--no-login"], "before the @"),
    ],
)
def test_what_is_refused_says_why_and_changes_nothing(mail: MailDb, arguments: list[str], said: str) -> None:
    mail.done("add", BOB, "--no-login")
    mail.done("alias", "add", "office@example.org", BOB)
    before = [mail.done(*shown).out for shown in (["list", "--json"], ["alias", "list", "--json"], ["domain", "list"])]
    refusal = mail.refused(*arguments, stdin=f"{LOGIN}\n")
    assert said in refusal
    assert refusal.isprintable()
    after = [mail.done(*shown).out for shown in (["list", "--json"], ["alias", "list", "--json"], ["domain", "list"])]
    assert after == before


def test_disabled_mailbox_keeps_its_address(mail: MailDb) -> None:
    """Its mail lies under the address: a next owner would find it."""
    mail.done("add", BOB, "--no-login")
    assert mail.done("disable", BOB).out == f"{BOB} is disabled.\n"
    assert mail.done("disable", BOB).out == f"{BOB} was disabled already.\n"
    assert (
        mail.refused("add", BOB, "--no-login", "--reassign") == f"{BOB} is a mailbox, disabled; `enable` brings it back"
    )
    assert "a mailbox" in mail.refused("alias", "add", BOB, BOB, "--reassign")
    assert mail.done("addresses").out == ""
    assert mail.done("enable", BOB).out == f"{BOB} is enabled.\n"
    assert mail.done("addresses").out == f"{BOB}\n"


def test_removed_alias_goes_back_to_its_mailbox_but_to_no_other_in_silence(mail: MailDb) -> None:
    for name in (BOB, "eve@example.org"):
        mail.done("add", name, "--no-login")
    mail.done("alias", "add", "office@example.org", BOB)
    mail.done("alias", "remove", "office@example.org")
    assert "there is no alias" in mail.refused("alias", "remove", "office@example.org")
    assert "there is no mailbox" in mail.refused("alias", "add", "x@example.org", "office@example.org")
    for attempt in (
        ["alias", "add", "office@example.org", "eve@example.org"],
        ["add", "office@example.org", "--no-login"],
    ):
        assert f"office@example.org was an alias of {BOB} until " in mail.refused(*attempt)
    mail.done("alias", "add", "office@example.org", BOB)
    mail.done("alias", "remove", "office@example.org")
    mail.done("alias", "add", "office@example.org", "eve@example.org", "--reassign")
    assert ("office@example.org", "eve@example.org") in mail.view("dovecot", "dovecot_addresses")
    mail.done("alias", "remove", "office@example.org")
    mail.done("add", "office@example.org", "--no-login", "--reassign")
    assert ("office@example.org", "office@example.org") in mail.view("dovecot", "dovecot_addresses")


def test_alias_of_an_alias_is_one_of_its_mailbox(mail: MailDb) -> None:
    mail.done("add", BOB, "--no-login")
    mail.done("alias", "add", "office@example.org", BOB)
    assert documents(mail.done("alias", "add", "desk@example.org", "office@example.org", "--json"))["mailbox"] == BOB


def test_commands_before_the_migration_say_what_to_do(empty: MailDb) -> None:
    assert "`homeport mailboxes migrate`" in empty.refused("list")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql+pymysql://mail_owner:canary-in-a-url@h/mail", "HOMEPORT_MAILBOXES_DATABASE_URL has a password"),
        ("sqlite:////tmp/x", "HOMEPORT_MAILBOXES_DATABASE_URL is not mysql+pymysql://account@host/database"),
        ("mysql+pymysql://mail_owner@h", "HOMEPORT_MAILBOXES_DATABASE_URL is not mysql+pymysql"),
        ("mysql+pymysql://canary@h:port/x", "HOMEPORT_MAILBOXES_DATABASE_URL is not a database URL"),
    ],
)
def test_settings_that_cannot_be_used_are_named(empty: MailDb, url: str, said: str) -> None:
    ended = empty.run("list", HOMEPORT_MAILBOXES_DATABASE_URL=url)
    assert ended.code == 1
    assert said in ended.error


def test_password_is_asked_twice_on_a_terminal_and_not_shown(mail: MailDb) -> None:
    """The program itself on a terminal of its own."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [HOMEPORT, "mailboxes", "add", BOB],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=mail.environment | {"PATH": os.environ["PATH"]},
    )
    os.close(theirs)
    said = b""
    with process:
        for question in (b"Password for bob@example.org: ", b"Repeat for confirmation: "):
            while question not in said:
                said += os.read(ours, 4096)
            os.write(ours, LOGIN.encode() + b"\n")
        try:
            while data := os.read(ours, 4096):
                said += data
        except OSError:  # the terminal's end
            pass
        assert process.wait(30) == 0, said
    os.close(ours)
    assert b"bob@example.org is made." in said
    assert b"canary" not in said
    ((stored,),) = mail.ask("dovecot", "SELECT password FROM dovecot_users WHERE username = %s", BOB)
    assert verifies(stored, LOGIN)


def test_help_is_quick_and_teaches(tmp_path: Path) -> None:
    ended = subprocess.run(
        [HOMEPORT, "mailboxes", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": str(tmp_path), "PYTHONPROFILEIMPORTTIME": "1"},
    )
    assert all(word in ended.stdout for word in ("migrate", "passwd", "alias", "standard input", "Exit codes"))
    assert "sqlalchemy" not in ended.stderr
    assert "argon2" not in ended.stderr
