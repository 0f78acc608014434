"""What information_schema says, on a real server: names are the server's own, whatever they hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from portal.databases import structure
from portal.databases.failures import NoSuchDatabase, NoSuchTable
from portal.databases.sql import Connection, fetch, identifier, like, pattern
from tests.services.mariadb import MariaDB

HOSTILE = "a`b'c\"d;--\\ <img> \u202e"


def test_a_database_is_told_with_all_it_holds(admin: Connection, new_database: Callable[..., str]) -> None:
    name = new_database(
        "CREATE TABLE posts (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, title VARCHAR(200) NOT NULL DEFAULT 'x',"
        " body LONGTEXT, at DATETIME, KEY by_title (title, at))",
        "CREATE TABLE tags (post INT UNSIGNED, tag VARCHAR(40), place POINT, UNIQUE one (post, tag),"
        " CONSTRAINT of_post FOREIGN KEY (post) REFERENCES posts (id) ON DELETE CASCADE)",
        "CREATE TABLE old (a INT) ENGINE=MyISAM",
        "CREATE VIEW titles AS SELECT title FROM posts",
        "CREATE TRIGGER before_tag BEFORE INSERT ON tags FOR EACH ROW SET NEW.tag = LOWER(NEW.tag)",
        "CREATE FUNCTION one() RETURNS INT RETURN 1",
        "INSERT INTO posts (title) VALUES ('a'), ('b')",
    )
    summary = structure.summary(admin, name)
    assert (summary.tables, summary.views, summary.others, summary.made_by) == (3, 1, 1, None)
    assert summary == next(each for each in structure.databases(admin) if each.name == name)
    tables = {table.name: table for table in structure.tables(admin, name)}
    assert {name: table.kind for name, table in tables.items()} == {
        "posts": "table",
        "tags": "table",
        "old": "table",
        "titles": "view",
    }
    assert (tables["posts"].engine, tables["titles"].rows, tables["posts"].auto_increment) == ("InnoDB", None, 3)
    view = structure.table_view(admin, "blog", name, "tags")
    assert [(column.name, column.type, column.can_sort) for column in view.columns] == [
        ("post", "int(10) unsigned", True),
        ("tag", "varchar(40)", True),
        ("place", "point", False),
    ]
    assert [(index.name, index.columns, index.is_unique) for index in view.indexes] == [("one", ["post", "tag"], True)]
    (key,) = view.foreign_keys
    assert (key.name, key.columns, key.to_table, key.to_columns, key.on_delete) == (
        *("of_post", ["post"], "posts", ["id"], "CASCADE"),
    )
    assert [(trigger.name, trigger.timing, trigger.event) for trigger in view.triggers] == [
        ("before_tag", "BEFORE", "INSERT")
    ]
    assert structure.table_view(admin, "blog", name, "posts").primary_key == ["id"]
    assert "title" in (structure.table_view(admin, "blog", name, "titles").definition or "")
    assert [(each.name, each.kind) for each in structure.routines(admin, name)] == [("one", "function")]


def test_hostile_names_come_back_as_they_are(admin: Connection, mariadb: MariaDB, new_name: Callable[[], str]) -> None:
    name = new_name() + HOSTILE
    mariadb.execute(
        f"CREATE DATABASE {identifier(name)}", f"CREATE TABLE {identifier(name)}.{identifier(HOSTILE)} (`x y` INT)"
    )
    try:
        assert structure.database_of(admin, name) == name
        assert structure.table_view(admin, "blog", name, HOSTILE).columns[0].name == "x y"
    finally:
        mariadb.execute(f"DROP DATABASE {identifier(name)}")


@pytest.mark.parametrize(
    "asked", ["mysql", "INFORMATION_SCHEMA", "sys", "performance_schema", "none", "", "wp_%", "a\0"]
)
def test_what_is_not_an_operators_database_is_not_there(admin: Connection, asked: str) -> None:
    with pytest.raises(NoSuchDatabase):
        structure.database_of(admin, asked)


def test_a_name_is_compared_to_the_letter(admin: Connection, new_database: Callable[..., str]) -> None:
    name = new_database("CREATE TABLE Posts (a INT)")
    with pytest.raises(NoSuchDatabase):
        structure.database_of(admin, name.upper())
    for asked in ("posts", "Posts ", "Pos%", "'"):
        with pytest.raises(NoSuchTable):
            structure.table_of(admin, name, asked)


def test_the_server_is_told_in_two_statements(admin: Connection) -> None:
    seen = structure.seen(admin)
    assert "MariaDB" in seen.version
    assert 1 <= seen.connections <= seen.max_connections
    assert not {each.name for each in seen.databases} & {"mysql", "information_schema"}


@pytest.mark.parametrize("name", ["a", "a`b", "`", "``", "a\\b", "x'; DROP DATABASE mysql; -- "])
def test_an_identifier_stays_one(admin: Connection, name: str) -> None:
    cursor = admin.cursor()
    cursor.execute(f"SELECT 1 AS {identifier(name)}")
    assert cursor.description[0][0] == name


def test_a_pattern_stands_for_one_name_only() -> None:
    assert pattern("wp_a") == "`wp\\_a`"
    assert pattern("a%\\`") == "`a\\%%\\\\```"  # the driver reads "%%" as "%"
    assert like("50%_\\") == "50\\%\\_\\\\"


def test_names_that_no_identifier_can_hold() -> None:
    for name in ("", "a\0b"):
        with pytest.raises(ValueError, match="no identifier"):
            identifier(name)


def test_bound_values_are_no_sql(admin: Connection) -> None:
    assert fetch(admin, "SELECT %s", ["x' OR '1'='1"]) == [("x' OR '1'='1",)]
