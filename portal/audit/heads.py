"""Heads of the chain that were written to where the portal cannot reach: what a chain alone cannot show.

Whoever cuts off the newest rows, and the head with them, leaves a chain that holds. A head that was put aside before
names a row that is then missing, or has another hash. The files are the vault's `audit/<utc>.json`, fetched by the
backup, which has checked their signatures; their names sort by time.

    {"schema_version": 1, "sequence": 4211, "hash": "<64 hex>", "at": "2026-11-22T03:00:07Z"}     (+ "signature")
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.audit.chain import GENESIS
from portal.audit.models import AuditHead, AuditRow

MAX_BYTES = 64 * 1024
AT_ONCE = 500


class HeadUnreadable(Exception):
    """A file is no head, or there is none at all. The text names it."""


class Head(BaseModel):
    """Which row was the newest at a time. Of an empty chain: number 0, and zeros."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    sequence: Annotated[int, Field(ge=0, le=2**53)]
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    at: AwareDatetime
    signature: str | None = None

    def document(self) -> bytes:
        """As the file that the backup puts into the vault, unsigned."""
        at = self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        members = {"schema_version": self.schema_version, "sequence": self.sequence, "hash": self.hash, "at": at}
        return json.dumps(members).encode() + b"\n"


def present(session: Session, now: datetime) -> Head:
    """Return the chain's head as it is. Raise HeadUnreadable when the database has none."""
    head = session.execute(select(AuditHead.sequence, AuditHead.hash)).one_or_none()
    if head is None:
        raise HeadUnreadable("the head of the chain is missing")
    return Head(sequence=head.sequence, hash=head.hash, at=now)


def read(directory: Path) -> dict[str, Head]:
    """Return the heads in a directory's `*.json`, by name, the oldest first. Raise HeadUnreadable, also for none."""
    try:
        paths = sorted(directory.glob("*.json"))
    except OSError as error:
        raise HeadUnreadable(f"{directory}: {error.strerror or error}") from error
    if not paths:
        raise HeadUnreadable(f"no head of the chain is in {directory}; homeport backup vault fetches them")
    return {path.name: _read(path) for path in paths}


def first_missing(session: Session, heads: dict[str, Head]) -> str | None:
    """Return the name of the first head that is not in the chain, or None. For `Database.read`."""
    known: dict[int, str] = {0: GENESIS}
    wanted = sorted({head.sequence for head in heads.values()} - {0})
    for start in range(0, len(wanted), AT_ONCE):
        part: Sequence[int] = wanted[start : start + AT_ONCE]
        rows = session.execute(select(AuditRow.sequence, AuditRow.hash).where(AuditRow.sequence.in_(part)))
        known |= {row.sequence: row.hash for row in rows}
    return next((name for name, head in heads.items() if known.get(head.sequence) != head.hash), None)


def _read(path: Path) -> Head:
    try:
        with path.open("rb") as file:
            return Head.model_validate_json(file.read(MAX_BYTES))
    except OSError as error:
        raise HeadUnreadable(f"{path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise HeadUnreadable(f"{path} is no head: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
