"""What the portal remembers of mail domains and of their plans: functions of a session."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal.operations.plans import KEPT_DAYS
from portal.recipes.models import MailDomainPlanRow, MailDomainRow


def get(session: Session, domain: str) -> MailDomainRow | None:
    return session.get(MailDomainRow, domain)


def all_of(session: Session) -> list[MailDomainRow]:
    return list(session.scalars(select(MailDomainRow).order_by(MailDomainRow.domain)))


def begin(
    session: Session, domain: str, wanted: str, mailbox: str, now: datetime, *, makes_domain: bool = False
) -> None:
    """Write down what is about to be done; what proved the domain before proves nothing any more.

    makes_domain   whether the mail server takes no mail for it yet; of the first time alone, since later it is our own
    """
    row = session.get(MailDomainRow, domain)
    if row is None:
        row = MailDomainRow(
            domain=domain,
            made_domain=makes_domain,
            canary_password=None,
            canary_at=None,
            canary_s=None,
            added_at=now,
        )
        session.add(row)
    row.wanted, row.mailbox, row.changed_at = wanted, mailbox, now


def keep_password(session: Session, domain: str, sealed: str | None) -> None:
    session.get_one(MailDomainRow, domain).canary_password = sealed


def seen(session: Session, domain: str, now: datetime, seconds: float | None) -> None:
    row = session.get_one(MailDomainRow, domain)
    row.canary_at, row.canary_s = now, seconds


def forget(session: Session, domain: str) -> None:
    session.execute(delete(MailDomainRow).where(MailDomainRow.domain == domain))


def keep_plan(session: Session, plan_id: str, asked: dict[str, Any], shown: dict[str, Any], now: datetime) -> None:
    """Beside it, forget what nobody looks at any more."""
    session.execute(delete(MailDomainPlanRow).where(MailDomainPlanRow.created_at < now - timedelta(days=KEPT_DAYS)))
    session.add(MailDomainPlanRow(plan_id=plan_id, asked=json.dumps(asked), shown=json.dumps(shown), created_at=now))


def plan(session: Session, plan_id: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """What was asked, and what was shown."""
    row = session.get(MailDomainPlanRow, plan_id)
    return (json.loads(row.asked), json.loads(row.shown)) if row is not None else None
