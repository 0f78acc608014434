"""The mail server's side of a mail domain: its domain, its first mailbox, and the canary's. Functions of a session.

Nothing here removes a mailbox or mail: a domain that was made here is disabled when it is removed, and takes no mail.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from portal.mailboxes import service
from portal.mailboxes.addresses import Address
from portal.mailboxes.models import Mailbox

CANARY = "homeport-canary"  # its local part
CANARY_QUOTA_BYTES = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class Accounts:
    """What the mail server knows of a domain.

    is_active   None: it does not know the domain
    mailboxes   own addresses -> whether it takes mail
    aliases     the other addresses in use
    receiving   those of both that take mail as soon as the domain does
    """

    is_active: bool | None
    mailboxes: dict[str, bool]
    aliases: frozenset[str]
    receiving: frozenset[str]


def accounts(session: Session, domain: str) -> Accounts:
    known = {each.name: each.is_active for each in service.domains(session)}
    own: list[Mailbox] = service.mailboxes(session, domain) if domain in known else []
    aliases = service.aliases(session, domain) if domain in known else []
    return Accounts(
        known.get(domain),
        {mailbox.address: mailbox.is_active for mailbox in own},
        frozenset(row.address for row in aliases),
        frozenset(
            [mailbox.address for mailbox in own if mailbox.is_active]
            + [row.address for row in aliases if row.mailbox.is_active]
        ),
    )


def make(session: Session, domain: str, mailbox: str, now: datetime, *, canary_password: str | None) -> list[str]:
    """Make what is missing for a domain to take mail; say what was done, one line each. Raise Refused.

    canary_password   as it is stored; None: the canary's mailbox is there, with a password that we know
    """
    present = accounts(session, domain)
    done = []
    if present.is_active is None:
        service.add_domain(session, domain, now)
        done.append(f"made the mail domain {domain}")
    elif not present.is_active:
        service.set_domain_active(session, domain, is_active=True)
        done.append(f"enabled the mail domain {domain}")
    first, canary = Address(mailbox, domain), Address(CANARY, domain)
    if str(first) not in present.mailboxes and str(first) not in present.aliases:
        service.add_mailbox(session, first, now, password=None, quota_bytes=None)
        done.append(f"made the mailbox {first}, in which nobody can log in yet")
    if str(canary) not in present.mailboxes:
        service.add_mailbox(
            session, canary, now, password=canary_password, quota_bytes=CANARY_QUOTA_BYTES, may_send=False
        )
        return [*done, f"made the mailbox {canary}"]
    if service.set_active(session, canary, now, is_active=True):
        done.append(f"enabled the mailbox {canary}")
    if canary_password is not None:
        service.set_password(session, canary, now, canary_password)
        done.append(f"gave {canary} a new password")
    return done


def disable(session: Session, domain: str, now: datetime, *, made_domain: bool) -> list[str]:
    """Let a domain's canary, and where we made it the domain, take no mail; say what was done, one line each."""
    present = accounts(session, domain)
    done = []
    if present.mailboxes.get(f"{CANARY}@{domain}"):
        service.set_active(session, Address(CANARY, domain), now, is_active=False)
        done.append(f"disabled the mailbox {CANARY}@{domain}")
    if present.is_active and made_domain:
        service.set_domain_active(session, domain, is_active=False)
        done.append(f"disabled the mail domain {domain}; its mailboxes and their mail stay")
    return done
