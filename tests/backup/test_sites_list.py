"""The portal's list of sites: what it adds, what it cannot reach, and what its damage costs."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backup import catalog
from backup.coverage import survey
from backup.house import House
from backup.settings import BackupSettings, ListedSite
from backup.sources import listed
from backup.sources.build import build, elsewhere
from backup.sources.secrets import SecretSet
from portal.integrations.backup_sites import BackupSites, SitesListNotWritten
from portal.integrations.backup_sites import ListedSite as Listed
from tests.backup.houses import make_house

GARDEN = {"name": "garden", "server": "blog", "database": "wp_garden"}


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house with a root of listed sites, and one site that backup.toml names itself."""
    sites = tmp_path / "sites"
    sites.mkdir()
    (tmp_path / "password").write_text("a password\n")
    server = {"name": "blog", "socket": tmp_path / "nobody.sock", "user": "a", "password_file": tmp_path / "password"}
    sources = {
        "mariadb": [server],
        "site": [{"name": "shop", "path": tmp_path / "shop"}],
        "sites": {"root": sites, "server": "blog"},
        "allow_same_device": True,
    }
    return make_house(tmp_path, sources=sources)


def tell(house: House, document: Any) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    (house.layout.told / "sites.json").write_text(text)


def listed_names(house: House) -> list[str]:
    return [site.name for site in house.with_listed_sites().settings.sources.site]


def test_what_the_portal_writes_is_what_the_backup_reads(house: House, tmp_path: Path) -> None:
    told = BackupSites(house.layout.portal)
    assert asyncio.run(told.write([Listed("garden", "blog", "wp_garden"), Listed("blog", "blog", "wp_blog")]))
    assert asyncio.run(told.read()) == [Listed("blog", "blog", "wp_blog"), Listed("garden", "blog", "wp_garden")]
    settings = house.with_listed_sites().settings
    assert [site.name for site in settings.sources.site] == ["shop", "blog", "garden"]
    garden = settings.sources.site[-1]
    assert garden.update_lock == house.layout.told / "garden.lock"
    assert settings.sources.site[0].update_lock is None
    assert isinstance(garden, ListedSite)
    assert (garden.path, garden.server, garden.database) == (tmp_path / "sites" / "garden", "blog", "wp_garden")
    assert {"site:shop", "site:blog", "site:garden"} <= {source.name for source in build(settings)}
    assert elsewhere(settings, "blog") == {"wp_blog", "wp_garden"}  # a site brings its database along
    assert house.with_listed_sites().with_listed_sites().settings == settings
    assert asyncio.run(told.write([]))
    assert listed_names(house) == ["shop"]


def test_portal_without_a_backup_writes_nothing(tmp_path: Path) -> None:
    told = BackupSites(None)
    assert (asyncio.run(told.write([Listed("a", "b", "c")])), asyncio.run(told.read())) == (False, [])
    with pytest.raises(SitesListNotWritten, match="told"):
        asyncio.run(BackupSites(tmp_path / "not-set-up").write([]))
    (tmp_path / "told").mkdir()
    (tmp_path / "told" / "sites.json").write_text("[]")
    with pytest.raises(SitesListNotWritten, match="cannot be read"):
        asyncio.run(BackupSites(tmp_path).read())


