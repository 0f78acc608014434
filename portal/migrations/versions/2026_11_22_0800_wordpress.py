"""WordPress sites, what was last read of them, and the trees that were put aside."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from portal.db import LongText, UtcDateTime

revision = "0800"
down_revision = "0700"


def upgrade() -> None:
    op.create_table(
        "wp_sites",
        sa.Column("uid", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(31), nullable=False, index=True),
        sa.Column("live_name", sa.String(31), nullable=True, unique=True),
        sa.Column("server", sa.String(64), nullable=False),
        sa.Column("database", sa.String(64), nullable=False),
        sa.Column("account", sa.String(80), nullable=False),
        sa.Column("redis_password_sha256", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("ring", sa.Integer, nullable=False),
        sa.Column("php", LongText, nullable=False),
        sa.Column("mail", LongText, nullable=True),
        sa.Column("xmlrpc", sa.Boolean, nullable=False),
        sa.Column("is_served", sa.Boolean, nullable=False),
        sa.Column("is_maintained", sa.Boolean, nullable=False),
        sa.Column("adopted", sa.Boolean, nullable=False),
        sa.Column("made_by", sa.String(26), nullable=True),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("removed_at", UtcDateTime, nullable=True),
    )
    op.create_table(
        "wp_hostnames",
        sa.Column("hostname", sa.String(253), primary_key=True),
        sa.Column("uid", sa.Integer, sa.ForeignKey("wp_sites.uid"), nullable=False, index=True),
        sa.Column("position", sa.Integer, nullable=False),
    )
    op.create_table(
        "wp_readings",
        sa.Column("uid", sa.Integer, sa.ForeignKey("wp_sites.uid"), primary_key=True, autoincrement=False),
        sa.Column("document", LongText, nullable=True),
        sa.Column("read_at", UtcDateTime, nullable=True),
        sa.Column("tried_at", UtcDateTime, nullable=False),
        sa.Column("took_s", sa.Double, nullable=False),
        sa.Column("trouble", sa.String(16), nullable=False),
        sa.Column("error", LongText, nullable=False),
        sa.Column("checksums", LongText, nullable=True),
    )
    op.create_table(
        "wp_kept",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("uid", sa.Integer, sa.ForeignKey("wp_sites.uid"), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("slug", sa.String(100), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("operation_id", sa.String(26), nullable=False),
        sa.Column("kept_at", UtcDateTime, nullable=False, index=True),
        sa.Index("ix_wp_kept_uid_kind_slug", "uid", "kind", "slug"),
    )


def downgrade() -> None:
    for table in ("wp_kept", "wp_readings", "wp_hostnames", "wp_sites"):
        op.drop_table(table)
