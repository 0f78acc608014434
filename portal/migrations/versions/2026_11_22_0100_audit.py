"""The audit: its rows, the head of its chain, and triggers that keep rows as they were written.

On MariaDB the triggers need the TRIGGER privilege and, with binary logging on, `log_bin_trust_function_creators`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

from portal.db import LongText, UtcDateTime

revision = "0100"
down_revision = None

NEVER = "audit rows are never changed or removed"


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if not is_sqlite:  # for this table and all that follow: names are compared byte by byte, as on SQLite
        op.execute("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin")
    op.create_table(
        "audit",
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", UtcDateTime, nullable=False, index=True),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("actor_id", sa.String(64), nullable=False, index=True),
        sa.Column("actor_name", sa.String(255), nullable=False),
        sa.Column("actor_role", sa.String(16), nullable=True),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("action", sa.String(100), nullable=False, index=True),
        sa.Column("target", sa.String(255), nullable=False, index=True),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("detail", sa.String(2000), nullable=False),
        sa.Column("before", LongText, nullable=True),
        sa.Column("after", LongText, nullable=True),
        sa.Column("operation_id", sa.String(64), nullable=True, index=True),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.execute(f"INSERT INTO audit_head (id, sequence, hash) VALUES (1, 0, '{'0' * 64}')")  # noqa: S608
    try:
        _forbid_changes(is_sqlite=is_sqlite)
    except DBAPIError:  # a privilege is missing; MariaDB does not take tables back by itself
        if not is_sqlite:
            downgrade()
        raise


def _forbid_changes(*, is_sqlite: bool) -> None:
    for event in ("UPDATE", "DELETE"):
        refuse = (
            f"BEGIN SELECT RAISE(ABORT, '{NEVER}'); END"
            if is_sqlite
            else f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{NEVER}'"
        )
        op.execute(f"CREATE TRIGGER audit_no_{event.lower()} BEFORE {event} ON audit FOR EACH ROW {refuse}")


def downgrade() -> None:
    """Takes the audit with it: only for a portal that was never used."""
    op.drop_table("audit_head")
    op.drop_table("audit")
