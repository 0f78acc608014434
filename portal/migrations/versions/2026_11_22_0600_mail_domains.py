"""Mail domains, and what was said of their plans."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from portal.db import LongText, UtcDateTime

revision = "0600"
down_revision = "0500"


def upgrade() -> None:
    op.create_table(
        "mail_domains",
        sa.Column("domain", sa.String(253), primary_key=True),
        sa.Column("wanted", sa.String(16), nullable=False),
        sa.Column("mailbox", sa.String(64), nullable=False),
        sa.Column("made_domain", sa.Boolean, nullable=False),
        sa.Column("canary_password", sa.String(255), nullable=True),
        sa.Column("added_at", UtcDateTime, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.Column("canary_at", UtcDateTime, nullable=True),
        sa.Column("canary_s", sa.Double, nullable=True),
    )
    op.create_table(
        "mail_domain_plans",
        sa.Column("plan_id", sa.String(26), primary_key=True),
        sa.Column("asked", LongText, nullable=False),
        sa.Column("shown", LongText, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False, index=True),
    )


def downgrade() -> None:
    op.drop_table("mail_domain_plans")
    op.drop_table("mail_domains")
