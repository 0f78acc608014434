"""The databases room as its users meet it: a real portal in front of a real MariaDB with the stack's accounts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql  # type: ignore[import-untyped]
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit, logged_in, set_up
from tests.browser.test_pages import faults, file_name, is_shown, screens
from tests.services.mariadb import MariaDB
from tests.services.portal import PASSWORD, Portal

__all__ = ["screens"]

Options = dict[str, Any]
HARM = "<script>alert(1)</script><img src=x onerror=alert(2)> \u202egnol\u202c \u0007"
SEEN = "<script>alert(1)</script><img src=x onerror=alert(2)> ⟨U+202E⟩gnol"
LOOKS = [("light", "ja-JP", 1360), ("dark", "en-GB", 1360), ("dark", "ja-JP", 360)]
LONG_MS = 60_000  # an act of its own, on a machine that has others to do


@pytest.fixture(scope="module")
def portal(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A portal of a module, with the server of this process; each test has databases of its own."""
    directory = tmp_path_factory.mktemp("portal")
    with Portal(directory, {"DATABASES_FILE": str(mariadb.servers_file(directory))}) as running:
        yield running


@pytest.fixture(scope="module")
def anna(portal: Portal) -> Options:
    return logged_in(portal)


@pytest.fixture
def database(mariadb: MariaDB, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with posts, of which one means harm, and what else a structure may have."""
    name = f"wp_{re.sub('[^a-z]+', '_', request.node.originalname.lower())[5:45]}"
    mariadb.execute(
        f"DROP DATABASE IF EXISTS `{name}`",
        f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4",
        f"USE `{name}`",
        "CREATE TABLE posts (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, title TEXT NOT NULL,"
        " note VARCHAR(20) NULL, raw VARBINARY(64) NULL, status VARCHAR(20) NOT NULL DEFAULT 'draft', KEY (status))"
        " COMMENT 'what is read'",
        "INSERT INTO posts (title, note, raw, status) SELECT CONCAT('Post ', seq), IF(seq = 7, '', NULL),"
        " UNHEX('00ff'), IF(seq % 10 = 0, 'publish', 'draft') FROM seq_1_to_120",
        f"UPDATE posts SET title = {pymysql.converters.escape_string(HARM).join(chr(39) * 2)} WHERE id = 2",
        "UPDATE posts SET title = REPEAT('long ', 400) WHERE id = 3",
        "CREATE TABLE old (a INT) ENGINE=MyISAM",
        "CREATE VIEW published AS SELECT id, title FROM posts WHERE status = 'publish'",
    )
    yield name
    mariadb.execute(f"DROP DATABASE IF EXISTS `{name}`")


@pytest.fixture
def rows(mariadb: MariaDB) -> Callable[[str], list[tuple[Any, ...]]]:
    """Root's view, past everything that is tested."""

    def ask(statement: str) -> list[tuple[Any, ...]]:
        with (
            pymysql.connect(unix_socket=str(mariadb.unix_socket), user="root") as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return list(cursor.fetchall())

    return ask


def editor(page: Page) -> Locator:
    return page.get_by_role("textbox", name=re.compile("^(SQL 文|SQL statement)$"))


def write_statement(page: Page, text: str) -> None:
    editor(page).click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def proving(page: Page) -> Page:
    """The same page, which answers the question for a fresh factor when it comes: after five minutes it does."""
    asked = page.get_by_role("dialog", name=re.compile("^(再認証|Confirm it is you)$"))

    def prove() -> None:
        asked.locator("input[type=password]").fill(PASSWORD)
        asked.locator("button[type=submit]").click()

    page.add_locator_handler(asked, prove)
    return page


# -- looking ----------------------------------------------------------------------------------------------------------


def test_what_a_server_holds_is_found_and_its_rows_are_read(
    portal: Portal, anna: Options, database: str, visit: Visit
) -> None:
    page = visit(portal, f"/databases/blog/{database}", **anna)  # what a server holds is looked at every ten seconds
    page.get_by_role("link", name="← データベース").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=database))
    expect(row).to_contain_text("InnoDB でないテーブルが 1 個あります", timeout=LONG_MS)
    row.get_by_role("link", name=database).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(database)
    expect(page.get_by_role("row").filter(has_text="old")).to_contain_text("MyISAM")
    expect(page.get_by_role("row").filter(has_text="published")).to_contain_text("ビュー")
    page.get_by_role("link", name="posts", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="bigint(20) unsigned")).to_contain_text("auto_increment")
    page.get_by_role("navigation", name="テーブルの表示").get_by_role("link", name="行").click()
    table = page.get_by_role("table", name="posts の行")
    expect(table.get_by_role("row")).to_have_count(51)
    page.get_by_role("button", name="さらに表示").click()
    expect(table.get_by_role("row")).to_have_count(101)

    table.get_by_role("button", name="id").click()
    expect(table.get_by_role("columnheader", name="id")).to_have_attribute("aria-sort", re.compile("cending"))
    harm = table.get_by_role("row").filter(has_text="<script>")
    expect(harm).to_contain_text(SEEN)
    expect(harm).to_contain_text("NULL")
    expect(harm).to_contain_text("0x00ff")
    expect(table.get_by_role("row").filter(has_text="long long")).to_contain_text("省略、全 2000 文字")

    page.get_by_label("列", exact=True).select_option("status")
    page.get_by_label("値").fill("publish")
    page.get_by_role("button", name="絞り込む").click()
    expect(table.get_by_role("row")).to_have_count(13)
    expect(page.get_by_text(re.compile("homeport db rows .* --where status:=:publish"))).to_be_visible()
    page.reload()
    expect(table.get_by_role("row")).to_have_count(13)
    page.get_by_role("button", name=re.compile("絞り込み .* を解除")).click()
    expect(table.get_by_role("row")).to_have_count(51)


