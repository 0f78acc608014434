"""Updates of many sites, what probes have measured of each, and the mail accounts that were made for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from portal.db import LongText, UtcDateTime

revision = "0810"
down_revision = "0800"


def upgrade() -> None:
    op.create_table(
        "fleet_updates",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("plan_id", sa.String(26), nullable=False),
        sa.Column("by", sa.String(255), nullable=False),
        sa.Column("soak_minutes", sa.Integer, nullable=False),
        sa.Column("began_at", UtcDateTime, nullable=False, index=True),
        sa.Column("ended_at", UtcDateTime, nullable=True),
        sa.Column("soaks_until", UtcDateTime, nullable=True),
        sa.Column("stopped", LongText, nullable=False),
    )
    op.create_table(
        "fleet_update_sites",
        sa.Column("update_id", sa.String(26), primary_key=True),
        sa.Column("site", sa.String(31), primary_key=True),
        sa.Column("ring", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("step", sa.String(16), nullable=False),
        sa.Column("updates", LongText, nullable=False),
        sa.Column("point", sa.String(100), nullable=True),
        sa.Column("checksum", sa.String(128), nullable=True),
        sa.Column("before", LongText, nullable=True),
        sa.Column("after", LongText, nullable=True),
        sa.Column("reason", LongText, nullable=False),
        sa.Column("operation_id", sa.String(26), nullable=True, index=True),
        sa.Column("began_at", UtcDateTime, nullable=True),
        sa.Column("ended_at", UtcDateTime, nullable=True),
    )
    op.create_table(
        "fleet_update_plans",
        sa.Column("plan_id", sa.String(26), primary_key=True),
        sa.Column("asked", LongText, nullable=False),
        sa.Column("left_out", LongText, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False, index=True),
    )
    op.create_table(
        "site_mail_accounts",
        sa.Column("address", sa.String(254), primary_key=True),
        sa.Column("uid", sa.Integer, nullable=False),
        sa.Column("made_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "site_readings",
        sa.Column("uid", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", UtcDateTime, primary_key=True),
        sa.Column("origin_status", sa.Integer, nullable=True),
        sa.Column("origin_ms", sa.Integer, nullable=True),
        sa.Column("edge_status", sa.Integer, nullable=True),
        sa.Column("edge_ms", sa.Integer, nullable=True),
        sa.Column("is_cached", sa.Boolean, nullable=True),
        sa.Column("certificate_until", UtcDateTime, nullable=True),
        sa.Column("origin_error", sa.String(200), nullable=False),
        sa.Column("edge_error", sa.String(200), nullable=False),
        sa.Index("ix_site_readings_at", "at"),
    )


def downgrade() -> None:
    for table in ("site_readings", "site_mail_accounts", "fleet_update_plans", "fleet_update_sites", "fleet_updates"):
        op.drop_table(table)
