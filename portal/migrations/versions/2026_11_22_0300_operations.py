"""Operations, plans and idempotency keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from portal.db import LongText, UtcDateTime

revision = "0300"
down_revision = "0200"


def upgrade() -> None:
    op.create_table(
        "operations",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("act", sa.String(100), nullable=False, index=True),
        sa.Column("target", sa.String(255), nullable=False, index=True),
        sa.Column("guard", sa.String(400), nullable=True, unique=True),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("actor_id", sa.String(64), nullable=False, index=True),
        sa.Column("actor_name", sa.String(255), nullable=False),
        sa.Column("actor_role", sa.String(16), nullable=True),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("outcome", sa.String(16), nullable=True),
        sa.Column("outcome_detail", sa.String(500), nullable=False),
        sa.Column("started_at", UtcDateTime, nullable=False, index=True),
        sa.Column("ended_at", UtcDateTime, nullable=True),
        sa.Column("timeout_s", sa.Double, nullable=False),
        sa.Column("cancelled_by", sa.String(255), nullable=True),
        sa.Column("progress_done", sa.BigInteger, nullable=True),
        sa.Column("progress_of", sa.BigInteger, nullable=True),
        sa.Column("lines", LongText, nullable=False),
        sa.Column("detail", LongText, nullable=True),
        sa.Column("inverse", LongText, nullable=True),
        sa.Column("result", LongText, nullable=True),
        sa.Column("error", LongText, nullable=True),
    )
    op.create_table(
        "plans",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("act", sa.String(100), nullable=False),
        sa.Column("target", sa.String(255), nullable=False),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("actor_id", sa.String(64), nullable=False),
        sa.Column("changes", LongText, nullable=False),
        sa.Column("wish", LongText, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False, index=True),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("undoes", sa.String(26), nullable=True),
        sa.Column("operation_id", sa.String(26), nullable=True, unique=True),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("claimed_at", UtcDateTime, nullable=False, index=True),
        sa.Column("is_done", sa.Integer, nullable=False),
        sa.Column("answer", LongText, nullable=True),
    )


def downgrade() -> None:
    op.drop_table("idempotency_keys")
    op.drop_table("plans")
    op.drop_table("operations")
