"""A site comes from elsewhere: an archive and a dump become a site here, hostile ones become nothing."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portal.recipes.site.imports import ImportDirectory
from portal.recipes.site.making import old_addresses
from portal.recipes.site.schemas import ImportSite
from tests.portal.recipes.site.conftest import HOST, SITE, World, failing, gone
from tests.services.fleet import Fleet

ARCHIVE, DUMP = "old.tar.gz", "old.sql"
OLD_URL = "https://alder.example"


@pytest.fixture(scope="module")
def packed(fleet_of_one: Fleet) -> Iterator[Path]:
    """The fleet's site, packed as on an old host, with a configuration of its own."""
    fleet, directory = fleet_of_one, fleet_of_one.import_dir
    public = fleet.site("alder").public
    old = "<?php\n$table_prefix = 'wp_';\ndefine('DB_PASSWORD', 'of-the-old-host');\n"
    with tarfile.open(directory / ARCHIVE, "w:gz", compresslevel=1) as archive:
        archive.add(public, "old-site", filter=lambda each: None if each.name.endswith("wp-config.php") else each)
        _add(archive, "old-site/wp-config.php", old)
    words = ["mariadb-dump", f"--socket={fleet.mariadb.unix_socket}", "--user=root", "--single-transaction", "wp_alder"]
    (directory / DUMP).write_bytes(subprocess.run(words, capture_output=True, check=True).stdout)
    yield directory
    for name in (ARCHIVE, DUMP):
        (directory / name).unlink()


def a_move(**more: Any) -> ImportSite:
    given: dict[str, Any] = {"act": "import", "site": SITE, "hostnames": [HOST], "archive": ARCHIVE, "dump": DUMP}
    return ImportSite(**(given | {"old_url": OLD_URL} | more))


async def test_imported_site_has_its_content_at_its_new_address(world: World, packed: Path) -> None:
    before = await world.seen()
    plan = await world.plan(a_move())
    assert plan.conflicts == []
    operation = await world.apply(plan)
    assert operation.state == "done", (operation.error, operation.report.lines[-3:])
    made = operation.result["steps"]
    assert made["address"]["replaced"][OLD_URL] > 0
    assert (made["tree"]["table_prefix"], made["load"]["tables"]) == ("wp_", 12)
    assert made["address"]["is_core_pure"]
    status, body = world.page(HOST)
    assert (status, "alder.example" in body, "<title>Site alder" in body) == (200, False, True)
    site = await world.wordpress.sites.get(SITE)
    assert (site.adopted, await world.wordpress.wp.option(site, "home")) == (True, f"https://{HOST}")
    private = world.fleet.sites_root / SITE / "private"
    assert "of-the-old-host" in (private / "wp-config.imported.php").read_text()
    assert "of-the-old-host" not in (world.fleet.sites_root / SITE / "public" / "wp-config.php").read_text()
    await world.done(gone())
    assert await world.seen() == before


@pytest.mark.parametrize("step", ["load", "tree", "address", "activate"])
async def test_step_of_an_import_that_fails_leaves_the_world_as_it_was(world: World, packed: Path, step: str) -> None:
    before, plan = await world.seen(), await world.plan(a_move())
    with failing(step, "done", OSError("the disk is gone")):
        operation = await world.apply(plan)
    assert (operation.state, operation.result["step"]) == ("failed", step)
    assert await world.seen() == before


async def test_archive_that_leads_out_of_the_site_is_refused_and_taken_back(world: World, packed: Path) -> None:
    with tarfile.open(packed / "evil.tar", "w") as archive:
        _add(archive, "old-site/wp-settings.php", "<?php")
        _add(archive, "../../escaped", "here")
    before = await world.seen()
    operation = await world.apply(await world.plan(a_move(archive="evil.tar")))
    (packed / "evil.tar").unlink()
    assert (operation.error["type"], operation.result["step"]) == ("/problems/site-files-refused", "tree")
    assert await world.seen() == before
    assert not list(world.fleet.directory.rglob("escaped"))


async def test_dump_that_reaches_for_other_databases_changes_none(world: World, packed: Path) -> None:
    hostile = (
        "CREATE TABLE wp_options (a int);\n"
        "UPDATE wp_alder.wp_options SET option_value = 'taken' WHERE option_name = 'blogname';\n"
        "-- Dump completed on 2026-11-22 00:00:00\n"
    )
    (packed / "evil.sql").write_text(hostile)
    before = await world.seen()
    operation = await world.apply(await world.plan(a_move(dump="evil.sql")))
    (packed / "evil.sql").unlink()
    assert (operation.state, operation.result["step"]) == ("failed", "load")
    assert await world.seen() == before
    assert world.root("SELECT option_value FROM wp_alder.wp_options WHERE option_name = 'blogname'") == [
        ("Site alder",)
    ]


async def test_files_that_are_not_there_are_a_conflict(world: World, packed: Path) -> None:
    plan = await world.plan(a_move(archive="none.tar", is_public=False))
    assert [each.what for each in plan.conflicts] == ["none.tar does not lie in the import directory"]


def test_import_directory_shows_plain_files_of_known_names_alone(tmp_path: Path) -> None:
    for name in ("a.tar.zst", "b.sql.gz", "c.txt", ".hidden.sql", "-x.sql"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link.sql").symlink_to(tmp_path / "c.txt")
    (tmp_path / "d.tar").mkdir()
    listed = ImportDirectory(tmp_path)
    assert {(each.name, each.kind, each.bytes) for each in listed.files().files} == {
        ("a.tar.zst", "archive", 1),
        ("b.sql.gz", "dump", 1),
    }
    for name in ("link.sql", "c.txt", "../a.tar.zst", "d.tar", "missing.sql"):
        assert listed.path(name) is None, name
    assert listed.path("b.sql.gz") == tmp_path / "b.sql.gz"
    assert "cannot be read" in ImportDirectory(tmp_path / "none").files().detail
    assert "IMPORT_DIR" in ImportDirectory(None).files().detail


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (None, "https://a.example", []),
        ("https://old.example/", "https://a.example", ["https://old.example", "http://old.example"]),
        ("http://a.example", "https://a.example", ["http://a.example"]),
        ("https://a.example/blog", "https://a.example", ["https://a.example/blog", "http://a.example/blog"]),
    ],
)
def test_old_address_is_replaced_by_either_scheme(old: str | None, new: str, found: list[str]) -> None:
    assert old_addresses(old, new) == found


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text)
    archive.addfile(entry, io.BytesIO(text.encode()))
