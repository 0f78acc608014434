"""The accounts that were made for sites: what is disabled, and taken up again, is only what was made here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, UtcDateTime


class SiteMailAccountRow(Base):
    """A mailbox that was made for a site to send as. uid: of the site, which is never given to another one."""

    __tablename__ = "site_mail_accounts"

    address: Mapped[str] = mapped_column(String(254), primary_key=True)
    uid: Mapped[int]
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