def test_a_statement_that_runs_is_seen_and_ended(
    portal: Portal, anna: Options, mariadb: MariaDB, database: str, visit: Visit
) -> None:
    with pymysql.connect(unix_socket=str(mariadb.unix_socket), user="root", database=database) as busy:
        busy._execute_command(3, f"SELECT SLEEP(300) /* {database} */")  # sent, and not waited for
        page = visit(portal, "/databases/blog?tab=processes", locale="en-GB", **anna)
        row = page.get_by_role("row").filter(has_text="SLEEP(300)")
        expect(row).to_be_visible()
        row.get_by_role("button", name=re.compile("^End process")).click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("homeport db kill blog ")
        dialog.get_by_role("button", name="End").click()
        expect(dialog).to_have_count(0)
        expect(row).to_have_count(0)
        busy._sock.close()
        busy._force_close()


# -- acting -----------------------------------------------------------------------------------------------------------


def test_a_database_is_made_filled_from_a_file_and_dropped(
    portal: Portal, anna: Options, mariadb: MariaDB, visit: Visit, tmp_path: Path, rows: Callable[[str], Any]
) -> None:
    mariadb.execute("DROP DATABASE IF EXISTS wp_made_here", "DROP USER IF EXISTS 'wp_made_here'@'%'")
    page = proving(visit(portal, "/databases/blog", **anna))
    page.get_by_role("button", name="データベースを作成").click()
    dialog = page.get_by_role("dialog")
    name = dialog.get_by_label("データベース", exact=True)
    name.fill("no name")
    expect(name).to_have_attribute("aria-invalid", "true")
    name.fill("wp_made_here")
    dialog.get_by_role("button", name="データベースを作成").click()
    expect(dialog).to_contain_text("wp_made_here@%")
    expect(dialog).to_contain_text("完了", timeout=LONG_MS)
    password = dialog.locator("code").inner_text()
    with pymysql.connect(
        host="127.0.0.1", port=mariadb.port, user="wp_made_here", password=password, database="wp_made_here"
    ):
        pass
    dialog.get_by_role("button", name="控えました").click()

    file = tmp_path / "notes.sql"
    file.write_text("CREATE TABLE notes (a INT);\nINSERT INTO notes VALUES (1),(2);\n-- Dump completed\n")
    page.get_by_role("link", name="wp_made_here").click()
    page.get_by_role("button", name="読み込み").click()
    dialog.get_by_label("ダンプ", exact=True).set_input_files(file)
    dialog.get_by_role("button", name="読み込み").click()
    expect(page.get_by_role("link", name="notes")).to_be_visible(timeout=LONG_MS)
    assert rows("SELECT a FROM wp_made_here.notes ORDER BY a") == [(1,), (2,)]

    page.get_by_role("button", name="削除").click()
    drop = dialog.get_by_role("button", name="削除")
    expect(drop).to_be_disabled()
    dialog.get_by_label("wp_made_here@%").check()
    dialog.get_by_label(re.compile("と入力してください")).fill("wp_made_here")
    drop.click()
    expect(page).to_have_url(re.compile("/databases/blog$"))
    expect(page.get_by_role("link", name="wp_made_here")).to_have_count(0, timeout=LONG_MS)
    page.goto("/databases/dumps")
    expect(page.get_by_role("row").filter(has_text="blog/wp_made_here").first).to_contain_text("削除の前")
    assert rows("SELECT user FROM mysql.user WHERE user = 'wp_made_here'") == []


