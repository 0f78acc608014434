"""What a zip file of the operator's says of itself; one that is none, or hostile, is not taken."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from portal.wordpress.packages import Package, Packages, PackageUnusable

PLUGIN = "<?php\n/*\n * Plugin Name: Harbour\n * Version: 2.1.0\n */\n"
THEME = "/*\nTheme Name: Pebble\nVersion: 1.4\n*/\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "packages").mkdir()
    return tmp_path / "packages"


def put(directory: Path, name: str, files: Mapping[str, str]) -> None:
    with zipfile.ZipFile(directory / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)


def test_plugin_and_theme_say_what_they_are(directory: Path) -> None:
    put(directory, "harbour.zip", {"harbour/readme.txt": "x", "harbour/harbour.php": PLUGIN, "__MACOSX/x": ""})
    put(directory, "pebble.zip", {"pebble/index.php": "<?php", "pebble/style.css": THEME.replace("\n", "\r\n")})
    packages = Packages(directory.parent)
    harbour, pebble = (
        Package("harbour.zip", "plugin", "harbour", "2.1.0"),
        Package("pebble.zip", "theme", "pebble", "1.4"),
    )
    assert packages.all() == [harbour, pebble]
    assert packages.find("plugin", "harbour", "2.1.0") == harbour
    assert packages.find("plugin", "harbour", "2.1.1") is None
    assert Packages(None).all() == []


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"a/a.php": PLUGIN, "b/b.php": PLUGIN},
        {"harbour.php": PLUGIN},
        {"../harbour/harbour.php": PLUGIN},
        {"/etc/harbour.php": PLUGIN},
        {"-rf/harbour.php": PLUGIN},
        {"harbour/harbour.php": "<?php // nothing"},
        {"harbour/harbour.php": PLUGIN.replace("2.1.0", "2.1.0; rm -rf /")},
        {"harbour/harbour.php": PLUGIN.replace(" * Version: 2.1.0\n", "")},
        {"harbour/deep/harbour.php": PLUGIN},
        {"harbour/harbour.php": "x" * 9000 + PLUGIN},
        {"harbour/style.css": PLUGIN},
    ],
)
def test_what_is_no_package_is_refused(directory: Path, files: Mapping[str, str]) -> None:
    put(directory, "bad.zip", files)
    with pytest.raises(PackageUnusable):
        Packages(directory.parent).read("bad.zip")
    assert Packages(directory.parent).all() == []


def test_a_file_that_is_no_archive_or_lies_elsewhere_is_refused(directory: Path) -> None:
    (directory / "text.zip").write_text("no archive")
    put(directory.parent, "outside.zip", {"harbour/harbour.php": PLUGIN})
    (directory / "link.zip").symlink_to(directory.parent / "outside.zip")
    (directory / "folder.zip").mkdir()
    for name in ("text.zip", "link.zip", "folder.zip", "none.zip", "../outside.zip", "/etc/passwd", "a b.zip"):
        with pytest.raises(PackageUnusable):
            Packages(directory.parent).read(name)


def test_an_archive_that_unpacks_to_much_costs_little(directory: Path) -> None:
    put(directory, "bomb.zip", {"bomb/bomb.php": PLUGIN + "x" * 50_000_000})
    assert Packages(directory.parent).read("bomb.zip").version == "2.1.0"
