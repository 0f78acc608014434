"""The mail server's side: a mailbox for each site to send as, and one that tests are sent to. Functions of a session.

Nothing here removes a mailbox: one that a site does not need any more is disabled. Nor is a mailbox taken that somebody
else has made: the caller says which are ours.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from portal.mailboxes import service
from portal.mailboxes.addresses import Address

PREFIX = "wp-"  # of the local part, so that a site's account is not mistaken for a person's
TESTS = "homeport-site-mail"  # local part of the mailbox that tests are sent to
QUOTA_BYTES = 16 * 1024**2


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
    return (
        f"{address} is a mailbox that was not made for this site" if str(address) in mailboxes and not is_ours else ""
    )


def give(session: Session, address: Address, password: str, now: datetime, *, may_send: bool = True) -> None:
    """Make the mailbox, or enable the one that is there, with this password as it is stored. Raise service.Refused."""
    if any(mailbox.address == str(address) for mailbox in service.mailboxes(session, address.domain)):
        service.set_active(session, address, now, is_active=True)
        service.set_password(session, address, now, password)
    else:
        service.add_mailbox(session, address, now, password=password, quota_bytes=QUOTA_BYTES, may_send=may_send)


def disable(session: Session, address: Address, now: datetime) -> None:
    """Let nobody log in any more; what is not there stays so."""
    if any(mailbox.address == str(address) for mailbox in service.mailboxes(session, address.domain)):
        service.set_active(session, address, now, is_active=False)