def test_rights_of_an_account_are_what_is_ticked(
    portal: Portal, anna: Options, mariadb: MariaDB, database: str, visit: Visit, rows: Callable[[str], Any]
) -> None:
    account = f"{database}@%"
    mariadb.execute(f"CREATE OR REPLACE USER `{database}`@'%' IDENTIFIED BY 'x'")
    mariadb.execute(f"GRANT SELECT, INSERT ON `{database.replace('_', chr(92) + '_')}`.* TO `{database}`@'%'")
    page = visit(portal, "/databases/blog?tab=accounts", locale="en-GB", **anna)
    row = page.get_by_role("row").filter(has_text=account)
    expect(row).to_contain_text("INSERT")
    row.get_by_role("button", name=f"Rights of {account}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("SELECT", exact=True)).to_be_checked()
    dialog.get_by_label("INSERT", exact=True).uncheck()
    dialog.get_by_label("DELETE", exact=True).check()
    expect(dialog).to_contain_text(re.compile("homeport db grant .* SELECT DELETE"))
    dialog.get_by_role("button", name="Change").click()
    expect(row).to_contain_text("DELETE", timeout=LONG_MS)
    expect(row).not_to_contain_text("INSERT")
    expect(page.get_by_role("button", name=re.compile("New password for homeport_admin"))).to_be_disabled()
    mariadb.execute(f"DROP USER `{database}`@'%'")


# -- the console ------------------------------------------------------------------------------------------------------


def test_the_console_runs_one_statement_by_the_keyboard_and_says_where_another_is_wrong(
    portal: Portal, anna: Options, database: str, visit: Visit
) -> None:
    page = visit(portal, f"/databases/console?server=blog&database={database}", locale="en-GB", **anna)
    expect(page.get_by_text("Read only: an account that can do nothing else.")).to_be_visible()
    editor(page).click()
    page.keyboard.type("SELECT id, title, note, raw FROM posts WHERE id IN (2, 7) ORDER BY id")
    expect(page.get_by_role("heading", level=1)).to_have_text("SQL console")  # no key went to the page's shortcuts
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Enter")
    grid = page.get_by_role("table", name="Result")
    expect(grid.get_by_role("row")).to_have_count(3)
    expect(grid.get_by_role("columnheader", name="raw")).to_contain_text("bytes")
    expect(grid).to_contain_text(SEEN)
    expect(grid.get_by_role("row").nth(1)).to_contain_text("NULL")
    expect(grid.get_by_role("row").nth(2)).to_contain_text("empty")

    write_statement(page, "SELECT 1;\nDELETE FROM posts")
    page.get_by_role("button", name="Run", exact=True).click()
    refused = page.get_by_role("alert")
    expect(refused).to_contain_text("Only one statement at a time.")
    refused.get_by_role("button", name=re.compile(r"^Line \d, column \d+$")).click()
    expect(editor(page)).to_be_focused()

    write_statement(page, "SELECT nothing FROM posts")
    page.keyboard.press("Control+Enter")
    expect(refused).to_contain_text("The server refused the statement (error 1054).")
    expect(refused).to_contain_text("Unknown column")

    history = page.get_by_role("table", name="My history")
    expect(history.get_by_role("row").filter(has_text="ORDER BY id")).to_contain_text("Done")
    expect(history.get_by_role("row").filter(has_text="DELETE FROM posts")).to_contain_text("Refused")
    history.get_by_role("row").filter(has_text="ORDER BY id").get_by_role("button").click()
    expect(editor(page)).to_contain_text("ORDER BY id")


def test_completion_offers_tables_and_columns(portal: Portal, anna: Options, database: str, visit: Visit) -> None:
    page = visit(portal, f"/databases/console?server=blog&database={database}", **anna)
    expect(editor(page)).to_be_visible()
    with page.expect_response(re.compile("/api/console/words/")):
        page.reload()
    editor(page).click()
    page.keyboard.type("SELECT * FROM publi")
    page.get_by_role("listbox").get_by_role("option", name="published").click()
    expect(editor(page)).to_contain_text("SELECT * FROM published")


def test_all_rows_are_exported_and_a_long_query_is_killed(
    portal: Portal, anna: Options, database: str, visit: Visit
) -> None:
    page = visit(portal, f"/databases/console?server=blog&database={database}", **anna)
    write_statement(page, "SELECT id, note FROM posts ORDER BY id")
    page.get_by_text("書き出し", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="すべての行を NDJSON で").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert download.value.suggested_filename == f"{database}.ndjson"
    assert len(lines) == 120
    assert json.loads(lines[6]) == {"id": 7, "note": ""}

    write_statement(page, "SELECT COUNT(*) FROM posts a, posts b, posts c, posts d, posts e")
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="強制終了").click()
    expect(page.get_by_role("alert")).to_contain_text("クエリは強制終了されました。")


