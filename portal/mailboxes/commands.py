"""Domains, mailboxes and aliases of the mail server, in its database: what a first installation needs.

Works on the database itself, with or without a running mail server; changes count from the next letter and the next
login on. Inside the stack: `docker compose run --rm mail-migrate mailboxes ...`.

A password is asked on the terminal or, where there is none, read as one line from standard input; it is never an
argument. A mailbox is disabled, not deleted: mail is filed under the address, so its next owner would find it.

Settings: HOMEPORT_MAILBOXES_* (docs/settings.md). Exit codes: 0 done · 1 refused or failed, said on standard error,
nothing changed · 2 wrong usage. With --json, standard output is one JSON document.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from kit import terminal

if TYPE_CHECKING:  # imported where they are used, so that --help stays quick
    from datetime import datetime

    from sqlalchemy.orm import Session

    from portal.mailboxes.addresses import Address
    from portal.mailboxes.database import MailDatabase
    from portal.mailboxes.models import AddressRow, Mailbox

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)
domain_app = typer.Typer(
    no_args_is_help=True,
    help="Domains. One is here before its first mailbox.",
    rich_markup_mode=None,
    add_completion=False,
)
alias_app = typer.Typer(
    no_args_is_help=True,
    help="Aliases: further addresses of a mailbox, in any of the domains.",
    rich_markup_mode=None,
    add_completion=False,
)
app.add_typer(domain_app, name="domain")
app.add_typer(alias_app, name="alias")

_QUOTA = re.compile(r"([1-9][0-9]{0,8})([KMGT])")
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_MAX_QUOTA_BYTES = 1024**5
_MAX_LINE = 4096  # of standard input; far more than a password

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS", help="Such as bob@example.org.")]
OfDomain = Annotated[str | None, typer.Option("--domain", metavar="NAME", help="Only this domain's.")]
Reassign = Annotated[
    bool, typer.Option("--reassign", help="Also an address that was an alias of another mailbox before.")
]


@app.command()
def migrate(
    wait_s: Annotated[
        float,
        typer.Option("--wait", min=0, max=3600, metavar="SECONDS", help="For a server that does not answer yet."),
    ] = 60.0,
) -> None:
    """Bring schema, views and grants up to date. Safe to repeat, and twice at once.

    The server must have the accounts `dovecot` and `postfix`; they get the right to read their views, nothing else.
    """
    _with_database(lambda database: database.migrate(wait_s=wait_s))
    print("Schema and grants are up to date.")


# -- mailboxes --------------------------------------------------------------------------------------------------------


@app.command()
def add(
    address: AddressArgument,
    quota: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Such as 500M or 5G. By default the stack's, MAIL_DEFAULT_QUOTA.")
    ] = None,
    no_login: Annotated[
        bool, typer.Option("--no-login", help="Without a password: mail is taken, nobody can log in yet.")
    ] = False,
    receive_only: Annotated[
        bool, typer.Option("--receive-only", help="The login may read mail and never send any.")
    ] = False,
    reassign: Reassign = False,
    as_json: AsJson = False,
) -> None:
    """Make a mailbox. Asks for its password, or reads it from standard input. The address is the login.

    Its domain must be here (`domain add`). Mail for bob+anything@ comes to bob@ by itself.
    """
    from portal.mailboxes import service

    parsed, quota_bytes = _address(address), _quota(quota)
    password = None if no_login else _new_password(parsed)

    def work(session: Session, now: datetime) -> dict[str, Any]:
        mailbox = service.add_mailbox(
            session,
            parsed,
            now,
            password=password,
            quota_bytes=quota_bytes,
            may_send=not receive_only,
            reassign=reassign,
        )
        return _mailbox_document(mailbox)

    _say(_run(work), f"{parsed} is made.", as_json)


@app.command("list")
def list_mailboxes(domain: OfDomain = None, as_json: AsJson = False) -> None:
    """Show the mailboxes: login, quota, whether they are in use."""
    from portal.mailboxes import service

    name = _domain(domain)
    found = _run(lambda session, _: [_mailbox_document(each) for each in service.mailboxes(session, name)])
    if as_json:
        terminal.print_json({"mailboxes": found})
        return
    rows = [
        (
            each["address"],
            "default" if each["quota_bytes"] is None else _size(each["quota_bytes"]),
            "yes" if each["can_log_in"] else "no",
            "yes" if each["may_send"] else "no",
            "" if each["is_active"] else "disabled",
        )
        for each in found
    ]
    terminal.print_table(("MAILBOX", "QUOTA", "LOGIN", "SENDS", ""), rows)


@app.command()
def passwd(address: AddressArgument, as_json: AsJson = False) -> None:
    """Give a mailbox a new password. Asks for it, or reads it from standard input."""
    from portal.mailboxes import service

    parsed = _address(address)
    password = _new_password(parsed)
    document = _run(
        lambda session, now: _mailbox_document(service.set_password(session, parsed, now, password)),
    )
    _say(document, f"{document['address']} has a new password.", as_json)


@app.command()
def disable(address: AddressArgument, as_json: AsJson = False) -> None:
    """Shut a mailbox: no login, no sending, and its addresses are unknown to senders. Its mail stays.

    A session that is open goes on until it ends, or until `docker compose exec mail-dovecot doveadm kick ADDRESS`.
    """
    _set_active(address, False, as_json)


@app.command()
def enable(address: AddressArgument, as_json: AsJson = False) -> None:
    """Open a mailbox again, with its mail, its password and its aliases."""
    _set_active(address, True, as_json)


@app.command()
def addresses() -> None:
    """Print every address that takes mail, one a line, as `homeport edge sync --from -` reads it."""
    from portal.mailboxes import service

    for each in _run(lambda session, _: service.receiving(session)):
        print(each)


# -- domains ----------------------------------------------------------------------------------------------------------


@domain_app.command("add")
def add_domain(name: Annotated[str, typer.Argument(help="Such as example.org.")], as_json: AsJson = False) -> None:
    """Make a domain. Addresses in it can be made from now on.

    For which domains the mail API takes mail at all is said elsewhere: MAIL_DOMAINS in the stack's .env.
    """
    from portal.mailboxes import service

    parsed = _domain(name)
    assert parsed is not None
    _run(lambda session, now: service.add_domain(session, parsed, now))
    _say({"name": parsed}, f"{parsed} is made.", as_json)


@domain_app.command("list")
def list_domains(as_json: AsJson = False) -> None:
    """Show the domains, with how many mailboxes and aliases each has."""
    from portal.mailboxes import service

    def work(session: Session, _now: datetime) -> list[dict[str, Any]]:
        own = [each.address.rpartition("@")[2] for each in service.mailboxes(session)]
        others = [each.address.rpartition("@")[2] for each in service.aliases(session)]
        return [
            {"name": each.name, "mailboxes": own.count(each.name), "aliases": others.count(each.name)}
            for each in service.domains(session)
        ]

    found = _run(work)
    if as_json:
        terminal.print_json({"domains": found})
    else:
        terminal.print_table(("DOMAIN", "MAILBOXES", "ALIASES"), [tuple(each.values()) for each in found])


# -- aliases ----------------------------------------------------------------------------------------------------------


@alias_app.command("add")
def add_alias(
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The new address, such as office@example.org.")],
    mailbox: Annotated[str, typer.Argument(metavar="MAILBOX", help="Whose mailbox its mail goes to.")],
    receive_only: Annotated[
        bool, typer.Option("--receive-only", help="The mailbox's owner may not send as this address.")
    ] = False,
    reassign: Reassign = False,
    as_json: AsJson = False,
) -> None:
    """Give a mailbox a further address. Its owner may also send as it."""
    from portal.mailboxes import service

    address, target = _address(alias), _address(mailbox)

    def work(session: Session, now: datetime) -> dict[str, Any]:
        return _alias_document(
            service.add_alias(session, address, target, now, may_send=not receive_only, reassign=reassign)
        )

    document = _run(work)
    _say(document, f"Mail for {address} goes to {document['mailbox']}.", as_json)


@alias_app.command("list")
def list_aliases(domain: OfDomain = None, as_json: AsJson = False) -> None:
    """Show the aliases."""
    from portal.mailboxes import service

    name = _domain(domain)
    found = _run(lambda session, _: [_alias_document(each) for each in service.aliases(session, name)])
    if as_json:
        terminal.print_json({"aliases": found})
    else:
        rows = [(each["alias"], each["mailbox"], "yes" if each["may_send"] else "no") for each in found]
        terminal.print_table(("ALIAS", "MAILBOX", "SENDS"), rows)


@alias_app.command("remove")
def remove_alias(
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as office@example.org.")], as_json: AsJson = False
) -> None:
    """Take an address away from its mailbox: senders hear that it is unknown. Whose it was is remembered."""
    from portal.mailboxes import service

    address = _address(alias)
    document = _run(lambda session, now: _alias_document(service.remove_alias(session, address, now)))
    _say(document, f"{address} is no alias any more.", as_json)


# -- what the commands share ------------------------------------------------------------------------------------------


def _set_active(address: str, is_active: bool, as_json: bool) -> None:
    from portal.mailboxes import service

    parsed = _address(address)
    is_changed = _run(lambda session, now: service.set_active(session, parsed, now, is_active=is_active))
    state = "enabled" if is_active else "disabled"
    _say(
        {"address": str(parsed), "is_active": is_active, "is_changed": is_changed},
        f"{parsed} is {state}." if is_changed else f"{parsed} was {state} already.",
        as_json,
    )


def _run(work: Callable[[Session, datetime], T]) -> T:
    """Do it in one transaction, or end in one line."""
    from kit.clock import now_utc
    from portal.mailboxes.database import SchemaError

    def in_transaction(database: MailDatabase) -> T:
        if not database.is_current():
            raise SchemaError("the schema is of another version of Homeport; `homeport mailboxes migrate` makes it")
        return database.run_sync(lambda session: work(session, now_utc()))

    return _with_database(in_transaction)


def _with_database(act: Callable[[MailDatabase], T]) -> T:
    from kit import logging
    from kit.settings import SettingsError
    from portal.db import DatabaseUnavailable
    from portal.mailboxes.database import MailDatabase, SchemaError
    from portal.mailboxes.service import Refused
    from portal.mailboxes.settings import MailboxesSettings

    try:
        settings = MailboxesSettings.load()
    except SettingsError as error:
        for mistake in error.mistakes[:-1]:
            terminal.progress(mistake)
        _fail(error.mistakes[-1])
    logging.configure(json=settings.log_format == "json", level=settings.log_level)
    database = MailDatabase(settings)
    try:
        return act(database)
    except (Refused, SchemaError) as error:
        _fail(str(error))
    except DatabaseUnavailable as error:
        _fail(f"the database server does not answer: {error.title}")
    finally:
        database.close()


def _address(text: str) -> Address:
    from portal.mailboxes.addresses import Address, BadAddress

    try:
        return Address.parse(text)
    except BadAddress as error:
        _fail(str(error))


def _domain(text: str | None) -> str | None:
    from portal.mailboxes.addresses import BadAddress, parse_domain

    try:
        return None if text is None else parse_domain(text)
    except BadAddress as error:
        _fail(str(error))


def _quota(text: str | None) -> int | None:
    if text is None:
        return None
    match = _QUOTA.fullmatch(text.upper())
    if match is None or (size := int(match[1]) * _UNITS[match[2]]) > _MAX_QUOTA_BYTES:
        _fail("--quota is not a size such as 500M or 5G")
    return size


def _size(size_bytes: int) -> str:
    """As `--quota` takes it."""
    return next(
        f"{size_bytes // each}{unit}"
        for unit, each in reversed(_UNITS.items())
        if size_bytes % each == 0 or unit == "K"
    )


def _new_password(address: Address) -> str:
    """Ask for a password, or read it, and return what is stored."""
    from portal.mailboxes.passwords import PasswordUnfit, hashed

    if sys.stdin.isatty():
        password = typer.prompt(f"Password for {address}", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline(_MAX_LINE).removesuffix("\n").removesuffix("\r")
        if not password:
            _fail("there is no terminal to ask for the password on, and standard input has none")
    try:
        return hashed(password, address.local)
    except PasswordUnfit as error:
        _fail(str(error))


def _mailbox_document(mailbox: Mailbox) -> dict[str, Any]:
    return {
        "address": mailbox.address,
        "aliases": sorted(row.address for row in mailbox.addresses if not row.is_own and row.removed_at is None),
        "quota_bytes": mailbox.quota_bytes,
        "can_log_in": mailbox.password is not None,
        "may_send": mailbox.may_send,
        "is_active": mailbox.is_active,
        "created_at": mailbox.created_at.isoformat(),
    }


def _alias_document(row: AddressRow) -> dict[str, Any]:
    return {"alias": row.address, "mailbox": row.mailbox.address, "may_send": row.may_send}


def _say(document: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        terminal.print_json(document)
    else:
        print(text)


def _fail(text: str) -> NoReturn:
    terminal.progress(f"homeport: error: {text}")
    raise SystemExit(1)
