"""A site as one unit: database first, then files, under the site's lock, without its passwords."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup import lock
from backup.exit_codes import SourceFailed
from backup.settings import Server
from backup.sources.build import build
from backup.sources.mariadb import MariaDB as MariaDBSource
from backup.sources.source import Source
from backup.sources.wordpress import WordPressSite
from backup.stage import Stage
from backup.state import AssetState
from tests.backup.sources.settings_for import settings_for
from tests.backup.sources.staging import Notes, files_below, point_with
from tests.services.mariadb import MariaDB


@pytest.fixture
def database(mariadb: MariaDB, new_name: Callable[[], str]) -> str:
    name = new_name()
    mariadb.execute(
        f"CREATE DATABASE {name}",
        f"CREATE TABLE {name}.wp_posts (ID INT PRIMARY KEY, post_content TEXT)",
        f"INSERT INTO {name}.wp_posts VALUES (1, 'Hello'), (2, 'World')",
    )
    return name


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "blog"
    for name in ("index.php", "wp-config.php", "wp-config-sample.php", "wp-content/uploads/a.jpg"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(name)
    (tmp_path / "blog.vhost").write_text("server {}")
    return path


def sources(directory: Path, server: Server, site: Path, database: str, **more: Any) -> list[Source]:
    settings = settings_for(
        directory,
        lock_wait_hours=0.00001,
        sources={
            "mariadb": [server.model_dump()],
            "site": [{"name": "blog", "path": site, "server": server.name, "database": database, **more}],
        },
    )
    return build(settings)


def test_a_site_is_its_dump_its_files_and_what_serves_it(
    tmp_path: Path, dump_account: Server, site: Path, database: str, stage: Stage
) -> None:
    server, source, _ = sources(tmp_path, dump_account, site, database, extra=[tmp_path / "blog.vhost"])
    staged = source.stage(stage, None, Notes())
    (asset,) = staged.assets
    assert (asset.kind, asset.name, asset.source) == ("site", "blog", "site:blog")
    assert asset.paths == ["sites/blog/files", "sites/blog/db.sql", "sites/blog/extra"]
    assert asset.counts == {"files": 3, "tables": 1, "rows.wp_posts": 2}
    assert asset.facts["database"] == database
    assert files_below(stage.root / "sites/blog") == {
        *("db.sql", "files/index.php", "files/wp-config-sample.php", "files/wp-content/uploads/a.jpg"),
        f"extra{tmp_path}/blog.vhost",
    }
    assert asset.bytes == sum(path.stat().st_size for path in (stage.root / "sites").rglob("*") if path.is_file())
    assert isinstance(server, MariaDBSource)
    assert database not in server.databases()
    assert source.estimate().files == 7  # two directories among them
    assert set(source.paths) == {site, tmp_path / "blog.vhost"}


def test_the_dump_comes_before_the_files(
    tmp_path: Path, dump_account: Server, site: Path, database: str, stage: Stage
) -> None:
    """An upload whose row came after the dump is in the copy: harmless. The other way round it would be missing."""
    late = site / "wp-content/uploads/late.jpg"
    _, source, _ = sources(tmp_path, dump_account, site, database)
    source.stage(stage, None, Notes(lambda step: late.touch() if step == "dump" else None))
    assert (stage.root / "sites/blog/files/wp-content/uploads/late.jpg").exists()


def test_an_update_of_the_site_is_waited_for(
    tmp_path: Path, dump_account: Server, site: Path, database: str, stage: Stage
) -> None:
    _, source, _ = sources(tmp_path, dump_account, site, database)
    journal = Notes()
    with (
        lock.hold(tmp_path / "backup" / "locks", "site-blog", who="update of blog", wait_s=0.0),
        pytest.raises(SourceFailed, match="site blog: the lock 'site-blog' is held by update of blog"),
    ):
        source.stage(stage, None, journal)
    assert "update of blog" in journal.notes[0]
    assert files_below(stage.root / "sites") == set() if (stage.root / "sites").exists() else True


def test_a_site_without_a_database_is_its_files(tmp_path: Path, site: Path, stage: Stage) -> None:
    settings = settings_for(tmp_path, sources={"site": [{"name": "blog", "path": site}]})
    (asset,) = build(settings)[0].stage(stage, None, Notes()).assets
    assert asset.paths == ["sites/blog/files"]
    assert asset.counts == {"files": 3}


def test_a_site_whose_dump_shrank_needs_an_operator_s_word(
    tmp_path: Path, dump_account: Server, site: Path, database: str, stage: Stage
) -> None:
    _, source, _ = sources(tmp_path, dump_account, site, database)
    large = AssetState(
        kind="site", name="blog", source="site:blog", paths=["x"], bytes=9, facts={"dump_bytes": "100000"}
    )
    with pytest.raises(SourceFailed, match=f"less than half.*--accept-smaller main/{database}$"):
        source.stage(stage, point_with(large), Notes())
    assert isinstance(source, WordPressSite)
    told = dataclasses.replace(source, accept_smaller=frozenset({f"main/{database}"}))
    assert int(told.stage(stage, point_with(large), Notes()).assets[0].facts["dump_bytes"]) < 50_000


def test_a_site_that_is_not_there_is_named(tmp_path: Path, stage: Stage) -> None:
    settings = settings_for(tmp_path, sources={"site": [{"name": "blog", "path": tmp_path / "gone"}]})
    with pytest.raises(SourceFailed, match=r"site blog: .*gone is no directory"):
        build(settings)[0].stage(stage, None, Notes())


def test_a_site_that_has_lost_its_files_is_no_good_night(tmp_path: Path, site: Path) -> None:
    settings = settings_for(tmp_path, sources={"site": [{"name": "blog", "path": site}]})
    source, _ = build(settings)
    with Stage(tmp_path / "first") as stage:
        before = point_with(*source.stage(stage, None, Notes()).assets)
    shutil.rmtree(site)
    site.mkdir()
    with Stage(tmp_path / "second") as stage, pytest.raises(SourceFailed, match="is empty, and was not before"):
        source.stage(stage, before, Notes())


def test_settings_without_a_source_have_none(tmp_path: Path) -> None:
    assert build(settings_for(tmp_path)) == []