def test_a_write_is_measured_confirmed_applied_and_undone(
    portal: Portal, anna: Options, database: str, visit: Visit, rows: Callable[[str], Any]
) -> None:
    before = rows(f"SELECT id, status FROM `{database}`.posts ORDER BY id")
    page = proving(
        visit(portal, f"/databases/console?server=blog&database={database}&mode=write", locale="en-GB", **anna)
    )
    expect(page.get_by_text("Write mode: what you apply here changes data.")).to_be_visible()
    write_statement(page, "UPDATE posts SET status = 'gone' WHERE id <= 3")
    page.get_by_role("button", name="Measure").click()
    card = page.get_by_role("table", name="3 of 3 rows")
    expect(page.get_by_text("Changes 3 rows")).to_be_visible(timeout=LONG_MS)
    expect(card.get_by_role("row").nth(1)).to_contain_text("draft")
    expect(card.get_by_role("row").nth(2)).to_contain_text("gone")
    assert rows(f"SELECT id, status FROM `{database}`.posts ORDER BY id") == before, "nothing has changed yet"

    apply = page.get_by_role("button", name="Apply to 3 rows")
    expect(apply).to_be_disabled()
    page.get_by_label(re.compile("^Type “posts”")).fill("posts")
    page.get_by_label("Reason").fill("spam")
    apply.click()
    undo = page.get_by_role("button", name="Measure the way back")
    expect(undo).to_be_visible(timeout=LONG_MS)
    assert rows(f"SELECT COUNT(*) FROM `{database}`.posts WHERE status = 'gone'") == [(3,)]

    undo.click()
    expect(page.get_by_text("Puts back 3 rows")).to_be_visible()
    page.get_by_label(re.compile("^Type “posts”")).fill("posts")
    apply.click()
    expect(page.get_by_text("This takes back an earlier write.")).to_be_visible()
    expect(page.get_by_role("table", name="Writes").get_by_text("Undone")).to_be_visible(timeout=LONG_MS)
    assert rows(f"SELECT id, status FROM `{database}`.posts ORDER BY id") == before


