"""The timeline: what the engine said of containers, kept after they and the engine's own memory are gone."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, BigId, UtcDateTime


class ContainerEventRow(Base):
    """One event. The engine's nanosecond tells apart what it says twice, so an event told again is kept once."""

    __tablename__ = "container_events"
    __table_args__ = (
        UniqueConstraint("container", "at_ns", "action"),
        Index("ix_container_events_name_at", "name", "at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    at_ns: Mapped[int] = mapped_column(BigInteger)
    action: Mapped[str] = mapped_column(String(32))
    container: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    stack: Mapped[str] = mapped_column(String(64))
    service: Mapped[str] = mapped_column(String(255))
    image: Mapped[str] = mapped_column(String(255))
    exit_code: Mapped[int | None]
    signal: Mapped[str | None] = mapped_column(String(16))
    health: Mapped[str | None] = mapped_column(String(16))
