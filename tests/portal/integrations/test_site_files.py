"""Trees of sites through the broker, by the program that the blog stack has."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from portal.broker import schemas
from portal.broker.failures import NoSuchContainer
from portal.integrations.site_files import SiteFiles, SiteFilesRefused
from tests.portal.integrations.conftest import WebStack

pytestmark = pytest.mark.services

UID = 20_500
PASSWORD = "canary_7f3a91c2-password"
SECRETS = schemas.Secrets(
    url="https://tree.test",
    database=schemas.DatabaseLogin(host="blog-db", name="wp_tree", user="wp_tree", password=PASSWORD),
    redis=schemas.RedisLogin(host="blog-redis", user="tree", password=PASSWORD),
)
MAIL = schemas.MailLogin(
    host="mail", user="tree", password=PASSWORD, sender="tree@tree.test", sender_name="日本 \"<b>' \\"
)


@pytest.fixture
def files(stack: WebStack) -> SiteFiles:
    return SiteFiles(stack.broker)


def _tree(stack: WebStack, name: str) -> Path:
    return stack.fleet.sites_root / name


async def test_tree_is_made_once_with_its_secrets_and_put_aside(stack: WebStack, files: SiteFiles) -> None:
    await files.create("made", UID, SECRETS, hostnames=("made.test",))
    tree = _tree(stack, "made")
    assert (tree / "public" / "wp-load.php").exists()
    assert {name: stat.S_IMODE((tree / name).stat().st_mode) for name in ("public", "private", "tmp", "kept")} == {
        "public": 0o2750,
        **dict.fromkeys(("private", "tmp", "kept"), 0o700),
    }
    assert ((tree / "private").stat().st_uid, (tree / "public").stat().st_gid) == (UID, 33)
    for path in (tree / "public").rglob("*"):
        assert PASSWORD not in path.read_text(errors="replace") if path.is_file() else True
    await files.create("made", UID, SECRETS)  # as a step that is done again
    with pytest.raises(SiteFilesRefused) as refused:
        await files.create("made", UID + 1, SECRETS)
    assert refused.value.extensions["code"] == "exists"
    measured = await files.measure("made", UID)
    assert measured.files > 100
    assert 0 < measured.public_bytes < measured.size_bytes
    assert (measured.kept_bytes, measured.is_truncated) == (0, False)
    put_aside = await files.remove("made", UID, "01abc")
    assert not tree.exists()
    assert (stack.fleet.sites_root / ".removed" / put_aside / "public" / "wp-load.php").exists()
    with pytest.raises(SiteFilesRefused) as refused:
        await files.measure("made", UID)
    assert refused.value.extensions["code"] == "missing"


async def test_part_of_the_secrets_that_is_not_given_stays(stack: WebStack, files: SiteFiles) -> None:
    await files.create("tree", UID + 2, SECRETS)
    private = _tree(stack, "tree") / "private"
    before = {path.name: path.read_text() for path in private.iterdir()}
    await files.secrets("tree", UID + 2, schemas.Secrets(url=SECRETS.url, mail=MAIL))
    after = {path.name: path.read_text() for path in private.iterdir()}
    assert json.loads(after.pop("mail.json")) == MAIL.model_dump()
    assert after == {name: text for name, text in before.items() if name != "mail.json"}
    await files.secrets("tree", UID + 2, schemas.Secrets(url=SECRETS.url, drop_mail=True), renew_salts=True)
    renewed = {path.name: path.read_text() for path in private.iterdir()}
    assert "mail.json" not in renewed
    assert sum(before[name] != text for name, text in renewed.items()) == 1


async def test_plugin_is_kept_put_back_and_forgotten(stack: WebStack, files: SiteFiles) -> None:
    await files.create("tree", UID + 2, SECRETS)
    plugin = _tree(stack, "tree") / "public/wp-content/plugins/sample"
    plugin.mkdir(parents=True)
    (plugin / "sample.php").write_text("<?php // one")
    for path in (plugin, plugin / "sample.php"):
        os.chown(path, UID + 2, 33)
    await files.keep("tree", UID + 2, "plugin", "sample", "01abc")
    (plugin / "sample.php").write_text("<?php // two")
    (plugin / "more.php").write_text("")
    await files.put_back("tree", UID + 2, "plugin", "sample", "01abc")
    assert {path.name: path.read_text() for path in plugin.iterdir()} == {"sample.php": "<?php // one"}
    assert (await files.measure("tree", UID + 2)).kept_bytes > 0
    await files.forget("tree", UID + 2, "01abc")
    with pytest.raises(SiteFilesRefused):
        await files.put_back("tree", UID + 2, "plugin", "sample", "01abc")
    assert plugin.is_dir()


async def test_archive_becomes_a_site(stack: WebStack, files: SiteFiles) -> None:
    path = stack.fleet.import_dir / "old.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in (
            ("site/wp-settings.php", "<?php"),
            ("site/wp-config.php", "<?php\n$table_prefix = 'old_';"),
            ("site/wp-content/uploads/a.txt", "picture"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("site/wp-content/uploads/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    await files.create("moved", UID + 4, SECRETS)
    imported = await files.import_archive("moved", UID + 4, "old.tar.gz", SECRETS)
    assert (imported.table_prefix, imported.files) == ("old_", 3)
    assert [name.rpartition("/")[2] for name in imported.skipped] == ["link"]
    assert (_tree(stack, "moved") / "public/wp-content/uploads/a.txt").read_text() == "picture"
    with pytest.raises(SiteFilesRefused):
        await files.import_archive("moved", UID + 4, "missing.tar", SECRETS)


async def test_program_that_is_not_there_or_says_nothing_is_a_problem(stack: WebStack, files: SiteFiles) -> None:
    stack.fleet.kill_daemon("blog-site-files")
    try:
        with pytest.raises(NoSuchContainer):
            await files.measure("made", UID)
    finally:
        stack.fleet.start_daemon("blog-site-files")