def test_a_write_whose_rows_have_changed_is_shown_anew(
    portal: Portal, anna: Options, mariadb: MariaDB, database: str, visit: Visit, rows: Callable[[str], Any]
) -> None:
    page = proving(visit(portal, f"/databases/console?server=blog&database={database}&mode=write", **anna))
    write_statement(page, "DELETE FROM posts WHERE status = 'publish'")
    page.get_by_role("button", name="影響を測定").click()
    expect(page.get_by_text("12 行を削除します")).to_be_visible(timeout=LONG_MS)
    mariadb.execute(f"UPDATE `{database}`.posts SET status = 'draft' WHERE id = 10")
    page.get_by_label(re.compile("「posts」と入力")).fill("posts")
    page.get_by_role("button", name="12 行に適用").click()
    expect(page.get_by_text("11 行を削除します")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="行が変わっていたため")).to_be_visible()
    assert rows(f"SELECT COUNT(*) FROM `{database}`.posts") == [(120,)]


# -- states and looks -------------------------------------------------------------------------------------------------


def test_a_silent_server_keeps_what_was_last_known(
    tmp_path: Path, database: str, mariadb: MariaDB, visit: Visit
) -> None:
    file = mariadb.servers_file(tmp_path)
    with Portal(tmp_path, {"DATABASES_FILE": str(file)}) as portal:
        options = logged_in(portal)
        seen = portal.browsers[-1].get("/api/databases").json()["servers"][0]
        assert database in [each["name"] for each in seen["seen"]["databases"]]
        portal.stop()
        file.write_text(file.read_text().replace(f"port = {mariadb.port}", "port = 1"))
        portal.daemon.start()
        page = visit(portal, "/databases", **options)
        expect(page.get_by_role("alert")).to_contain_text("サーバーのポートが応答しません。")
        expect(page.get_by_role("link", name=database)).to_be_visible()
        page.goto("/databases/blog")
        expect(page.get_by_role("button", name="データベースを作成")).to_be_disabled()


def test_without_servers_the_page_says_how_to_connect_one(tmp_path: Path, visit: Visit) -> None:
    with Portal(tmp_path) as portal:
        page = visit(portal, "/databases")
        set_up(page, portal)
        page.goto("/databases")
        expect(page.get_by_text("データベースサーバーは設定されていません。")).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)
        page.goto("/databases/console")
        expect(page.get_by_text("HOMEPORT_PORTAL_DATABASES_FILE")).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize(("theme", "locale", "width"), LOOKS)
def test_every_page_has_no_serious_fault_and_fits(
    portal: Portal,
    anna: Options,
    database: str,
    visit: Visit,
    screens: Path,
    theme: str,
    locale: str,
    width: int,
) -> None:
    page = visit(
        portal,
        color_scheme=theme,
        locale=locale,
        viewport={"width": width, "height": 860},
        bypass_csp=True,  # axe is a script of the test's own; all other tests run under the portal's policy
        **anna,
    )
    found: list[str] = []

    def look(name: str) -> None:
        page.screenshot(path=screens / file_name(f"databases-{name}", theme, locale, width))
        found.extend(f"{name}: {fault}" for fault in faults(page))

    for name, path in {
        "servers": "",
        "server": "/blog",
        "create": "/blog?ask=create",
        "processes": "/blog?tab=processes",
        "slow": "/blog?tab=slow",
        "accounts": "/blog?tab=accounts",
        "database": f"/blog/{database}",
        "load": f"/blog/{database}?ask=load",
        "drop": f"/blog/{database}?ask=drop",
        "table": f"/blog/{database}/posts",
        "rows": f"/blog/{database}/posts?tab=rows",
        "view": f"/blog/{database}/published",
        "nothing": f"/blog/{database}/no_such_table",
        "dumps": "/dumps",
    }.items():
        page.goto(f"/databases{path}")
        is_shown(page)
        look(name)
    page.goto(f"/databases/console?server=blog&database={database}&table=posts")
    expect(editor(page)).to_contain_text("SELECT * FROM")
    editor(page).click()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("table", name=re.compile("^(結果|Result)$"))).to_be_visible()
    look("console")
    write_statement(page, "SELECT SLEEP(1)")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    look("refused")
    page.get_by_role("button", name=re.compile("^(書き込み|Write)$")).click()
    write_statement(page, "UPDATE posts SET status = 'gone' WHERE id <= 3")
    page.get_by_role("button", name=re.compile("^(影響を測定|Measure)$")).click()
    expect(page.get_by_role("button", name=re.compile("3 行に適用|Apply to 3 rows"))).to_be_visible(timeout=LONG_MS)
    look("write")
    assert found == []
