"""A disk that is full, as SQLite sees it: the database may grow no further."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, event, text
from sqlalchemy.orm import Session

from portal.db import Database


def fill_disk(database: Database, *, spare_pages: int = 0) -> None:
    """Let the database grow no further than by so many pages of 4 KiB, on any of its connections."""

    def take_free_pages(session: Session) -> None:
        free = session.scalar(text("PRAGMA freelist_count"))
        session.execute(text("CREATE TABLE ballast (x BLOB)"))
        session.execute(text("INSERT INTO ballast VALUES (zeroblob(:size))"), {"size": 4096 * int(free or 0)})

    database.run_sync(take_free_pages)
    pages = database.read_sync(lambda session: session.scalar(text("PRAGMA page_count")) or 0)

    @event.listens_for(database._engine, "begin")
    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + spare_pages}")


def long_text() -> str:
    """Content of a TXT record that no packing makes small: 3 of them are more than a page."""
    return " ".join(f'"{secrets.token_urlsafe(150)}"' for _ in range(8))
