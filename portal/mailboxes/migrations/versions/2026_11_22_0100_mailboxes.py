"""Domains, mailboxes, addresses, the three views of the daemons, and the sentinel.

Each statement commits by itself on MariaDB. So each can be repeated, and a migration that was killed is run again.

The sentinel is made here and nowhere else: a database that lost its rows has no sentinel either, and the mail API,
which asks for it, then refuses nobody.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from portal.db import UtcDateTime

revision = "0100"
down_revision = None

EXACT = "utf8mb4_nopad_bin"

# Joins of unique keys, which the server merges into the daemon's look-up: one row is read, not a table.
VIEWS = {
    "dovecot_users": """
        SELECT own.address AS username, mailboxes.password AS password, mailboxes.quota_bytes AS quota_bytes
        FROM mailboxes
        JOIN addresses own ON own.own_of = mailboxes.id
        JOIN domains ON domains.id = own.domain_id
        WHERE mailboxes.is_active AND domains.is_active
    """,
    "dovecot_addresses": """
        SELECT taken.address AS address, own.address AS username
        FROM addresses taken
        JOIN domains ON domains.id = taken.domain_id
        JOIN mailboxes ON mailboxes.id = taken.mailbox_id
        JOIN addresses own ON own.own_of = mailboxes.id
        JOIN domains own_domain ON own_domain.id = own.domain_id
        WHERE taken.removed_at IS NULL AND domains.is_active AND mailboxes.is_active AND own_domain.is_active
    """,
    "postfix_senders": """
        SELECT sender.address AS address, own.address AS login
        FROM addresses sender
        JOIN domains ON domains.id = sender.domain_id
        JOIN mailboxes ON mailboxes.id = sender.mailbox_id
        JOIN addresses own ON own.own_of = mailboxes.id
        JOIN domains own_domain ON own_domain.id = own.domain_id
        WHERE sender.removed_at IS NULL AND domains.is_active AND mailboxes.is_active AND own_domain.is_active
            AND sender.may_send AND mailboxes.may_send
    """,
}
SENTINEL = (
    "INSERT IGNORE INTO domains (name, is_active, created_at) VALUES ('homeport.invalid', 1, UTC_TIMESTAMP(6))",
    "INSERT IGNORE INTO mailboxes (id, password, quota_bytes, may_send, is_active, created_at, updated_at)"
    " VALUES (1, NULL, 1048576, 0, 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))",
    "INSERT IGNORE INTO addresses (address, domain_id, mailbox_id, is_own, may_send, created_at)"
    " SELECT 'sentinel@homeport.invalid', id, 1, 1, 0, UTC_TIMESTAMP(6) FROM domains WHERE name = 'homeport.invalid'",
)


def upgrade() -> None:
    op.create_table(
        "domains",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(253, collation=EXACT), nullable=False, unique=True),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "mailboxes",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=True),
        sa.Column("password", sa.String(255, collation=EXACT), nullable=True),
        sa.Column("quota_bytes", sa.BigInteger, nullable=True),
        sa.Column("may_send", sa.Boolean, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "addresses",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=True),
        sa.Column("address", sa.String(254, collation=EXACT), nullable=False, unique=True),
        sa.Column("domain_id", sa.BigInteger, sa.ForeignKey("domains.id"), nullable=False),
        sa.Column("mailbox_id", sa.BigInteger, sa.ForeignKey("mailboxes.id"), nullable=False),
        sa.Column("is_own", sa.Boolean, nullable=False),
        sa.Column("own_of", sa.BigInteger, sa.Computed("IF(is_own, mailbox_id, NULL)", persisted=False), unique=True),
        sa.Column("may_send", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("removed_at", UtcDateTime, nullable=True),
        sa.CheckConstraint("address = LOWER(address)", name="lower"),
        sa.CheckConstraint("removed_at IS NULL OR NOT is_own", name="own_stays"),
        if_not_exists=True,
    )
    op.create_index("ix_addresses_domain_id", "addresses", ["domain_id"], if_not_exists=True)
    op.create_index("ix_addresses_mailbox_id", "addresses", ["mailbox_id"], if_not_exists=True)
    for name, query in VIEWS.items():
        op.execute(f"CREATE OR REPLACE SQL SECURITY DEFINER VIEW {name} AS {query}")
    for statement in SENTINEL:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the accounts of all mailboxes would be lost; restore a backup instead")
