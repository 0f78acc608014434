"""What the audit room sends."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel


class AuditActor(BaseModel):
    kind: str
    id: str
    name: str
    role: str | None


class AuditEntry(BaseModel):
    """One row. `before` and `after` have lost their secrets before they were written."""

    sequence: int
    at: AwareDatetime
    actor: AuditActor
    source: str
    request_id: str
    action: str
    target: str
    result: str
    detail: str
    before: Any
    after: Any
    operation_id: str | None
    hash: str


class AuditPage(BaseModel):
    """Newest first. `below` asks for the next page; null on the last."""

    entries: list[AuditEntry]
    below: int | None


class AuditVerification(BaseModel):
    """Whether every row is as it was written. `broken_at` names the first that is not."""

    rows: int
    broken_at: int | None
    reason: str | None
