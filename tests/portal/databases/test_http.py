"""The room as its users meet it: a real portal, a real server with the stack's accounts; pages by HTTP, commands."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from portal.databases.dumps import loader_of
from portal.databases.servers import Servers
from portal.databases.sql import fetch
from tests.portal.conftest import Ended
from tests.services.mariadb import MariaDB
from tests.services.portal import Browser, Portal

Json = dict[str, Any]


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDB) -> Iterator[Portal]:
    """One for the module: each test has databases of its own."""
    directory = tmp_path_factory.mktemp("databases")
    with Portal(directory, {"DATABASES_FILE": str(mariadb.servers_file(directory))}) as running:
        yield running


@pytest.fixture(scope="module")
def anna(portal: Portal) -> Browser:
    return portal.set_up()


def _get(browser: Browser, path: str, **parameters: Any) -> Any:
    answer = browser.get(f"/api/databases{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _ended(browser: Browser, answer: Any) -> Json:
    assert answer.status_code == 202, answer.text
    operation = answer.json().get("operation") or answer.json()
    give_up = time.monotonic() + 60
    while operation["state"] == "running":
        assert time.monotonic() < give_up
        time.sleep(0.05)
        operation = browser.get(f"/api/operations/{operation['id']}").json()
    return dict(operation)


def _upload(browser: Browser, content: bytes, piece: int = 1000) -> str:
    upload = browser.post("/api/databases/uploads", json={"name": "dump.sql", "bytes": len(content)}).json()
    at = 0
    while at < len(content):
        data = base64.b64encode(content[at : at + piece]).decode()
        answer = browser.put(f"/api/databases/uploads/{upload['id']}/{at}", json={"data": data})
        assert answer.status_code == 200, answer.text
        at = answer.json()["received"]
    return str(upload["id"])


# -- looking ----------------------------------------------------------------------------------------------------------


def test_servers_databases_tables_and_rows_are_shown(
    portal: Portal, anna: Browser, new_database: Callable[..., str]
) -> None:
    name = new_database(
        "CREATE TABLE posts (id INT PRIMARY KEY, title TEXT)",
        "INSERT INTO posts SELECT seq, CONCAT('<img src=x>', seq) FROM seq_1_to_120",
    )
    (server,) = _get(anna, "")["servers"]
    assert (server["name"], server["state"], server["layer"]) == ("blog", "connected", None)
    assert "password" not in json.dumps(server)
    database = _get(anna, f"/blog/{name}")
    assert [each["name"] for each in database["tables"]] == ["posts"]
    assert database["database"]["owner"] is None
    table = _get(anna, f"/blog/{name}/posts")
    assert table["primary_key"] == ["id"]
    wanted = {"filters": json.dumps([{"column": "title", "is": "contains", "value": "7"}]), "sort": "id", "limit": 5}
    page = _get(anna, f"/blog/{name}/posts/rows", **wanted)
    assert [row[0] for row in page["rows"]] == [7, 17, 27, 37, 47]
    page = _get(anna, f"/blog/{name}/posts/rows", after=page["after"], **wanted)
    assert page["rows"][0] == [57, "<img src=x>57"]
    read = [entry for entry in portal.audit(limit=20) if entry["target"] == f"blog/{name}/posts"]
    assert [(entry["action"], entry["detail"]) for entry in read] == [
        ("ui:databases:browse", "5 rows, filtered by title")
    ] * 2
    checks = _get(anna, "/blog/connection")["checks"]
    assert {each["purpose"]: each["layer"] for each in checks} == {"admin": None, "console": None, "write": None}


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/none", "no-such-database-server"),
        ("/blog/none", "no-such-database"),
        ("/blog/mysql", "no-such-database"),
        ("/blog/mysql/user/rows", "no-such-database"),
        ("/dumps/01JZZZZZZZZZZZZZZZZZZZZZZZ", "no-such-dump"),
    ],
)
def test_what_is_not_there_is_said_to_be(anna: Browser, path: str, problem: str) -> None:
    answer = anna.get(f"/api/databases{path}")
    assert answer.json()["type"] == f"/problems/{problem}"


@pytest.mark.parametrize("filters", ["x", "{}", '[{"column": "a"}]', '[{"column": "a", "is": "OR", "value": "1"}]'])
def test_a_filter_that_is_none_is_refused(anna: Browser, new_database: Callable[..., str], filters: str) -> None:
    name = new_database("CREATE TABLE t (a INT)")
    answer = anna.get(f"/api/databases/blog/{name}/t/rows", params={"filters": filters})
    assert answer.status_code == 422, answer.text


# -- acting -----------------------------------------------------------------------------------------------------------


def test_a_database_is_created_granted_rotated_and_dropped(
    portal: Portal, anna: Browser, mariadb: MariaDB, new_name: Callable[[], str]
) -> None:
    name = new_name()
    answer = anna.post("/api/databases/blog/databases", json={"database": name}, headers={"Idempotency-Key": name})
    made = answer.json()
    assert _ended(anna, answer)["state"] == "done"
    again = anna.post("/api/databases/blog/databases", json={"database": name}, headers={"Idempotency-Key": name})
    assert again.json()["type"] == "/problems/idempotent-answer-gone"
    exists = anna.post("/api/databases/blog/databases", json={"database": name})
    assert exists.json()["type"] == "/problems/database-exists"
    account = f"{name}@%"
    listed = {each["name"]: each for each in _get(anna, "/blog/accounts")["accounts"]}
    assert listed[account]["grants"][0]["matches"] == [name]
    rotated = anna.post(f"/api/databases/blog/accounts/{account.replace('%', '%25')}/rotate", json={})
    assert _ended(anna, rotated)["state"] == "done"
    assert rotated.json()["password"] not in ("", None, made["password"])
    granted = anna.put(
        f"/api/databases/blog/accounts/{account.replace('%', '%25')}/grants",
        json={"database": name, "privileges": ["SELECT"]},
    )
    assert _ended(anna, granted)["result"]["after"] == ["SELECT"]
    mariadb.execute(f"CREATE TABLE `{name}`.t (a INT PRIMARY KEY)", f"INSERT INTO `{name}`.t VALUES (1), (2)")
    path = f"/api/databases/blog/{name}"
    assert anna.delete(path, params={"typed_name": name[:-1]}).json()["type"] == "/problems/typed-name-required"
    dropped = _ended(anna, anna.delete(path, params={"typed_name": name, "account": account}))
    assert dropped["state"] == "done", dropped
    assert anna.get(path).status_code == 404
    assert account not in {each["name"] for each in _get(anna, "/blog/accounts")["accounts"]}
    kept = next(each for each in _get(anna, "/dumps")["dumps"] if each["id"] == dropped["result"]["dump"])
    assert (kept["database"], kept["why"], kept["tables"], kept["rows"]) == (name, "drop", 1, 2)
    file = anna.get(f"/api/databases/dumps/{kept['id']}")
    assert file.headers["content-disposition"].startswith("attachment; filename=")
    assert b"CREATE TABLE `t`" in zstandard.ZstdDecompressor().decompressobj().decompress(file.content)
    # and back: the dump that was kept gives the database again
    assert _ended(anna, anna.post("/api/databases/blog/databases", json={"database": name}))["state"] == "done"
    loaded = _ended(anna, anna.post(f"{path}/load", json={"dump": kept["id"]}))
    assert loaded["state"] == "done", loaded
    assert len(_get(anna, f"/blog/{name}/t/rows")["rows"]) == 2
    secrets = (made["password"], rotated.json()["password"], mariadb.portal_passwords["admin"])
    said = portal.log.read_text() + json.dumps(portal.audit(limit=200)) + json.dumps(_get_operations(anna))
    assert not [secret for secret in secrets if secret in said]


def _get_operations(browser: Browser) -> Any:
    return browser.get("/api/operations", params={"limit": 50}).json()


def test_loading_over_tables_is_confirmed_and_dumps_them_first(
    anna: Browser, mariadb: MariaDB, new_database: Callable[..., str]
) -> None:
    name = new_database("CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)")
    upload = _upload(anna, b"DROP TABLE t;\nCREATE TABLE t (b TEXT);\nINSERT INTO t VALUES ('" + b"x" * 3000 + b"');\n")
    path = f"/api/databases/blog/{name}/load"
    assert anna.post(path, json={"upload": upload}).json()["type"] == "/problems/typed-name-required"
    done = _ended(anna, anna.post(path, json={"upload": upload, "typed_name": name}))
    assert done["state"] == "done", done
    (row,) = _get(anna, f"/blog/{name}/t/rows")["rows"]
    assert row[0] == {"kind": "text", "shown": "x" * 500, "length": 3000}
    former = next(each for each in _get(anna, "/dumps")["dumps"] if each["database"] == name)
    assert (former["why"], former["rows"]) == ("load", 1)
    assert anna.post(path, json={"upload": upload, "typed_name": name}).json()["type"] == "/problems/no-such-upload"
    # one that fails says what was there
    upload = _upload(anna, b"DROP TABLE t;\nINSERT INTO nowhere VALUES (1);\n")
    failed = _ended(anna, anna.post(path, json={"upload": upload, "typed_name": name}))
    assert failed["state"] == "failed"
    assert failed["error"]["type"] == "/problems/load-failed"
    back = _ended(anna, anna.post(path, json={"dump": failed["result"]["dump"], "typed_name": name}))
    assert back["state"] == "done"
    assert len(_get(anna, f"/blog/{name}/t/rows")["rows"]) == 1


def test_an_upload_keeps_its_order_and_belongs_to_who_sends_it(portal: Portal, anna: Browser) -> None:
    upload = anna.post("/api/databases/uploads", json={"name": "a.sql", "bytes": 10}).json()
    path = f"/api/databases/uploads/{upload['id']}"
    piece = {"data": base64.b64encode(b"12345").decode()}
    assert anna.put(f"{path}/5", json=piece).json()["expected"] == 0
    assert anna.put(f"{path}/0", json=piece).json()["received"] == 5
    assert anna.put(f"{path}/0", json=piece).json()["received"] == 5  # sent again, since its answer was lost
    assert anna.put(f"{path}/8", json=piece).json()["expected"] == 5
    assert anna.put(f"{path}/5", json={"data": "!!!!"}).status_code == 422
    assert anna.put(f"{path}/5", json={"data": base64.b64encode(b"123456").decode()}).status_code == 409
    load = anna.post("/api/databases/blog/wp_none/load", json={"upload": upload["id"]})
    assert load.json()["type"] == "/problems/upload-out-of-order"
    listed = portal.run("db", "dumps", check=False)  # another actor, who sees dumps and not this upload
    assert listed.returncode == 0
    assert anna.delete(path).status_code == 204
    assert anna.put(f"{path}/5", json=piece).json()["type"] == "/problems/no-such-upload"
    huge = anna.post("/api/databases/uploads", json={"name": "a.sql", "bytes": 1024**4})
    assert (huge.status_code, huge.json()["type"]) == (507, "/problems/not-enough-room")


@pytest.mark.parametrize("engine", ["InnoDB", "MyISAM"])
def test_a_dump_is_downloaded_whole(anna: Browser, new_database: Callable[..., str], engine: str) -> None:
    name = new_database(f"CREATE TABLE t (a INT) ENGINE={engine}", "INSERT INTO t SELECT seq FROM seq_1_to_20000")
    answer = anna.get(f"/api/databases/blog/{name}/dump", params={"compression": "none"})
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text.rstrip().endswith("-- Dump completed")
    assert answer.text.count("\n(") == 20_000


def test_a_dump_that_cannot_be_made_whole_is_cut_off(anna: Browser, new_database: Callable[..., str]) -> None:
    import httpx2

    name = new_database(
        "CREATE TABLE t (a TEXT)", "INSERT INTO t SELECT REPEAT('x', 500) FROM seq_1_to_9000",
        "CREATE TABLE u (a INT)", "CREATE VIEW v AS SELECT a FROM u", "DROP TABLE u",
    )  # fmt: skip
    with pytest.raises(httpx2.HTTPError):
        anna.get(f"/api/databases/blog/{name}/dump", params={"compression": "none"})


def test_processes_are_seen_and_the_portals_own_are_not_ended(anna: Browser) -> None:
    found = _get(anna, "/blog/processes")
    assert found["hidden"] >= 1
    answer = anna.post("/api/databases/blog/processes/99999999/kill", json={})
    assert answer.json()["type"] == "/problems/no-such-process"
    assert _get(anna, "/blog/slow")["source"] == "unknown"


def test_probes_measure_the_server(anna: Browser) -> None:
    found = json.dumps(anna.get("/api/dashboard").json())
    assert "databases:servers" in found
    assert "databases:blog-connections" in found


# -- commands ---------------------------------------------------------------------------------------------------------


def test_commands_do_it_all(
    portal: Portal,
    anna: Browser,
    run_cli: Callable[..., Ended],
    new_name: Callable[[], str],
    tmp_path: Path,
) -> None:
    def run(*arguments: str, code: int = 0) -> Ended:
        ended = run_cli("db", *arguments, environment=environment)
        assert ended.code == code, ended.err
        return ended

    environment = {name: value for name, value in portal.environment.items() if name.startswith("HOMEPORT_")}
    name = new_name()
    where = f"blog/{name}"
    assert "connected" in run("servers", "--check").out
    created = json.loads(run("create", where, "--json").out)
    assert created["operation"]["state"] == "done"
    dump = tmp_path / "in.sql"
    dump.write_text("CREATE TABLE t (a INT PRIMARY KEY, b TEXT);\nINSERT INTO t VALUES (1, 'one'), (2, NULL);\n")
    run("load", where, str(dump))
    assert "NULL" in run("rows", where, "t", "--where", "a:>:1").out
    assert "varchar" not in run("show", where, "t").out
    assert name in run("list", "blog").out
    assert f"{name}@%" in run("accounts", "blog").out
    assert "password" in run("rotate", "blog", f"{name}@%").out
    run("grant", where, f"{name}@%", "select", "show view")
    out = tmp_path / "out.sql"
    run("dump", where, "--to", str(out), "--compression", "none")
    assert "CREATE TABLE `t`" in out.read_text()
    assert run("dump", where, "--to", str(out), code=1).code == 1
    run("dump", where)
    dumps = json.loads(run("dumps", "--json").out)["dumps"]
    mine = next(each for each in dumps if each["database"] == name)
    assert (mine["why"], mine["rows"]) == ("asked", 2)
    refused = run("load", where, "--dump", mine["id"], code=1)
    assert (refused.code, "Typed name" in refused.err) == (1, True)
    dropped = run("drop", where, code=1)  # needs a terminal, for the name and the factor
    assert "--confirm" in dropped.err
    assert run("processes", "blog").code == 0
    assert run("slow", "blog", code=1).code == 1
    assert run("show", "blog", code=2).code == 2


# -- hostile words ----------------------------------------------------------------------------------------------------

HOSTILE = [
    "..%2f..",
    "%00",
    "a%2Fb",
    "'",
    "`",
    "a%25s",
    "%F0%9F%92%A9",
    "%E2%80%AE",
    "-",
    "*",
    "x" * 65,
    "%",
    "\\",
    "%ff",
    "1e9",
]


@pytest.mark.parametrize("word", HOSTILE)
def test_no_word_in_a_path_is_a_defect(anna: Browser, new_database: Callable[..., str], word: str) -> None:
    name = new_database("CREATE TABLE t (a INT PRIMARY KEY, b TEXT)")
    gets = (f"/{word}", f"/blog/{word}", f"/blog/{name}/{word}", f"/blog/{name}/{word}/rows", f"/dumps/{word}")
    for path in (*gets, f"/{word}/processes", f"/blog/{word}/dump"):
        answer = anna.get(f"/api/databases{path}")
        assert answer.status_code in (307, 404, 405, 409, 422), (path, answer.text)
    parameters = {"sort": word, "after": word, "filters": json.dumps([{"column": word, "is": "=", "value": word}])}
    for parameter, value in parameters.items():
        answer = anna.get(f"/api/databases/blog/{name}/t/rows", params={parameter: value})
        assert answer.status_code == 422, (parameter, answer.text)
    filters = json.dumps([{"column": "b", "is": "=", "value": word}, {"column": "b", "is": "contains", "value": word}])
    assert _get(anna, f"/blog/{name}/t/rows", filters=filters)["rows"] == []
    for path, body in (
        ("/blog/databases", {"database": word}),
        ("/blog/databases", {"database": name + "x", "account": word}),
        (f"/blog/{name}/load", {"dump": word}),
        (f"/blog/{name}/load", {"upload": word}),
        (f"/blog/accounts/{word}/rotate", {}),
        ("/blog/processes/99999999/kill", {"what": word}),
    ):
        answer = anna.post(f"/api/databases{path}", json=body)
        assert answer.status_code in (404, 405, 409, 422), (path, body, answer.text)
    grants = anna.put(f"/api/databases/blog/accounts/{word}/grants", json={"database": word, "privileges": ["SELECT"]})
    assert grants.status_code in (404, 405, 409, 422), grants.text


@pytest.mark.slow  # a portal of its own, which is killed
def test_a_load_that_a_kill_cut_off_is_told_and_its_account_is_locked(
    tmp_path: Path, mariadb: MariaDB, new_database: Callable[..., str], servers: Servers
) -> None:
    name = new_database("CREATE TABLE t (a INT)", "INSERT INTO t VALUES (7)")
    server, account = servers["blog"], loader_of(name).user

    def found(statement: str, *values: Any) -> list[Any]:
        with server.connect("admin") as connection:
            return fetch(connection, statement, values)

    def is_at_work() -> list[Any]:
        return found("SELECT 1 FROM information_schema.processlist WHERE user = %s AND info LIKE '%%SLEEP%%'", account)

    with Portal(tmp_path, {"DATABASES_FILE": str(mariadb.servers_file(tmp_path))}) as portal:
        anna = portal.set_up()
        upload = _upload(anna, b"DROP TABLE t;\nCREATE TABLE u (a INT);\nINSERT INTO u SELECT SLEEP(600);\n")
        wanted = {"upload": upload, "typed_name": name}
        operation = anna.post(f"/api/databases/blog/{name}/load", json=wanted).json()
        _until(is_at_work)
        portal.kill()
        portal.start()
        _until(lambda: not is_at_work())
        ended = _until(lambda: _settled(anna, operation))
        assert (ended["state"], ended["outcome"]) == ("interrupted", "unknown")
        locked = "SELECT JSON_VALUE(priv, '$.account_locked') FROM mysql.global_priv WHERE user = %s"
        ((is_locked,),) = found(locked, account)
        assert is_locked in ("1", "true")
        # and the dump that was made first brings back what there was
        kept = next(each for each in _get(anna, "/dumps")["dumps"] if each["database"] == name)
        assert kept["id"] in ended["outcome_detail"]
        back = anna.post(f"/api/databases/blog/{name}/load", json={"dump": kept["id"], "typed_name": name})
        assert _ended(anna, back)["state"] == "done"
        assert found(f"SELECT a FROM `{name}`.t") == [(7,)]
        assert not found("SELECT 1 FROM mysql.global_priv WHERE user = %s", account)


def _settled(browser: Browser, operation: Json) -> Json | None:
    now: Json = browser.get(f"/api/operations/{operation['id']}").json()
    return now if now["state"] != "running" and now["outcome"] != "checking" else None


def _until(is_true: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + 60
    while not (found := is_true()):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return found
