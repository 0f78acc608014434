"""What is known, and whether the newest point holds it: a new thing that no source names turns the report red."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backup.coverage import Coverage, survey
from backup.settings import BackupSettings, Server
from backup.sources.build import build
from backup.stage import Stage
from backup.state import AssetState, PointState
from tests.backup.sources.conftest import DUMP_RIGHTS, account
from tests.backup.sources.settings_for import settings_for
from tests.backup.sources.staging import Notes, point_with
from tests.services.mariadb import MariaDB


def other_disk(path: Path) -> int:
    """As if the backup had a disk of its own."""
    return int("backup" in path.parts)


def rows(settings: BackupSettings, newest: PointState | None, kind: str) -> dict[str, tuple[str, str]]:
    """Of one kind, name -> (covered, source)."""
    found = survey(settings, newest, device=other_disk)
    return {each.name: (each.covered, each.source) for each in found if each.kind == kind}


def taken(settings: BackupSettings, directory: Path) -> PointState:
    """What a point made now would hold."""
    assets: list[AssetState] = []
    sources = build(settings)
    with Stage(directory) as stage:
        for source in sources:
            assets += source.stage(stage, None, Notes()).assets
    return point_with(*assets, sources=tuple(source.name for source in sources))


def mail_tree(directory: Path, *addresses: str) -> Path:
    for address in addresses:
        local, _, domain = address.partition("@")
        (directory / "mail" / domain / local / "cur").mkdir(parents=True, exist_ok=True)
    return directory / "mail"


def test_a_mailbox_that_is_new_is_missing_until_the_next_point(tmp_path: Path) -> None:
    path = mail_tree(tmp_path, "anna@home.test")
    settings = settings_for(tmp_path, sources={"maildir": [{"path": path}]})
    assert rows(settings, None, "mailbox") == {"anna@home.test": ("missing", "maildir:mail")}
    newest = taken(settings, tmp_path / "stage")
    assert rows(settings, newest, "mailbox") == {"anna@home.test": ("yes", "maildir:mail")}
    mail_tree(tmp_path, "bob@home.test")
    assert rows(settings, newest, "mailbox")["bob@home.test"] == ("missing", "maildir:mail")


def test_a_mailbox_that_is_a_link_is_missing(tmp_path: Path) -> None:
    path = mail_tree(tmp_path, "anna@home.test")
    (path / "home.test" / "moved").symlink_to(tmp_path)
    (path / "other.test").symlink_to(tmp_path)
    settings = settings_for(tmp_path, sources={"maildir": [{"path": path}]})
    found = rows(settings, taken(settings, tmp_path / "stage"), "mailbox")
    assert found["moved@home.test"][0] == found["*@other.test"][0] == "missing"


def test_what_is_left_out_on_purpose_has_a_reason(tmp_path: Path) -> None:
    path = mail_tree(tmp_path, "anna@home.test", "trap@home.test")
    settings = settings_for(
        tmp_path,
        sources={"maildir": [{"path": path}]},
        coverage={"exclude": [{"kind": "mailbox", "name": "trap@home.test", "reason": "a spam trap, worth nothing"}]},
    )
    newest = taken(settings, tmp_path / "stage")
    assert [asset.name for asset in newest.assets if asset.kind == "mailbox"] == ["anna@home.test"]
    found = {each.name: each for each in survey(settings, newest, device=other_disk) if each.kind == "mailbox"}
    assert (found["trap@home.test"].covered, found["trap@home.test"].reason) == (
        "excluded",
        "a spam trap, worth nothing",
    )
    assert found["anna@home.test"].covered == "yes"


def test_a_source_on_the_disk_of_the_backup_is_red(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, sources={"maildir": [{"path": mail_tree(tmp_path, "anna@home.test")}]})
    newest = taken(settings, tmp_path / "stage")
    (found,) = (each for each in survey(settings, newest) if each.kind == "mailbox")
    assert (found.covered, found.reason) == ("same-device", "it lies on the same device as the backup")


def test_a_tree_that_cannot_be_read_is_missing_and_not_passed_over(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, sources={"maildir": [{"path": tmp_path / "gone"}]})
    (found,) = (each for each in survey(settings, None) if each.kind == "mailbox")
    assert (found.name, found.covered) == ("*@mail", "missing")
    assert "No such file" in found.reason


def test_a_site_that_no_source_names_is_missing(tmp_path: Path) -> None:
    for name in ("blog", "shop"):
        (tmp_path / "sites" / name).mkdir(parents=True)
    (tmp_path / "sites" / "a file").touch()
    settings = settings_for(
        tmp_path,
        sources={"site": [{"name": "weblog", "path": tmp_path / "sites" / "blog"}]},
        coverage={"sites": [tmp_path / "sites"]},
    )
    newest = taken(settings, tmp_path / "stage")
    assert rows(settings, newest, "site") == {"weblog": ("yes", "site:weblog"), "shop": ("missing", "")}


def test_volumes_are_covered_whole_or_missing(tmp_path: Path) -> None:
    for name in ("conf/a", "portal/state", "cache", "unnamed"):
        (tmp_path / "ssd" / name).mkdir(parents=True)
    mail = mail_tree(tmp_path / "ssd", "anna@home.test")
    settings = settings_for(
        tmp_path,
        sources={
            "maildir": [{"path": mail}],
            "files": [{"name": "etc", "paths": [tmp_path / "ssd/conf", tmp_path / "ssd/portal/state"]}],
        },
        coverage={
            "volumes": [tmp_path / "ssd"],
            "exclude": [{"kind": "volume", "name": str(tmp_path / "ssd/cache"), "reason": "can be made again"}],
        },
    )
    found = rows(settings, taken(settings, tmp_path / "stage"), "volume")
    assert {Path(name).name: row for name, row in found.items()} == {
        "conf": ("yes", "files:etc"),
        "mail": ("yes", "maildir:mail"),
        "portal": ("missing", ""),
        "cache": ("excluded", ""),
        "unnamed": ("missing", ""),
    }
    (partly,) = (each for each in survey(settings, None) if each.name.endswith("portal"))
    assert partly.reason == f"of it only {tmp_path}/ssd/portal/state is in a source"


def test_a_zone_is_covered_by_its_export(tmp_path: Path) -> None:
    (tmp_path / "exports" / "dns").mkdir(parents=True)
    (tmp_path / "exports" / "dns" / "example.org.zone").write_text("@ IN SOA")
    settings = settings_for(
        tmp_path,
        sources={"files": [{"name": "dns", "paths": [tmp_path / "exports"]}]},
        coverage={"zones": ["example.org", "example.net"]},
    )
    newest = taken(settings, tmp_path / "stage")
    assert rows(settings, newest, "zone") == {"example.org": ("yes", "files:dns"), "example.net": ("missing", "")}
    assert rows(settings, newest, "files") == {"dns": ("yes", "files:dns")}


@pytest.mark.parametrize(("repository", "covered"), [({"password_file": "/dev/null"}, "yes"), (None, "missing")])
def test_secrets_go_into_a_repository_or_nowhere(
    tmp_path: Path, repository: dict[str, Any] | None, covered: str
) -> None:
    (tmp_path / "token").write_text("hunter22-hunter22")
    settings = settings_for(tmp_path, sources={"secrets": {"paths": [tmp_path / "token"]}}, repository=repository)
    newest = taken(settings, tmp_path / "stage")
    assert rows(settings, newest, "secret")[str(tmp_path / "token")] == (covered, "secrets:names")


def test_databases_of_a_server_of_sites_and_those_that_nobody_takes(mariadb: MariaDB, tmp_path: Path) -> None:
    mariadb.execute(*(f"CREATE DATABASE IF NOT EXISTS cov_{name}" for name in ("mail", "blog", "trash", "new")))
    (tmp_path / "blog").mkdir()
    server = account(mariadb, tmp_path, DUMP_RIGHTS).model_copy(update={"databases": ["cov_mail"]})
    settings = settings_for(
        tmp_path,
        sources={
            "mariadb": [server.model_dump()],
            "site": [{"name": "blog", "path": tmp_path / "blog", "server": "main", "database": "cov_blog"}],
        },
        coverage={"exclude": [{"kind": "database", "name": "main/cov_trash", "reason": "only temporary data"}]},
    )
    found = rows(settings, taken(settings, tmp_path / "stage"), "database")
    assert {name: row for name, row in found.items() if "cov_" in name} == {
        "main/cov_mail": ("yes", "mariadb:main"),
        "main/cov_blog": ("yes", "site:blog"),
        "main/cov_trash": ("excluded", ""),
        "main/cov_new": ("missing", ""),
    }


def test_a_server_that_does_not_answer_is_missing_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("any")
    away = Server(name="main", socket=tmp_path / "none", user="dump", password_file=tmp_path / "password")
    settings = settings_for(tmp_path, sources={"mariadb": [away.model_dump()]})
    (found,) = (each for each in survey(settings, None) if each.kind == "database")
    assert isinstance(found, Coverage)
    assert (found.name, found.covered) == ("main/*", "missing")
    assert "Can't connect" in found.reason


def test_the_report_is_sorted_and_names_each_thing_once(tmp_path: Path) -> None:
    mail_tree(tmp_path, "b@home.test", "a@home.test", "a@example.org")
    settings = settings_for(
        tmp_path, sources={"maildir": [{"path": tmp_path / "mail"}, {"name": "again", "path": tmp_path / "mail"}]}
    )
    found = [(each.kind, each.name) for each in survey(settings, None)]
    assert found == sorted(set(found))
