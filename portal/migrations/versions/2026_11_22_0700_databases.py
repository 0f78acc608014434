"""Databases: servers as last seen, what Homeport made on them, dumps that are kept, and what ran in the console."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from portal.db import BigId, LongText, UtcDateTime

revision = "0700"
down_revision = "0600"


def upgrade() -> None:
    op.create_table(
        "database_servers_seen",
        sa.Column("server", sa.String(32), primary_key=True),
        sa.Column("seen_at", UtcDateTime, nullable=False),
        sa.Column("document", LongText, nullable=False),
    )
    op.create_table(
        "databases_made",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("server", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("made_by", sa.String(26), nullable=False),
        sa.Column("made_at", UtcDateTime, nullable=False),
        sa.Column("removed_at", UtcDateTime, nullable=True),
        sa.UniqueConstraint("server", "kind", "name", "made_by"),
    )
    op.create_table(
        "database_dumps",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("server", sa.String(32), nullable=False),
        sa.Column("database", sa.String(64), nullable=False),
        sa.Column("why", sa.String(16), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("tables", sa.Integer, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("made_by", sa.String(26), nullable=False),
        sa.Column("made_at", UtcDateTime, nullable=False),
        sa.Column("kept_until", UtcDateTime, nullable=False, index=True),
    )
    op.create_index("ix_database_dumps_server_database", "database_dumps", ["server", "database"])
    op.create_table(
        "console_history",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("at", UtcDateTime, nullable=False, index=True),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("actor_id", sa.String(64), nullable=False),
        sa.Column("server", sa.String(32), nullable=False),
        sa.Column("database", sa.String(64), nullable=True),
        sa.Column("act", sa.String(16), nullable=False),
        sa.Column("statement", LongText, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("took_ms", sa.BigInteger, nullable=False),
        sa.Column("error", sa.String(500), nullable=False),
    )
    op.create_index("ix_console_history_actor", "console_history", ["actor_kind", "actor_id", "id"])
    op.create_table(
        "console_writes",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("server", sa.String(32), nullable=False),
        sa.Column("database", sa.String(64), nullable=False),
        sa.Column("table_name", sa.String(64), nullable=False),
        sa.Column("statement", LongText, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("before_image", sa.String(64), nullable=False),
        sa.Column("document", LongText, nullable=False),
        sa.Column("measured_at", UtcDateTime, nullable=False, index=True),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("undoes", sa.String(26), nullable=True, index=True),
        sa.Column("operation_id", sa.String(26), nullable=True),
        sa.Column("applied_at", UtcDateTime, nullable=True),
    )


def downgrade() -> None:
    op.drop_table("console_writes")
    op.drop_table("console_history")
    op.drop_table("database_dumps")
    op.drop_table("databases_made")
    op.drop_table("database_servers_seen")
