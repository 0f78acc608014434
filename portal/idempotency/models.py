"""The table of idempotency keys."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, LongText, UtcDateTime


class IdempotencyKeyRow(Base):
    """One `Idempotency-Key` of one actor, and what was answered."""

    __tablename__ = "idempotency_keys"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)  # of actor and key
    request: Mapped[str] = mapped_column(String(64))  # HMAC of method, path, query and body
    claimed_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    is_done: Mapped[int] = mapped_column(Integer)
    answer: Mapped[str | None] = mapped_column(LongText)  # JSON; NULL: none yet, or one that is not kept
