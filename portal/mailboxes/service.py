"""What can be done with domains, mailboxes and aliases: functions of a session, for `MailDatabase.run_sync`.

Whoever changes something locks the domains concerned first, in the order of their names, so that two at the same
moment come one after the other and none is a deadlock's victim. The unique keys hold even without that.

The sentinel is nobody's: no list shows it, and its domain cannot be named (portal.mailboxes.addresses).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal.mailboxes.addresses import SENTINEL_DOMAIN, Address
from portal.mailboxes.models import AddressRow, Domain, Mailbox

_DUPLICATE = 1062  # ER_DUP_ENTRY


class Refused(Exception):
    """It cannot be done, and nothing was changed. The text says why and, where there is one, the way out."""


def add_domain(session: Session, name: str, now: datetime) -> Domain:
    domain = Domain(name=name, is_active=True, created_at=now)
    session.add(domain)
    _flush(session, f"{name} is there already")
    return domain


def domains(session: Session) -> Sequence[Domain]:
    return session.scalars(select(Domain).where(Domain.name != SENTINEL_DOMAIN).order_by(Domain.name)).all()


def set_domain_active(session: Session, name: str, *, is_active: bool) -> bool:
    """Let a domain take mail, or none: its mailboxes stay as they are. Return whether that changed anything. Raise
    Refused."""
    domain = session.scalar(select(Domain).where(Domain.name == name).with_for_update())
    if domain is None:
        raise Refused(f"there is no domain {name}")
    was_active, domain.is_active = domain.is_active, is_active
    return was_active != is_active


def add_mailbox(
    session: Session,
    address: Address,
    now: datetime,
    *,
    password: str | None,
    quota_bytes: int | None,
    may_send: bool = True,
    reassign: bool = False,
) -> Mailbox:
    """Make a mailbox.

    password   as it is stored; None: nobody can log in
    reassign   also at an address that was somebody's alias
    raises     Refused
    """
    _lock(session, address)
    _free_address(session, address, reassign=reassign)
    mailbox = Mailbox(
        password=password,
        quota_bytes=quota_bytes,
        may_send=may_send,
        is_active=True,
        created_at=now,
        updated_at=now,
    )
    _take(session, address, mailbox, now, is_own=True, may_send=True)
    return mailbox


def mailboxes(session: Session, domain: str | None = None) -> list[Mailbox]:
    return [row.mailbox for row in _rows(session, domain) if row.is_own]


def set_password(session: Session, address: Address, now: datetime, password: str | None) -> Mailbox:
    """password: as it is stored; None: nobody can log in."""
    _lock(session, address)
    mailbox = _mailbox(session, address)
    mailbox.password, mailbox.updated_at = password, now
    return mailbox


def set_active(session: Session, address: Address, now: datetime, *, is_active: bool) -> bool:
    """Return whether that changed anything."""
    _lock(session, address)
    mailbox = _mailbox(session, address)
    if mailbox.is_active == is_active:
        return False
    mailbox.is_active, mailbox.updated_at = is_active, now
    return True


def add_alias(
    session: Session, alias: Address, target: Address, now: datetime, *, may_send: bool, reassign: bool = False
) -> AddressRow:
    """Let `alias` be another address of the mailbox `target`, which may be its own address or an alias itself.

    reassign   also an address that was an alias of another mailbox before
    raises     Refused
    """
    _lock(session, alias, target)
    mailbox = _mailbox(session, target)
    _free_address(session, alias, reassign=reassign, mailbox=mailbox)
    return _take(session, alias, mailbox, now, is_own=False, may_send=may_send)


def aliases(session: Session, domain: str | None = None) -> list[AddressRow]:
    return [row for row in _rows(session, domain) if not row.is_own]


def remove_alias(session: Session, alias: Address, now: datetime) -> AddressRow:
    _lock(session, alias)
    row = _row(session, alias)
    if row is None or row.removed_at is not None:
        raise Refused(f"there is no alias {alias}")
    if row.is_own:
        raise Refused(f"{alias} is a mailbox, which can be disabled")
    row.removed_at = now
    return row


def receiving(session: Session) -> list[str]:
    """Every address that takes mail now."""
    return [row.address for row in _rows(session, None) if row.domain.is_active and row.mailbox.is_active]


# -- rows -------------------------------------------------------------------------------------------------------------


def _rows(session: Session, domain: str | None) -> Sequence[AddressRow]:
    """Addresses in use, sorted as people look for them: by domain."""
    query = select(AddressRow).join(AddressRow.domain).where(AddressRow.removed_at.is_(None))
    query = query.where(Domain.name == domain) if domain else query.where(Domain.name != SENTINEL_DOMAIN)
    return session.scalars(query.order_by(Domain.name, AddressRow.address)).all()


def _lock(session: Session, *addresses: Address) -> None:
    names = {address.domain for address in addresses}
    session.execute(select(Domain.id).where(Domain.name.in_(names)).order_by(Domain.name).with_for_update())


def _row(session: Session, address: Address) -> AddressRow | None:
    return session.scalar(select(AddressRow).where(AddressRow.address == str(address)))


def _mailbox(session: Session, address: Address) -> Mailbox:
    row = _row(session, address)
    if row is None or row.removed_at is not None:
        raise Refused(f"there is no mailbox {address}")
    return row.mailbox


def _free_address(session: Session, address: Address, *, reassign: bool, mailbox: Mailbox | None = None) -> None:
    """Refuse an address that is in use, or was another mailbox's; forget one that is to be given away."""
    row = _row(session, address)
    if row is None:
        return
    if row.removed_at is None:
        raise Refused(_taken(row))
    if row.mailbox is not mailbox and not reassign:
        raise Refused(
            f"{address} was an alias of {row.mailbox.address} until {row.removed_at:%Y-%m-%d}; who writes there means"
            " that mailbox's owner. --reassign gives it away"
        )
    session.delete(row)
    session.flush()


def _take(
    session: Session, address: Address, mailbox: Mailbox, now: datetime, *, is_own: bool, may_send: bool
) -> AddressRow:
    domain = session.scalar(select(Domain).where(Domain.name == address.domain))
    if domain is None:
        raise Refused(f"there is no domain {address.domain}; `homeport mailboxes domain add {address.domain}` makes it")
    row = AddressRow(
        address=str(address), domain=domain, mailbox=mailbox, is_own=is_own, may_send=may_send, created_at=now
    )
    session.add(row)
    _flush(session, f"{address} is taken")
    return row


def _taken(row: AddressRow) -> str:
    if not row.is_own:
        return f"{row.address} is an alias of {row.mailbox.address}"
    return f"{row.address} is a mailbox" + ("" if row.mailbox.is_active else ", disabled; `enable` brings it back")


def _flush(session: Session, refusal: str) -> None:
    try:
        session.flush()
    except IntegrityError as error:  # somebody was faster
        if error.orig is not None and error.orig.args[0] == _DUPLICATE:
            raise Refused(refusal) from None
        raise
