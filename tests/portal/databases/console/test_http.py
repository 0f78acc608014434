"""The console as its users meet it: a real portal, a real server; pages by HTTP, commands in a shell."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.portal.databases.console.conftest import Rows
from tests.services.mariadb import MariaDB
from tests.services.portal import PASSWORD, Browser, Portal

Json = dict[str, Any]
POSTS = (
    "CREATE TABLE posts (id BIGINT PRIMARY KEY, title TEXT, hits INT DEFAULT 0) ENGINE=InnoDB",
    "INSERT INTO posts (id, title) SELECT seq, CONCAT('title ', seq) FROM mysql.seq_1_to_20",
)
LONG = "SELECT COUNT(*) FROM posts a, posts b, posts c, posts d, posts e, posts f, posts g, posts h, posts i, posts j"
MIB = 1024**2
# An export's own memory is a part of 64 KiB and the driver's; a million rows are 40 MiB of text.
MAX_GROWTH = 24 * MIB


@pytest.fixture(scope="module")
def portal(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    directory = tmp_path_factory.mktemp("portal")
    with Portal(directory, {"DATABASES_FILE": str(mariadb.servers_file(directory))}) as running:
        yield running


@pytest.fixture(scope="module")
def anna(portal: Portal) -> Browser:
    return portal.set_up()


@pytest.fixture
def posts(new_database: Callable[..., str]) -> str:
    return new_database(*POSTS)


def _query(database: str | None, statement: str, number: int = 1, **more: Any) -> Json:
    return {"id": f"q{number:019d}", "server": "blog", "database": database, "statement": statement, **more}


def _history(browser: Browser, limit: int) -> list[Json]:
    entries: list[Json] = browser.get("/api/console/history", params={"limit": limit}).json()["entries"]
    return entries


def _step_up(browser: Browser) -> None:
    answer = browser.post("/api/step-up", json={"password": PASSWORD})
    assert answer.status_code == 200, answer.text


def _ended(browser: Browser, operation: Json) -> Json:
    give_up = time.monotonic() + 30
    while operation["state"] == "running":
        assert time.monotonic() < give_up
        time.sleep(0.05)
        operation = browser.get(f"/api/operations/{operation['id']}").json()
    return operation


def test_console_says_what_is_on_and_answers(anna: Browser, posts: str) -> None:
    view = anna.get("/api/console").json()
    (server,) = view["servers"]
    assert (server["name"], server["console"]["is_on"], server["write"]["is_on"]) == ("blog", True, True)
    assert posts in server["databases"]
    assert view["limits"]["query_s"] == 10
    answer = anna.post("/api/console/query", json=_query(posts, "SELECT id, title FROM posts WHERE id < 3 ORDER BY id"))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [each["kind"] for each in found["columns"]] == ["integer", "text"]
    assert found["rows"] == [[1, "title 1"], [2, "title 2"]]
    words = anna.get(f"/api/console/words/blog/{posts}").json()
    assert words["tables"] == [{"name": "posts", "columns": ["id", "title", "hits"]}]
    (entry,) = anna.get("/api/console/history", params={"limit": 1}).json()["entries"]
    assert (entry["act"], entry["state"], entry["rows"]) == ("query", "done", 2)


@pytest.mark.parametrize(
    ("body", "status", "type_"),
    [
        ({"statement": "DROP TABLE posts"}, 422, "statement-refused"),
        ({"statement": "SELECT none FROM posts"}, 422, "statement-failed"),
        ({"server": "other"}, 404, "no-such-database-server"),
        ({"database": "wp_none"}, 404, "no-such-database"),
        ({"id": "short"}, 422, "invalid-request"),
        ({"statement": "x" * 70_000}, 422, "invalid-request"),
        ({"statement": "SELECT '\ud800'"}, 422, None),
    ],
)
def test_what_cannot_be_run_is_a_problem(anna: Browser, posts: str, body: Json, status: int, type_: str | None) -> None:
    text = json.dumps(_query(posts, "SELECT 1") | body)
    answer = anna.post("/api/console/query", content=text)
    assert answer.status_code == status, answer.text
    assert type_ is None or answer.json()["type"] == f"/problems/{type_}"


@pytest.mark.slow
def test_without_servers_nothing_is_connected(tmp_path: Path) -> None:
    with Portal(tmp_path) as portal:
        anna = portal.set_up()
        assert anna.get("/api/console").json()["servers"] == []
        answer = anna.post("/api/console/query", json=_query(None, "SELECT 1"))
        assert answer.json()["type"] == "/problems/databases-not-connected"


def test_a_query_is_killed_by_its_button_and_by_leaving(anna: Browser, portal: Portal, posts: str, rows: Rows) -> None:
    def at_work() -> list[tuple[Any, ...]]:
        query = "SELECT id FROM information_schema.processlist WHERE user = 'homeport_console' AND command = 'Query'"
        return rows(query)

    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(anna.post("/api/console/query", json=_query(posts, LONG))))
    asking.start()
    _until(at_work)
    other = portal.log_in("anna")
    killed = other.post(f"/api/console/query/{_query(posts, LONG)['id']}/kill", json={})
    assert killed.json() == {"was_running": True}
    asking.join()
    assert answers[0].json()["type"] == "/problems/query-killed"
    with pytest.raises(Exception, match="timed out"):
        other.post("/api/console/query", json=_query(posts, LONG, 2), timeout=0.5)
    _until(lambda: not at_work())
    _until(lambda: [each["state"] for each in _history(anna, 2)] == ["killed", "killed"])


def test_a_repeated_key_runs_nothing_twice_and_shows_no_rows_again(anna: Browser, posts: str) -> None:
    headers = {"Idempotency-Key": "k-1"}
    assert anna.post("/api/console/query", json=_query(posts, "SELECT 1"), headers=headers).status_code == 200
    again = anna.post("/api/console/query", json=_query(posts, "SELECT 1"), headers=headers)
    assert again.json()["type"] == "/problems/idempotent-answer-gone"
    export = anna.post("/api/console/export", json=_query(posts, "SELECT 1"), headers={"Idempotency-Key": "k-2"})
    assert export.text == "1\r\n1\r\n"
    again = anna.post("/api/console/export", json=_query(posts, "SELECT 1"), headers={"Idempotency-Key": "k-2"})
    assert again.json()["type"] == "/problems/idempotent-answer-gone"
    assert [each["act"] for each in _history(anna, 3)].count("export") == 1


def test_an_export_is_a_download_and_audited_as_one(anna: Browser, portal: Portal, posts: str) -> None:
    body = _query(posts, "SELECT id, title FROM posts ORDER BY id", form="csv")
    answer = anna.post("/api/console/export", json=body)
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.startswith("id,title\r\n1,title 1\r\n")
    rows = [(each["action"], each["result"]) for each in portal.audit(limit=2)]
    assert rows == [("ui:console:export", "done"), ("ui:console:export", "accepted")]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_million_rows_are_streamed_without_growth(anna: Browser, portal: Portal, posts: str, form: str) -> None:
    def resident() -> int:
        status = Path(f"/proc/{portal.daemon.pid}/status").read_text()
        return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    def stream(count: int) -> tuple[int, int]:
        statement = f"SELECT seq, CONCAT('title ', seq) AS title, NULL AS gone FROM seq_1_to_{count}"
        lines, highest = 0, 0
        with anna.stream(
            "POST", "/api/console/export", json=_query(posts, statement, form=form), timeout=300
        ) as answer:
            assert answer.status_code == 200
            for number, part in enumerate(answer.iter_bytes()):
                lines += part.count(b"\n")
                if number % 50 == 0:
                    highest = max(highest, resident())
        return lines, highest

    _, before = stream(20_000)
    lines, highest = stream(1_000_000)
    assert lines == 1_000_000 + (form == "csv")
    assert highest - before < MAX_GROWTH, f"{(highest - before) / MIB:.1f} MiB"


def test_writing_needs_a_fresh_factor_at_every_step(anna: Browser, portal: Portal, posts: str) -> None:
    body = {"server": "blog", "database": posts, "statement": "UPDATE posts SET hits = 7 WHERE id <= 3"}
    _step_up(anna)
    path = f"/api/console/writes/{anna.post('/api/console/writes', json=body).json()['id']}"
    transport = httpx2.HTTPTransport(uds=str(portal.state_dir / "admin.sock"))
    # The local administrator, who has confirmed nothing on the terminal.
    with httpx2.Client(transport=transport, base_url="http://localhost", timeout=30) as local:
        for where, document in (
            ("/api/console/writes", body),
            (f"{path}/apply", {"typed_name": "posts"}),
            (f"{path}/undo", {}),
        ):
            refused = local.post(where, json=document)
            assert (refused.status_code, refused.json()["type"]) == (403, "/problems/step-up-required")
        assert local.get(path).json()["state"] == "measured"


def test_a_write_is_measured_confirmed_applied_and_undone(
    anna: Browser, portal: Portal, posts: str, rows: Rows
) -> None:
    before = rows(f"SELECT * FROM `{posts}`.posts")
    body = {"server": "blog", "database": posts, "statement": "UPDATE posts SET hits = 7 WHERE id <= 3"}
    _step_up(anna)
    measured = anna.post("/api/console/writes", json=body)
    assert measured.status_code == 201, measured.text
    write = measured.json()
    assert (write["affected_rows"], write["state"], len(write["changes"])) == (3, "measured", 3)
    path = f"/api/console/writes/{write['id']}"
    refused = anna.post(f"{path}/apply", json={})
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/typed-name-required")
    applied = anna.post(f"{path}/apply", json={"typed_name": "posts", "reason": "because"})
    assert applied.status_code == 202, applied.text
    assert _ended(anna, applied.json())["result"] == {"write": write["id"], "rows": 3}
    assert rows(f"SELECT COUNT(*) FROM `{posts}`.posts WHERE hits = 7") == [(3,)]
    assert anna.get(path).json()["state"] == "applied"
    back = anna.post(f"{path}/undo", json={}).json()
    assert (back["kind"], back["undoes"]) == ("undo", write["id"])
    again = anna.post(f"/api/console/writes/{back['id']}/apply", json={"typed_name": "posts"})
    assert _ended(anna, again.json())["state"] == "done"
    assert rows(f"SELECT * FROM `{posts}`.posts") == before
    listed = anna.get("/api/console/writes", params={"limit": 2}).json()["writes"]
    assert [(each["kind"], each["changes"]) for each in listed] == [("undo", []), ("update", [])]
    assert listed[1]["undone_by"] == back["id"]
    (denied,) = [each for each in portal.audit(limit=50, target=write["id"]) if each["result"] == "denied"]
    assert (denied["action"], denied["detail"]) == ("ui:console:write", "typed-name-required")


@pytest.mark.slow
def test_a_portal_killed_in_a_write_says_what_is_true(
    tmp_path: Path, servers_file: Path, posts: str, rows: Rows
) -> None:
    """Wherever the write is at that moment."""
    with Portal(tmp_path, {"DATABASES_FILE": str(servers_file)}) as portal:
        anna = portal.set_up()
        _step_up(anna)
        body = {"server": "blog", "database": posts, "statement": "UPDATE posts SET hits = 7 WHERE id <= 3"}
        write = anna.post("/api/console/writes", json=body).json()
        begun = anna.post(f"/api/console/writes/{write['id']}/apply", json={"typed_name": "posts"}).json()
        portal.kill()
        portal.daemon.start()

        def outcome() -> str:
            found: Json = anna.get(f"/api/operations/{begun['id']}").json()
            return str(found["outcome"] if found["state"] == "interrupted" else found["state"])

        known = _until(lambda: (it := outcome()) not in ("None", "running", "checking") and it)
        state = anna.get(f"/api/console/writes/{write['id']}").json()["state"]
        count = rows(f"SELECT COUNT(*) FROM `{posts}`.posts WHERE hits = 7")[0][0]
        assert (known, state, count) in [("done", "applied", 3), ("not_done", "not-applied", 0)]


def test_commands_query_export_write_and_tell(anna: Browser, portal: Portal, posts: str, tmp_path: Path) -> None:
    asked = portal.run("db", "query", "blog", "SELECT id, NULL AS n FROM posts WHERE id < 3", "-d", posts)
    assert [line.split() for line in asked.stdout.splitlines()] == [["id", "n"], ["1", "NULL"], ["2", "NULL"]]
    document = portal.run("db", "query", "blog", "SELECT 1 AS one", "--json").stdout
    assert json.loads(document)["rows"] == [[1]]
    refused = portal.run("db", "query", "blog", "DROP TABLE posts", "-d", posts, check=False)
    assert refused.returncode == 1
    assert "not allowed" in refused.stderr
    file = tmp_path / "out.csv"
    portal.run("db", "export", "blog", "SELECT id FROM posts ORDER BY id LIMIT 2", "-d", posts, "--to", str(file))
    assert file.read_bytes() == b"id\r\n1\r\n2\r\n"
    again = portal.run("db", "export", "blog", "SELECT 1", "--to", str(file), check=False)
    assert (again.returncode, file.read_bytes()) == (1, b"id\r\n1\r\n2\r\n")
    other = tmp_path / "none.csv"
    failed = portal.run("db", "export", "blog", "SELECT none", "--to", str(other), check=False)
    assert (failed.returncode, other.exists()) == (1, False)
    history = portal.run("db", "history", "--json").stdout
    assert [each["state"] for each in json.loads(history)["entries"]] == ["failed", "done", "refused", "done", "done"]
    # a write wants a factor on a terminal, which a shell without one cannot give
    wanted = portal.run("db", "write", "blog", "DELETE FROM posts", "-d", posts, check=False)
    assert wanted.returncode == 1
    assert "fresh factor" in wanted.stderr
    assert "WRITE" in portal.run("db", "write").stdout


def test_no_password_is_ever_told(anna: Browser, portal: Portal, mariadb: MariaDB) -> None:
    passwords = mariadb.portal_passwords.values()
    answer = anna.post("/api/console/query", json=_query("mysql", "SELECT * FROM user"))
    told = answer.text + anna.get("/api/console").text + json.dumps(portal.audit(limit=50)) + portal.log.read_text()
    assert passwords
    assert not any(password in told for password in passwords)


def _until(is_true: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + 30
    while not (found := is_true()):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return found
