"""The table of what was measured of each site: one small row a round."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, UtcDateTime

MAX_ERROR = 200


class SiteReadingRow(Base):
    """One round of looks at one site.

    *_status   NULL: no answer, then *_error says why; both NULL and "": it was not asked
    is_cached  whether the edge answered from its cache; NULL: it does not say
    """

    __tablename__ = "site_readings"

    uid: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True, index=True)
    origin_status: Mapped[int | None]
    origin_ms: Mapped[int | None]
    edge_status: Mapped[int | None]
    edge_ms: Mapped[int | None]
    is_cached: Mapped[bool | None] = mapped_column(Boolean)
    certificate_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    origin_error: Mapped[str] = mapped_column(String(MAX_ERROR))
    edge_error: Mapped[str] = mapped_column(String(MAX_ERROR))
