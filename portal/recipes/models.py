"""The tables of recipes: mail domains, and what was said of their plans."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Double, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, LongText, UtcDateTime


class MailDomainRow(Base):
    """A domain that Homeport was told to receive mail for. What was made for it at Cloudflare stands in edge.json.

    wanted           add · remove: what was begun last, so that running it again finishes it
    mailbox          local part of the mailbox that the domain shall have (postmaster)
    made_domain      whether the mail server took no mail for it before: only then it takes none after a removal
    canary_password  of homeport-canary@domain, sealed
    changed_at       when something was changed for it last: a canary before that proves nothing
    canary_at        when the newest canary (or first mail) was seen; canary_s its seconds from the relay, where known
    """

    __tablename__ = "mail_domains"

    domain: Mapped[str] = mapped_column(String(253), primary_key=True)
    wanted: Mapped[str] = mapped_column(String(16))
    mailbox: Mapped[str] = mapped_column(String(64))
    made_domain: Mapped[bool]
    canary_password: Mapped[str | None] = mapped_column(String(255))
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    canary_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    canary_s: Mapped[float | None] = mapped_column(Double)


class MailDomainPlanRow(Base):
    """A plan as it is shown: its steps, conflicts and notes, beside the plan itself (operations.plans)."""

    __tablename__ = "mail_domain_plans"

    plan_id: Mapped[str] = mapped_column(String(26), primary_key=True)
    asked: Mapped[str] = mapped_column(LongText)  # JSON: NewDomainPlan
    shown: Mapped[str] = mapped_column(LongText)  # JSON: steps, conflicts, notes
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
