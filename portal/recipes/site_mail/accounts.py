"""The mail server's side: a mailbox for each site to send as, and one that tests are sent to. Functions of a session.

Nothing here removes a mailbox: one that a site does not need any more is disabled. Nor is a mailbox taken that somebody
else has made: the caller says which are ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from portal.mailboxes import service
from portal.mailboxes.addresses import Address

PREFIX = "wp-"  # of the local part, so that a site's account is not mistaken for a person's
TESTS = "homeport-site-mail"  # local part of the mailbox that tests are sent to
QUOTA_BYTES = 16 * 1024**2


class State(NamedTuple):
    """password: as it is stored; None: nobody can log in."""

    password: str | None
    is_active: bool


def address_of(site: str, domain: str) -> Address:
    return Address(f"{PREFIX}{site}", domain)


def taken(session: Session, address: Address, *, is_ours: bool) -> str:
    """Why a site cannot have this address; "" when it can."""
    if address.domain not in {domain.name for domain in service.domains(session) if domain.is_active}:
        return f"{address.domain} is no mail domain here, or takes no mail"
    mailboxes = {mailbox.address for mailbox in service.mailboxes(session, address.domain)}
    aliases = {row.address for row in service.aliases(session, address.domain)}
    if str(address) in aliases:
        return f"{address} is somebody's alias"
    return _not_ours(address) if str(address) in mailboxes and not is_ours else ""


def give(
    session: Session, address: Address, password: str, now: datetime, *, is_ours: bool = True, may_send: bool = True
) -> None:
    """Make the mailbox, or enable the one that is there and ours, with this password as it is stored.

    raises   service.Refused
    """
    if str(address) not in states(session, [str(address)]):
        service.add_mailbox(session, address, now, password=password, quota_bytes=QUOTA_BYTES, may_send=may_send)
        return
    if not is_ours:
        raise service.Refused(_not_ours(address))
    service.set_active(session, address, now, is_active=True)
    service.set_password(session, address, now, password)


def disable(session: Session, address: Address, now: datetime) -> None:
    """Let nobody log in any more; what is not there stays so."""
    if str(address) in states(session, [str(address)]):
        service.set_active(session, address, now, is_active=False)


def states(session: Session, addresses: Iterable[str]) -> dict[str, State]:
    """How the mailboxes among these are now; what is not there is left out."""
    asked = set(addresses)
    domains = sorted({Address.parse(address).domain for address in asked})
    there = (mailbox for domain in domains for mailbox in service.mailboxes(session, domain))
    return {each.address: State(each.password, each.is_active) for each in there if each.address in asked}


def put_back(session: Session, addresses: Iterable[str], before: dict[str, State], now: datetime) -> None:
    """Let mailboxes be as they were; those that were not there are disabled."""
    for name in sorted(states(session, addresses)):
        address = Address.parse(name)
        if name in before:
            service.set_password(session, address, now, before[name].password)
        service.set_active(session, address, now, is_active=name in before and before[name].is_active)


def _not_ours(address: Address) -> str:
    return f"{address} is a mailbox that was not made for this site"
