"""The tables. Nobody but this room reads them; the daemons read the views.

Every address there is, of a mailbox or an alias, is one row of `addresses`, so one unique key keeps an alias from
shadowing a mailbox, also when both are made at the same moment. A mailbox's own address is the row with `is_own`.

An alias that is removed keeps its row (`removed_at`): who had the address before can be seen, and giving it to
somebody else is an act of its own.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Computed, ForeignKey, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from portal.db import Base, UtcDateTime

# Byte by byte, no padding. Case is not the collation's matter: a collation that folds it folds accents too, or (an
# ASCII one) fails at every look-up with another character, and a failure is "come again later", not "unknown".
EXACT = "utf8mb4_nopad_bin"


class MailBase(DeclarativeBase):
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


class Domain(MailBase):
    __tablename__ = "domains"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(253, collation=EXACT), unique=True)
    is_active: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Mailbox(MailBase):
    __tablename__ = "mailboxes"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    password: Mapped[str | None] = mapped_column(String(255, collation=EXACT))  # none: nobody can log in
    quota_bytes: Mapped[int | None] = mapped_column(BigInteger)  # none: the stack's default
    may_send: Mapped[bool]
    is_active: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    addresses: Mapped[list[AddressRow]] = relationship(back_populates="mailbox", lazy="selectin")

    @property
    def address(self) -> str:
        """Its own address, which is its login."""
        return next(row.address for row in self.addresses if row.is_own)


class AddressRow(MailBase):
    __tablename__ = "addresses"
    __table_args__ = (
        CheckConstraint("address = LOWER(address)", name="lower"),
        CheckConstraint("removed_at IS NULL OR NOT is_own", name="own_stays"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    address: Mapped[str] = mapped_column(String(254, collation=EXACT), unique=True)
    domain_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(Domain.id), index=True)
    mailbox_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(Mailbox.id), index=True)
    is_own: Mapped[bool]
    own_of: Mapped[int | None] = mapped_column(  # one own address for each mailbox
        BigInteger, Computed("IF(is_own, mailbox_id, NULL)", persisted=False), unique=True
    )
    may_send: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    domain: Mapped[Domain] = relationship(lazy="joined")
    mailbox: Mapped[Mailbox] = relationship(back_populates="addresses", lazy="joined")