def test_site_of_backup_toml_stays_as_it_is_there(house: House, tmp_path: Path) -> None:
    tell(house, {"version": 1, "sites": [{**GARDEN, "name": "shop"}]})
    (shop,) = house.with_listed_sites().settings.sources.site
    assert (shop.path, shop.database) == (tmp_path / "shop", None)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        [],
        {"version": 2, "sites": []},
        {"version": 1, "sites": [GARDEN], "root": "/"},
        {"version": 1, "sites": [{**GARDEN, "path": "/etc"}]},
        {"version": 1, "sites": [{**GARDEN, "name": "../etc"}]},
        {"version": 1, "sites": [{**GARDEN, "name": ".."}]},
        {"version": 1, "sites": [{**GARDEN, "name": "/etc"}]},
        {"version": 1, "sites": [{**GARDEN, "name": "Garden"}]},
        {"version": 1, "sites": [{**GARDEN, "name": "garden\n"}]},
        {"version": 1, "sites": [{**GARDEN, "name": ""}]},
        {"version": 1, "sites": [{**GARDEN, "database": "wp`; DROP"}]},
        {"version": 1, "sites": [{**GARDEN, "database": "../mysql"}]},
        {"version": 1, "sites": [{**GARDEN, "server": "mail"}]},
        {"version": 1, "sites": [GARDEN, {**GARDEN, "database": "wp_other"}]},
        {"version": 1, "sites": [GARDEN, {**GARDEN, "name": "other"}]},
        {"version": 1, "sites": [{**GARDEN, "name": f"a{number}"} for number in range(1001)]},
        '{"version": 1, "sites": "' + "x" * 2**20 + '"}',
    ],
)
def test_list_that_cannot_be_used_adds_nothing_and_turns_the_coverage_red(house: House, document: Any) -> None:
    tell(house, document)
    assert listed_names(house) == ["shop"]
    assert "site:shop" in {source.name for source in house.with_listed_sites().sources()}
    red = {(each.kind, each.name): each for each in survey(house.with_listed_sites().settings, None)}
    assert red["site", "*"].covered == "missing"
    assert "the portal's list of sites cannot be used" in red["site", "*"].reason
    assert "DROP" not in red["site", "*"].reason


def test_link_pipe_and_directory_are_no_list(house: House, tmp_path: Path) -> None:
    place = house.layout.told / "sites.json"
    elsewhere_file = tmp_path / "elsewhere.json"
    elsewhere_file.write_text(json.dumps({"version": 1, "sites": [GARDEN]}))
    makes: list[Callable[[], None]] = [
        lambda: place.symlink_to(elsewhere_file),
        lambda: os.link(elsewhere_file, place),
        lambda: os.mkfifo(place),
    ]
    for make in makes:
        make()
        assert listed_names(house) == ["shop"]
        assert listed.trouble(house.settings)
        place.unlink()
    place.mkdir()
    assert listed_names(house) == ["shop"]
    assert listed.trouble(house.settings)


def test_no_list_yet_is_no_trouble_and_a_tree_that_nobody_lists_is(house: House, tmp_path: Path) -> None:
    assert listed.trouble(house.settings) == ""
    (tmp_path / "sites" / "forgotten").mkdir()
    (tmp_path / "sites" / ".removed").mkdir()
    found = {(each.kind, each.name): each.covered for each in survey(house.with_listed_sites().settings, None)}
    assert found["site", "forgotten"] == "missing"
    assert ("site", "*") not in found
    assert ("site", ".removed") not in found


def test_listed_site_keeps_its_secrets_out_of_the_plain_tree(house: House, tmp_path: Path) -> None:
    tell(house, {"version": 1, "sites": [GARDEN]})
    settings = house.with_listed_sites().settings
    top = tmp_path / "sites" / "garden"
    (top / "private").mkdir(parents=True)
    (top / "private" / "wp-database.php").write_text("<?php // a secret\n")
    secrets = SecretSet(settings)
    assert top / "private" in secrets.paths()
    site = settings.sources.site[-1]
    skip = secrets.skip(top, *site.left_out)
    assert [skip(name, True) for name in (b"private", b"tmp", b"kept", b"public")] == [True, True, True, False]


def test_list_is_read_anew_for_each_request(house: House) -> None:
    house.write_catalog(house.facts())
    before = {(asset.kind, asset.name) for asset in catalog.read(house.layout.catalog).assets}
    tell(house, {"version": 1, "sites": [GARDEN]})
    house.with_listed_sites().write_catalog(house.facts())
    after = {(asset.kind, asset.name) for asset in catalog.read(house.layout.catalog).assets}
    assert after - before == {("site", "garden")}


def test_list_needs_a_server_that_is_configured(tmp_path: Path) -> None:
    document = {
        "root": tmp_path,
        "signing_key_file": tmp_path / "key",
        "public_key_file": tmp_path / "pub",
        "sources": {"sites": {"root": tmp_path / "sites", "server": "blog"}},
    }
    with pytest.raises(ValidationError, match=r"sources\.sites: there is no sources\.mariadb named blog"):
        BackupSettings.model_validate(document)


def test_portal_may_write_where_it_tells_and_not_beside(house: House) -> None:
    assert oct(house.layout.told.stat().st_mode)[-4:] == "3770"
    assert oct(house.layout.portal.stat().st_mode)[-4:] == "2750"
