"""The DNS room: zones as they were seen, points in time, drift, who changed a record last, half applied plans."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from portal.db import BigId, LongText, UtcDateTime

revision = "0500"
down_revision = "0400"

TABLES = ("dns_seen_zones", "dns_snapshots", "dns_drift", "dns_last_changes", "dns_applies")
BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "dns_seen_zones",
        sa.Column("zone", sa.String(253), primary_key=True),
        sa.Column("seen_at", UtcDateTime, nullable=False),
        sa.Column("last_ours", sa.String(26), nullable=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("records", BLOB, nullable=False),
    )
    op.create_table(
        "dns_snapshots",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("zone", sa.String(253), nullable=False),
        sa.Column("taken_at", UtcDateTime, nullable=False),
        sa.Column("seen_until", UtcDateTime, nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("operation_id", sa.String(26), nullable=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("records", BLOB, nullable=False),
    )
    op.create_index("ix_dns_snapshots_zone_id", "dns_snapshots", ["zone", "id"])
    op.create_table(
        "dns_drift",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("zone", sa.String(253), nullable=False),
        sa.Column("name", sa.String(400), nullable=False),
        sa.Column("act", sa.String(16), nullable=False),
        sa.Column("keys", LongText, nullable=False),
        sa.Column("changes", LongText, nullable=False),
        sa.Column("fields", LongText, nullable=False),
        sa.Column("seen_at", UtcDateTime, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("settled_by", sa.String(255), nullable=True),
        sa.Column("settled_at", UtcDateTime, nullable=True, index=True),
    )
    op.create_index("ix_dns_drift_zone_state", "dns_drift", ["zone", "state"])
    op.create_table(
        "dns_last_changes",
        sa.Column("zone", sa.String(253), primary_key=True),
        sa.Column("key", sa.String(400), primary_key=True),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("by", sa.String(255), nullable=True),
        sa.Column("operation_id", sa.String(26), nullable=True),
    )
    op.create_table(
        "dns_applies",
        sa.Column("operation_id", sa.String(26), primary_key=True),
        sa.Column("plan_id", sa.String(26), nullable=False),
        sa.Column("zone", sa.String(253), nullable=False, index=True),
        sa.Column("batches_done", sa.Integer, nullable=False),
        sa.Column("batches", sa.Integer, nullable=False),
        sa.Column("changes", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("detail", sa.String(500), nullable=False),
        sa.Column("since", UtcDateTime, nullable=False),
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
