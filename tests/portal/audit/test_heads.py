"""Heads that were put aside show what a chain alone cannot: that its newest rows were cut off."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from portal.actor import Actor
from portal.audit import Result, record
from portal.audit.chain import GENESIS
from tests.portal.conftest import Ended
from tests.portal.database import opened

Audit = Callable[..., Ended]


@pytest.fixture
def path(database_url: str) -> Path:
    return Path(database_url.removeprefix("sqlite:///"))


@pytest.fixture
def audit(path: Path, run_cli: Callable[..., Ended]) -> Audit:
    state_dir = path.parent / "state"
    state_dir.mkdir()
    environment = {
        "HOMEPORT_PORTAL_STATE_DIR": str(state_dir),
        "HOMEPORT_PORTAL_DATABASE_URL": f"sqlite:///{path}",
    }
    return lambda *arguments: run_cli("audit", *arguments, environment=environment)


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    directory = tmp_path / "heads"
    directory.mkdir()
    return directory


def _do(path: Path, *names: str) -> None:
    with opened(f"sqlite:///{path}") as database:
        for name in names:
            database.run_sync(
                lambda session, name=name: record(session, Actor.system("t"), "ui:x:y", name, Result.DONE)  # type: ignore[misc]
            )


def _cut_off(path: Path, after: int) -> None:
    """As somebody with the file does it: the newest rows and the head, so that what is left holds."""
    with closing(sqlite3.connect(path)) as database, database:
        triggers = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        for name in triggers:
            database.execute(f"DROP TRIGGER {name}")
        database.execute("DELETE FROM audit WHERE sequence > ?", (after,))
        database.execute(
            "UPDATE audit_head SET sequence = ?, hash = (SELECT hash FROM audit WHERE sequence = ?)", (after, after)
        )


def test_head_is_written_whole_and_verifies(path: Path, audit: Audit, heads: Path) -> None:
    _do(path, "one", "two")
    assert audit("head", "--output", str(heads / "20261122T030000Z.json")).code == 0
    document = json.loads((heads / "20261122T030000Z.json").read_bytes())
    assert list(document) == ["schema_version", "sequence", "hash", "at"]
    assert (document["schema_version"], document["sequence"], len(document["hash"])) == (1, 2, 64)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["at"])
    printed = audit("head").document
    assert printed | {"at": ""} == document | {"at": ""}
    _do(path, "three")
    ended = audit("verify", "--heads", str(heads))
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "All 1 heads are in the chain.")
    assert audit("verify", "--heads", str(heads), "--json").document == {
        "rows": 3,
        "broken_at": None,
        "reason": None,
        "heads": 1,
        "missing_head": None,
    }


def test_backup_reads_the_head_that_the_portal_writes(path: Path, audit: Audit, heads: Path) -> None:
    from backup.vault.audit_heads import read

    _do(path, "one")
    audit("head", "--output", str(heads / "head.json"))
    assert read(heads / "head.json").sequence == 1


def test_head_of_an_empty_chain_is_number_zero(path: Path, audit: Audit, heads: Path) -> None:
    document = audit("head").document
    assert (document["sequence"], document["hash"]) == (0, GENESIS)
    (heads / "a.json").write_text(json.dumps(document | {"signature": "ed25519 k AAAA"}))
    _do(path, "one")
    assert audit("verify", "--heads", str(heads)).code == 0


@pytest.mark.parametrize("how", ["cut off", "cut off and written on"])
def test_rows_cut_off_at_the_end_are_found_by_the_first_head_that_is_missing(
    path: Path, audit: Audit, heads: Path, how: str
) -> None:
    for number in range(1, 5):
        _do(path, f"act {number}")
        audit("head", "--output", str(heads / f"2026112{number}T030000Z.json"))
    _cut_off(path, 2)
    if how != "cut off":
        _do(path, "another 3", "another 4", "another 5")
    assert audit("verify").code == 0, "the chain alone does not show it"
    ended = audit("verify", "--heads", str(heads))
    assert ended.code == 1
    assert "20261123T030000Z.json is not in the chain: row 3" in ended.error
    assert audit("verify", "--heads", str(heads), "--json").document["missing_head"] == "20261123T030000Z.json"


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"schema_version":2}', '{"schema_version":1,"sequence":-1,"hash":"00","at":"x"}'],
)
def test_file_that_is_no_head_is_named(path: Path, audit: Audit, heads: Path, text: str) -> None:
    (heads / "a.json").write_text(text)
    ended = audit("verify", "--heads", str(heads))
    assert ended.code == 1
    assert "a.json is no head" in ended.error


def test_directory_without_heads_proves_nothing(path: Path, audit: Audit, heads: Path) -> None:
    assert "no head of the chain" in audit("verify", "--heads", str(heads)).error
    shutil.rmtree(heads)
    assert audit("verify", "--heads", str(heads)).code == 1


def test_head_that_cannot_be_written_says_why(path: Path, audit: Audit, heads: Path) -> None:
    assert "No such file or directory" in audit("head", "--output", str(heads / "gone" / "head.json")).error
