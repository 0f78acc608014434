"""The timeline of containers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from portal.db import BigId, UtcDateTime

revision = "0400"
down_revision = "0300"


def upgrade() -> None:
    op.create_table(
        "container_events",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("at", UtcDateTime, nullable=False, index=True),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("container", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("stack", sa.String(64), nullable=False),
        sa.Column("service", sa.String(255), nullable=False),
        sa.Column("image", sa.String(255), nullable=False),
        sa.Column("exit_code", sa.Integer, nullable=True),
        sa.Column("signal", sa.String(16), nullable=True),
        sa.Column("health", sa.String(16), nullable=True),
        sa.UniqueConstraint("container", "at_ns", "action"),
    )
    op.create_index("ix_container_events_name_at", "container_events", ["name", "at"])


def downgrade() -> None:
    op.drop_table("container_events")
