"""Databases for the portal's tests: migrated, empty, each test's own. The fixtures stand in conftest.py.

A migrated SQLite file is made once per test process and copied (2 ms instead of 200). On MariaDB every test migrates a
database of its own.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from portal.db import Database


def make_template(directory: Path) -> Path:
    """Return a migrated, empty SQLite file."""
    path = directory / "template.sqlite3"
    with opened(f"sqlite:///{path}") as database:
        database.migrate()
    return path  # the last connection's end has emptied the write-ahead log


def copy_of(template: Path, directory: Path) -> str:
    """Return the URL of a copy."""
    path = directory / "portal.sqlite3"
    shutil.copyfile(template, path)
    return f"sqlite:///{path}"


@contextlib.contextmanager
def opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()
