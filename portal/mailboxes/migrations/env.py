"""The mail server's Alembic environment. It has one way in, `MailDatabase.migrate`, which gives it a connection."""

from __future__ import annotations

from alembic import context

from portal.mailboxes.models import MailBase

context.configure(connection=context.config.attributes["connection"], target_metadata=MailBase.metadata)
context.run_migrations()
