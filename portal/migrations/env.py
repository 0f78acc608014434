"""Alembic's environment. It has one way in, `Database.migrate`, which gives it a connection in a transaction."""

from __future__ import annotations

from alembic import context

from portal.db import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
