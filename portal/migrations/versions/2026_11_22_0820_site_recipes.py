"""Runs of the recipes for sites, their steps, and what was said of their plans."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from portal.db import LongText, UtcDateTime

revision = "0820"
down_revision = "0810"


def upgrade() -> None:
    op.create_table(
        "site_runs",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("act", sa.String(16), nullable=False),
        sa.Column("site", sa.String(31), nullable=False, index=True),
        sa.Column("asked", LongText, nullable=False),
        sa.Column("sealed", LongText, nullable=True),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("operation", sa.String(26), nullable=False),
        sa.Column("trouble", LongText, nullable=False),
        sa.Column("began_at", UtcDateTime, nullable=False),
        sa.Column("closed_at", UtcDateTime, nullable=True),
    )
    op.create_table(
        "site_steps",
        sa.Column("run", sa.String(26), sa.ForeignKey("site_runs.id"), primary_key=True),
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("made", LongText, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "site_plans",
        sa.Column("plan_id", sa.String(26), primary_key=True),
        sa.Column("asked", LongText, nullable=False),
        sa.Column("shown", LongText, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False, index=True),
    )


def downgrade() -> None:
    for table in ("site_plans", "site_steps", "site_runs"):
        op.drop_table(table)
