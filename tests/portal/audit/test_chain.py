"""The chain: gapless under concurrency, unchangeable by SQL, and whatever is changed all the same is named."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from portal.actor import Actor, Role
from portal.audit import Broken, Result, record, record_now, verify
from portal.audit.models import AuditRow
from portal.db import Database

ANNA = Actor("user", "u1", "anna", Role.ADMIN, "127.0.0.1", "r-1")


def fill(session: Session) -> None:
    for number in range(1, 6):
        record(session, ANNA, "ui:test:act", f"target-{number}", Result.DONE, after={"n": number})


@pytest.fixture
def filled(any_database: Database) -> Database:
    any_database.run_sync(fill)
    return any_database


def tamper(database: Database, *statements: str) -> Broken | None:
    """Do what only somebody with the database's own password can do; return what `verify` says."""
    drop = ["DROP TRIGGER audit_no_update", "DROP TRIGGER audit_no_delete"]
    database.run_sync(lambda session: [session.execute(text(statement)) for statement in [*drop, *statements]])
    return database.read_sync(verify)


def test_row_says_who_what_where_and_follows_the_published_form(filled: Database) -> None:
    rows = filled.read_sync(lambda session: session.scalars(select(AuditRow).order_by(AuditRow.sequence)).all())
    assert [row.sequence for row in rows] == [1, 2, 3, 4, 5]
    first, second = rows[:2]
    assert (first.actor_name, first.actor_role, first.source, first.request_id) == ("anna", "admin", "127.0.0.1", "r-1")
    assert (first.action, first.target, first.result, first.after) == ("ui:test:act", "target-1", "done", '{"n":1}')
    assert first.previous == "0" * 64
    assert second.previous == first.hash
    document = {
        "sequence": 2,
        "at": second.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "actor_kind": "user",
        "actor_id": "u1",
        "actor_name": "anna",
        "actor_role": "admin",
        "source": "127.0.0.1",
        "request_id": "r-1",
        "action": "ui:test:act",
        "target": "target-2",
        "result": "done",
        "detail": "",
        "before": None,
        "after": '{"n":2}',
        "operation_id": None,
    }
    canonical = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert second.hash == hashlib.sha256((first.hash + canonical).encode()).hexdigest()


def test_whole_chain_verifies_and_so_does_an_empty_one(filled: Database, database: Database) -> None:
    assert filled.read_sync(verify) is None
    assert database.read_sync(verify) is None


@pytest.mark.parametrize(
    "statement",
    [
        *("UPDATE audit SET target = 'x' WHERE sequence = 3", "UPDATE audit SET result = result"),
        *("DELETE FROM audit WHERE sequence = 5", "DELETE FROM audit"),
    ],
)
def test_database_refuses_to_change_rows(filled: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match="never changed"):
        filled.run_sync(lambda session: session.execute(text(statement)))
    assert filled.read_sync(verify) is None


def test_sqlite_refuses_to_replace_rows(database: Database) -> None:
    database.run_sync(fill)
    with pytest.raises(DBAPIError, match="never changed"):
        database.run_sync(
            lambda session: session.execute(text("REPLACE INTO audit SELECT * FROM audit WHERE sequence = 2"))
        )


@pytest.mark.parametrize(
    ("statements", "sequence", "reason"),
    [
        (["UPDATE audit SET target = 'x' WHERE sequence = 3"], 3, "was changed"),
        (["UPDATE audit SET detail = ' ' WHERE sequence = 1"], 1, "was changed"),
        (["UPDATE audit SET operation_id = '' WHERE sequence = 4"], 4, "was changed"),
        (["DELETE FROM audit WHERE sequence = 2"], 2, "is missing"),
        (["DELETE FROM audit WHERE sequence = 1"], 1, "is missing"),
        (["DELETE FROM audit WHERE sequence >= 4"], 4, "cut off"),
        (["DELETE FROM audit"], 1, "cut off"),
        (["DELETE FROM audit_head"], 0, "head"),
        (["UPDATE audit_head SET sequence = 3"], 5, "head"),
        (["DELETE FROM audit WHERE sequence = 5", "UPDATE audit_head SET sequence = 4"], 4, "head"),
        (
            [
                "UPDATE audit SET sequence = 99 WHERE sequence = 2",
                "UPDATE audit SET sequence = 2 WHERE sequence = 3",
                "UPDATE audit SET sequence = 3 WHERE sequence = 99",
            ],
            2,
            "does not follow",
        ),
        (["UPDATE audit SET hash = previous WHERE sequence = 3"], 3, "was changed"),
    ],
)
def test_verify_names_the_first_row_that_does_not_hold(
    filled: Database, statements: list[str], sequence: int, reason: str
) -> None:
    broken = tamper(filled, *statements)
    assert broken is not None
    assert broken.sequence == sequence
    assert reason in broken.reason


async def test_concurrent_writers_leave_no_gap(any_database: Database) -> None:
    numbers = await asyncio.gather(
        *(record_now(any_database, ANNA, "ui:test:act", str(number), Result.DENIED) for number in range(60))
    )
    assert sorted(numbers) == list(range(1, 61))
    assert await any_database.read(verify) is None


async def test_row_of_a_transaction_that_fails_was_never_there(any_database: Database) -> None:
    def fail(session: Session) -> None:
        record(session, ANNA, "ui:test:act", "x", Result.DONE)
        raise LookupError

    with pytest.raises(LookupError):
        await any_database.run(fail)
    assert await record_now(any_database, ANNA, "ui:test:act", "y", Result.DONE) == 1
    assert await any_database.read(verify) is None


async def test_nothing_is_too_strange_to_be_recorded(any_database: Database) -> None:
    hostile = "\0\ud800\u202e<img onerror=x>\r\n" + "😀" * 5000
    actor = Actor("anonymous", hostile, hostile, None, hostile, hostile)
    await record_now(
        any_database,
        actor,
        hostile,
        hostile,
        Result.DENIED,
        before={hostile: hostile, "password": "canary-secret"},
        after=object(),
        detail=hostile,
        operation_id=hostile,
    )
    assert await any_database.read(verify) is None
    row = await any_database.read(lambda session: session.scalars(select(AuditRow)).one())
    assert "canary" not in (row.before or "")
