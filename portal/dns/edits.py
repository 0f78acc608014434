"""Edits of records as a wish for a plan: each checked against the zone as it will be with the others. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from portal.dns.problems import NoSuchRecord, RecordInvalid, RecordLocked
from portal.dns.records.checks import check, limits_of
from portal.dns.records.findings import Finding, error
from portal.dns.records.neighbours import Neighbours
from portal.dns.records.values import is_locked, key_of, value_of
from portal.dns.schemas import Edit
from portal.integrations.records import Json
from portal.operations.plans import Value

MAX_TOLD = 100  # edits whose problems are listed


def wish_of(zone: str, records: Mapping[str, Json], edits: Sequence[Edit], *, plan: str) -> dict[str, Value]:
    """Given a zone's records by key and what is to become of them, return key -> value, None for those that go.

    A record that says something else afterwards has another key: the wish has both. `plan` is the zone's at Cloudflare.
    raises   NoSuchRecord, RecordLocked, RecordInvalid with every edit that is wrong
    """
    _refuse_impossible(records, edits)
    limits = limits_of(plan)
    going = {edit.key for edit in edits if edit.key is not None}
    befores = [None if edit.key is None else value_of(records[edit.key]) for edit in edits]
    drafts = [None if edit.act == "delete" else draft_of(edit) for edit in edits]
    alone = [
        (None, []) if draft is None else check(zone, draft, before=before, limits=limits)
        for draft, before in zip(drafts, befores, strict=True)
    ]
    values = [value for value, _ in alone if value is not None]
    neighbours = Neighbours([*(record for key, record in records.items() if key not in going), *values])
    wish: dict[str, Value] = dict.fromkeys(sorted(going))
    wrong: list[dict[str, Any]] = []
    for index, (edit, draft, before, (value, findings)) in enumerate(zip(edits, drafts, befores, alone, strict=True)):
        if draft is None:
            continue
        key = "" if value is None else key_of(value)
        if value is not None:
            value, findings = check(zone, draft, before=before, others=neighbours, own=key, limits=limits)
        if wish.get(key) is not None or (key in records and key not in going):
            value, findings = None, [*findings, error("content", "duplicate")]
        if value is None:
            wrong.append({"index": index, "problems": [described(finding) for finding in findings]})
        elif edit.key is not None and edit.key.startswith(f"{key} #"):
            wish[edit.key] = value  # a second one of its kind stays one
        else:
            wish[key] = value
    if wrong:
        raise RecordInvalid(f"{len(wrong)} of {len(edits)} edits are not valid", edits=wrong[:MAX_TOLD])
    return wish


def draft_of(edit: Edit) -> dict[str, Any]:
    """What an edit says of its record; what it leaves out is not in it."""
    return {} if edit.record is None else edit.record.model_dump(exclude_unset=True)


def described(finding: Finding) -> dict[str, Any]:
    """As `schemas.RecordProblem`, in a problem document."""
    return asdict(finding) | {"params": dict(finding.params)}


def _refuse_impossible(records: Mapping[str, Json], edits: Sequence[Edit]) -> None:
    """Raise NoSuchRecord, RecordLocked, or RecordInvalid for an edit that names no record, or a record twice."""
    wrong: list[dict[str, Any]] = []
    seen: set[str] = set()
    for index, edit in enumerate(edits):
        needs_key, needs_record = edit.act != "create", edit.act != "delete"
        if needs_key is (edit.key is None) or needs_record is (edit.record is None):
            wrong.append(_wrong(index, "edit-incomplete", f"to {edit.act} takes {_TAKES[edit.act]}"))
        elif edit.key is not None and edit.key in seen:
            wrong.append(_wrong(index, "edit-twice", "the record is edited twice"))
        if edit.key is not None:
            seen.add(edit.key)
    if wrong:
        raise RecordInvalid(f"{len(wrong)} of {len(edits)} edits are not valid", edits=wrong[:MAX_TOLD])
    if missing := [key for key in seen if key not in records]:
        raise NoSuchRecord(f"the zone has no record {missing[0]!r}", keys=sorted(missing)[:MAX_TOLD])
    if locked := sorted(key.rpartition(" ")[0] for key in seen if is_locked(records[key])):
        raise RecordLocked(f"Email Routing keeps {', '.join(locked[:5])}", names=locked[:MAX_TOLD])


def _wrong(index: int, code: str, text: str) -> dict[str, Any]:
    problem = {"field": "", "code": code, "params": {}, "text": text, "severity": "error"}
    return {"index": index, "problems": [problem]}


_TAKES = {"create": "a record and no key", "change": "a key and a record", "delete": "a key and no record"}
