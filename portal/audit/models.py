"""The audit's two tables. `audit` is only ever inserted into (triggers refuse the rest); `audit_head` is its end.

`audit_head` has one row: the number and hash of the newest row. Writers lock it, so that numbers have no gap and each
row knows the one before; and it shows when the newest rows were cut off.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, LongText, UtcDateTime

MAX_DETAIL = 2000


class AuditRow(Base):
    __tablename__ = "audit"

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    actor_kind: Mapped[str] = mapped_column(String(16))
    actor_id: Mapped[str] = mapped_column(String(64), index=True)
    actor_name: Mapped[str] = mapped_column(String(255))
    actor_role: Mapped[str | None] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(100), index=True)
    target: Mapped[str] = mapped_column(String(255), index=True)
    result: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str] = mapped_column(String(MAX_DETAIL))
    before: Mapped[str | None] = mapped_column(LongText)  # JSON, as it was hashed
    after: Mapped[str | None] = mapped_column(LongText)
    operation_id: Mapped[str | None] = mapped_column(String(64), index=True)
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class AuditHead(Base):
    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # always 1
    sequence: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))
