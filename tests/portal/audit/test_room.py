"""The audit room as people use it: search, pages, export, verification; over HTTP and on the command line."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from portal.actor import Actor, Role
from portal.audit import Result, record
from portal.audit.service import EXPORT_ROWS
from tests.portal.database import opened
from tests.services.portal import Browser, Portal

pytestmark = pytest.mark.slow

HOSTILE = '=HYPERLINK("http://evil.example")\r\n\u202e<img src=x onerror=alert(1)>\x1b[31m'
ROWS = EXPORT_ROWS + 30


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    running = Portal(tmp_path_factory.mktemp("portal"))
    running.run("portal", "migrate")
    with opened(f"sqlite:///{running.state_dir / 'portal.sqlite3'}") as database:

        def fill(session: Any) -> None:
            for number in range(ROWS):
                actor = Actor("user", f"u{number % 3}", f"user-{number % 3}", Role.OPERATOR, "127.0.0.1", f"r{number}")
                record(session, actor, "ui:containers:restart", f"box-{number % 7}", Result.DONE, after={"n": number})
            record(session, actor, "ui:containers:stop", "100%_box", Result.DENIED, detail="NOT permitted")
            record(session, actor, "api:tokens:create", HOSTILE, Result.FAILED, before={"password": "canary-secret"})

        database.run_sync(fill)
    with running:
        yield running


@pytest.fixture(scope="module")
def anna(portal: Portal) -> Browser:
    return portal.set_up()


def entries(browser: Browser, **parameters: Any) -> list[dict[str, Any]]:
    answer = browser.get("/api/audit", params=parameters)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["entries"]
    return found


def test_pages_lead_from_the_newest_to_the_first_without_gap(anna: Browser) -> None:
    seen: list[int] = []
    below = None
    while True:
        page = anna.get("/api/audit", params={"limit": 200} | ({"below": below} if below else {})).json()
        seen += [entry["sequence"] for entry in page["entries"]]
        if (below := page["below"]) is None:
            break
    assert seen == list(range(max(seen), 0, -1))
    assert len(seen) >= ROWS


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"actor": "USER-0", "limit": 1}, "box-3"),
        ({"action": "containers:stop"}, "100%_box"),
        ({"target": "100%"}, "100%_box"),
        ({"target": "%_b"}, "100%_box"),
        ({"result": "denied", "text": "not PERMITTED"}, "100%_box"),
        ({"request_id": "r4"}, "box-4"),
    ],
)
def test_search_finds_what_fits_and_takes_no_wildcards(
    anna: Browser, parameters: dict[str, str], expected: str
) -> None:
    found = entries(anna, **parameters)
    assert {entry["target"] for entry in found} == {expected}


def test_search_by_time(anna: Browser) -> None:
    now = datetime.now(UTC)
    assert entries(anna, since=(now + timedelta(hours=1)).isoformat()) == []
    assert entries(anna, until=(now - timedelta(hours=1)).isoformat()) == []
    assert len(entries(anna, since=(now - timedelta(hours=1)).isoformat(), limit=5)) == 5


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=501", "limit=x", "below=0", "below=99999999999999999999999", "result=maybe"),
        *("since=yesterday", "since=2026-11-22T00:00:00", "nonsense=1", "text=" + "x" * 201),
        *("since=0001-01-01T00:00:00%2B23:59", "until=9999-12-31T23:59:59.999999-23:59"),  # not in the calendar in UTC
    ],
)
def test_search_that_means_nothing_is_refused(anna: Browser, query: str) -> None:
    assert anna.get(f"/api/audit?{query}").status_code == 422
    if not query.startswith(("limit", "below")):
        assert anna.get(f"/api/audit/export?{query}").status_code == 422


def test_hostile_text_comes_back_as_it_was_and_secrets_never(anna: Browser) -> None:
    (entry,) = entries(anna, action="api:tokens:create")
    assert entry["target"] == HOSTILE
    assert entry["before"] == {"password": "[redacted]"}


def test_export_is_a_download_of_every_row_and_ends_with_itself(anna: Browser) -> None:
    answer = anna.get("/api/audit/export", params={"form": "jsonl"})
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-1]["action"] == "ui:audit:export"
    assert answer.headers["content-disposition"] == 'attachment; filename="homeport-audit.jsonl"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_export_for_spreadsheets_has_no_formula(anna: Browser) -> None:
    answer = anna.get("/api/audit/export", params={"form": "csv", "action": "tokens:create"})
    assert answer.headers["content-type"].startswith("text/csv")
    (row,) = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert row["target"] == "'" + HOSTILE
    assert row["actor_name"] == "user-1"


def test_verification_says_how_many_rows_hold(anna: Browser) -> None:
    report = anna.get("/api/audit/verification").json()
    assert report["rows"] >= ROWS
    assert (report["broken_at"], report["reason"]) == (None, None)


@pytest.mark.parametrize("path", ["/api/audit", "/api/audit/export", "/api/audit/verification"])
def test_room_needs_a_login(portal: Portal, path: str) -> None:
    assert portal.browser().get(path).status_code == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_changes_a_row(anna: Browser, method: str) -> None:
    assert anna.request(method, "/api/audit", content=b"{}").status_code == 405


# -- on the command line ----------------------------------------------------------------------------------------------


def test_list_shows_a_table_that_no_text_can_break(portal: Portal) -> None:
    shown = portal.run("audit", "list", "--action", "tokens:create").stdout
    head, row = shown.splitlines()
    assert head.split() == ["NUMBER", "AT", "ACTOR", "FROM", "ACTION", "TARGET", "RESULT", "DETAIL"]
    assert "\\u202e" in row
    assert "\x1b" not in row
    assert portal.run("audit", "list", "--target", "nowhere").stdout == "Nothing fits.\n"


def test_list_as_json_is_what_the_api_says(portal: Portal) -> None:
    page = json.loads(portal.run("audit", "list", "--json", "--limit", "2", "--since", "2026-01-01").stdout)
    assert len(page["entries"]) == 2
    assert page["below"] == page["entries"][-1]["sequence"]


def test_export_on_the_command_line_is_recorded_as_the_local_administrators(portal: Portal) -> None:
    last = portal.run("audit", "export", "--result", "done").stdout.splitlines()[-1]
    assert json.loads(last)["action"] == "cli:audit:export"
    assert json.loads(last)["source"] == "admin.sock"


def test_commands_say_when_no_portal_answers(tmp_path: Path) -> None:
    ended = Portal(tmp_path).run("audit", "list", check=False)
    assert ended.returncode == 1
    assert "no portal answers at" in ended.stderr
    url = ("--url", "http://portal.example.com")
    ended = Portal(tmp_path).run("audit", "list", *url, check=False, environment={"HOMEPORT_TOKEN": "t"})
    assert "https://" in ended.stderr


def test_verify_reads_the_database_itself_and_names_the_broken_row(tmp_path: Path) -> None:
    portal = Portal(tmp_path)
    portal.run("portal", "migrate")
    path = portal.state_dir / "portal.sqlite3"
    actor = Actor("local", "0", "uid 0", Role.ADMIN, "admin.sock", "r")
    with opened(f"sqlite:///{path}") as database:
        database.run_sync(lambda session: [record(session, actor, "cli:x:y", str(n), Result.DONE) for n in range(3)])
    assert portal.run("audit", "verify").stdout == "All 3 rows are as they were written.\n"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER audit_no_update")
        connection.execute("UPDATE audit SET target = 'x' WHERE sequence = 2")
        connection.commit()
    ended = portal.run("audit", "verify", check=False)
    assert ended.returncode == 1
    assert "row 2" in ended.stderr
    assert json.loads(portal.run("audit", "verify", "--json", check=False).stdout)["broken_at"] == 2
