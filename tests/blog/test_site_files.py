"""The program that makes sites' trees, run as the broker runs it. Needs root: it gives files to other users."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.broker import schemas, site_files

PROGRAM = Path(__file__).parents[2] / "stacks" / "blog" / "site-files" / "program"
UID, OTHER = 20_007, 20_008
SECRET = "0123456789abcdef"
PLUGIN = "wp-content/plugins/hello/hello.php"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="giving files to other users needs root")

# Ends the program at the COUNT-th call that changes something, as a loss of power would.
KILLED = """
import os, runpy, sys
program, left = sys.argv[1], [int(sys.argv[2])]
def ending(call):
    def wrapped(*arguments, **named):
        left[0] -= 1
        if left[0] < 0:
            os._exit(137)
        return call(*arguments, **named)
    return wrapped
for name in ("rename", "mkdir", "unlink", "rmdir", "fchown", "fchmod", "symlink", "fsync"):
    setattr(os, name, ending(getattr(os, name)))
sys.path.insert(0, program)
runpy.run_path(program, run_name="__main__")
"""


# Runs the program with its modules changed beforehand.
ALTERED = """
import os, runpy, sys
sys.path.insert(0, sys.argv[1])
import trees
{change}
runpy.run_path(sys.argv[1], run_name="__main__")
"""

# A file that is there when its directory is listed, and gone when it is looked at.
VANISHING = """
scandir = os.scandir
def listed(place):
    with scandir(place) as entries:
        found = list(entries)
    for each in found:
        if each.name == "gone":
            os.unlink("gone", dir_fd=place)
    return type("Listed", (list,), {"__enter__": lambda self: self, "__exit__": lambda *_: None})(found)
os.scandir = listed
"""


@dataclass
class Host:
    """Where sites, archives and the WordPress of new ones lie."""

    sites: Path
    imports: Path
    wordpress: Path

    def run(self, request: schemas.SiteFiles, *argv: str) -> subprocess.CompletedProcess[bytes]:
        environment = {
            "HOMEPORT_SITES_ROOT": str(self.sites),
            "HOMEPORT_IMPORT_DIR": str(self.imports),
            "HOMEPORT_WORDPRESS": str(self.wordpress),
            "PATH": os.environ["PATH"],
        }
        return subprocess.run(
            argv or [sys.executable, "-I", "-B", str(PROGRAM)],
            input=site_files.document(request),
            env=environment,
            capture_output=True,
            timeout=60,
        )

    def ask(self, action: str, *, site: str = "anna", uid: int = UID, **fields: Any) -> dict[str, Any]:
        ended = self.run(schemas.SiteFiles.model_validate({"action": action, "site": site, "uid": uid} | fields))
        answer: dict[str, Any] = json.loads(ended.stdout)
        assert ended.returncode == (0 if answer.get("ok") else 1), ended
        assert ended.stderr == b""
        return answer

    def killed(self, count: int, action: str, **fields: Any) -> bool:
        """Run an action that ends at its count-th change. Return whether it came so far."""
        request = schemas.SiteFiles.model_validate({"action": action, "site": "anna", "uid": UID} | fields)
        return self.run(request, sys.executable, "-B", "-c", KILLED, str(PROGRAM), str(count)).returncode == 137

    def altered(self, change: str, action: str, **fields: Any) -> dict[str, Any]:
        request = schemas.SiteFiles.model_validate({"action": action, "site": "anna", "uid": UID} | fields)
        program = ALTERED.replace("{change}", change)
        answer: dict[str, Any] = json.loads(self.run(request, sys.executable, "-B", "-c", program, str(PROGRAM)).stdout)
        return answer

    def archive(self, name: str, fill: Callable[[tarfile.TarFile], None]) -> str:
        with tarfile.open(self.imports / name, "w:gz" if name.endswith(".gz") else "w") as archive:
            fill(archive)
        return name


def given_secrets(**parts: Any) -> schemas.Secrets:
    login = {"host": "blog-db", "name": "wp_anna", "user": "wp_anna", "password": SECRET}
    return schemas.Secrets.model_validate({"url": "https://anna.test", "database": login} | parts)


def put(archive: tarfile.TarFile, name: str, content: bytes = b"x", **fields: Any) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(content) if member.isreg() else None)


def put_all(archive: tarfile.TarFile, *names: str) -> None:
    for name in names:
        put(archive, name)


def whole_site(archive: tarfile.TarFile, below: str = "") -> None:
    put(archive, f"{below}wp-settings.php", b"<?php // theirs")
    put(archive, f"{below}wp-config.php", b"<?php\n$table_prefix = 'old_';\ndefine('DB_PASSWORD', 'theirs');\n")
    put(archive, f"{below}wp-content/uploads/a.txt", b"theirs", uid=0, mode=0o4777)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path / "sites", tmp_path / "import", tmp_path / "wordpress")
    for path in (made.sites, made.imports, made.wordpress):
        path.mkdir()
    for name in ("wp-settings.php", PLUGIN, "wp-content/themes/plain/style.css"):
        (made.wordpress / name).parent.mkdir(parents=True, exist_ok=True)
        (made.wordpress / name).write_text(f"<?php // {name}")
    return made


@pytest.fixture
def tree(host: Host) -> Path:
    assert host.ask("create", secrets=given_secrets()) == {"ok": True}
    return host.sites / "anna"


def owners(tree: Path) -> dict[str, tuple[int, int, str]]:
    def row(path: Path) -> tuple[int, int, str]:
        status = path.lstat()
        return status.st_uid, status.st_gid, oct(stat.S_IMODE(status.st_mode))[2:]

    return {str(path.relative_to(tree)): row(path) for path in (tree, *sorted(tree.rglob("*")))}


def contents(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()}


# -- create -----------------------------------------------------------------------------------------------------------


def test_tree_has_the_owners_and_modes_that_separate_sites(tree: Path) -> None:
    found = owners(tree)
    assert found["."] == (0, 0, "711")
    assert found["public"] == (UID, 33, "2750")
    assert {found[name] for name in ("private", "tmp", "kept")} == {(UID, UID, "700")}
    secret = {value for name, value in found.items() if name.startswith("private/")}
    assert secret == {(UID, UID, "400")}
    below = {value for name, value in found.items() if name.startswith("public/")}
    assert below == {(UID, UID, "755"), (UID, UID, "644")}


def test_another_sites_user_reads_nothing(tree: Path) -> None:
    script = f"cat {tree}/public/wp-config.php {tree}/private/*.php; ls {tree} {tree}/public {tree}/tmp; touch {tree}/x"
    ended = subprocess.run(["sh", "-c", script], user=OTHER, group=OTHER, extra_groups=[], capture_output=True)
    assert ended.stdout == b""
    assert not (tree / "x").exists()


def test_site_cannot_replace_its_own_directories(tree: Path) -> None:
    """It would lead the next action of this program elsewhere."""
    ended = subprocess.run(["mv", f"{tree}/private", f"{tree}/x"], user=UID, group=UID, extra_groups=[])
    assert ended.returncode != 0


def test_passwords_lie_where_the_web_server_does_not_serve(tree: Path) -> None:
    assert not [name for name, content in contents(tree / "public").items() if SECRET.encode() in content]
    assert SECRET.encode() in (tree / "private" / "wp-database.php").read_bytes()


def test_salts_are_each_sites_own(host: Host, tree: Path) -> None:
    host.ask("create", site="bob", uid=OTHER, secrets=given_secrets())
    mine, theirs = ((host.sites / site / "private" / "wp-salts.php").read_text() for site in ("anna", "bob"))
    assert mine != theirs
    assert len(set(mine.splitlines())) == 9


def test_creating_it_again_is_creating_it_once(host: Host, tree: Path) -> None:
    before = contents(tree)
    assert host.ask("create", secrets=given_secrets()) == {"ok": True}
    assert contents(tree) == before


def test_tree_of_another_uid_is_in_the_way(host: Host, tree: Path) -> None:
    before = owners(host.sites)
    assert host.ask("create", uid=OTHER, secrets=given_secrets())["error"] == "exists"
    assert host.ask("import", uid=OTHER, archive="a.tar", secrets=given_secrets())["error"] == "exists"
    assert owners(host.sites) == before


@pytest.mark.parametrize("action", ["remove", "bring-back", "measure", "forget"])
def test_what_is_not_there_is_missing_and_what_is_anothers_is_not_touched(host: Host, tree: Path, action: str) -> None:
    fields: dict[str, Any] = {} if action == "measure" else {"id": "op-1"}
    assert host.ask(action, site="nobody", **fields)["error"] == "missing"
    before = contents(tree)
    assert host.ask(action, uid=OTHER, **fields)["error"] == "unsafe"
    assert contents(tree) == before


@pytest.mark.slow
def test_killed_anywhere_the_tree_is_not_there_or_whole_and_the_next_try_makes_it(host: Host) -> None:
    steps = 0
    while host.killed(steps, "create", secrets=given_secrets().model_dump()):
        if (host.sites / "anna").exists():
            assert (host.sites / "anna" / "public" / PLUGIN).exists()
        assert host.ask("create", secrets=given_secrets()) == {"ok": True}
        assert owners(host.sites / "anna")["public"] == (UID, 33, "2750")
        assert [path.name for path in host.sites.iterdir() if path.name.startswith(".new")] == []
        shutil.rmtree(host.sites / "anna")
        steps += 9
    assert steps > 27


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_parts_that_are_not_given_stay(host: Host, tree: Path) -> None:
    before = contents(tree / "private")
    mail = {
        "host": "m.test",
        "port": 587,
        "user": "u@m.test",
        "password": SECRET,
        "sender": "u@m.test",
        "sender_name": "É",
    }
    assert host.ask("secrets", secrets=given_secrets(database=None, mail=mail)) == {"ok": True}
    after = contents(tree / "private")
    assert json.loads(after.pop("mail.json")) == mail
    assert after == before
    assert host.ask("secrets", secrets=given_secrets(database=None, drop_mail=True)) == {"ok": True}
    assert contents(tree / "private") == before


def test_new_salts_end_every_login(host: Host, tree: Path) -> None:
    before = (tree / "private" / "wp-salts.php").read_text()
    host.ask("secrets", secrets=given_secrets(database=None), renew_salts=True)
    assert (tree / "private" / "wp-salts.php").read_text() != before


def test_directory_in_the_place_of_a_secret_is_replaced(host: Host, tree: Path) -> None:
    """Or a site that was broken into would keep its logins."""
    salts = tree / "private" / "wp-salts.php"
    salts.unlink()
    (salts / "deep").mkdir(parents=True)
    (salts / "deep" / "x").write_bytes(b"x")
    host.ask("secrets", secrets={"url": "https://anna.test"}, renew_salts=True)
    assert "AUTH_KEY" in salts.read_text()


def test_link_in_the_place_of_a_secret_is_replaced_and_not_followed(host: Host, tree: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    (tree / "private" / "wp-database.php").unlink()
    (tree / "private" / "wp-database.php").symlink_to(victim)
    assert host.ask("secrets", secrets=given_secrets()) == {"ok": True}
    assert victim.read_text() == "theirs"
    assert not (tree / "private" / "wp-database.php").is_symlink()


# -- keep and put back ------------------------------------------------------------------------------------------------

HELLO: dict[str, Any] = {"kind": "plugin", "slug": "hello", "id": "op-1"}


def test_kept_plugin_comes_back_as_it_was(host: Host, tree: Path) -> None:
    plugins = tree / "public" / "wp-content" / "plugins"
    (plugins / "hello" / "link").symlink_to("hello.php")
    os.lchown(plugins / "hello" / "link", UID, UID)
    before = (owners(plugins), contents(plugins))
    assert host.ask("keep", **HELLO)["ok"]
    (plugins / "hello" / "hello.php").write_text("<?php broken")
    (plugins / "hello" / "new.php").write_text("<?php // of the new version")
    assert host.ask("keep", **HELLO)["ok"]  # keeps what it kept the first time
    for _ in range(2):
        assert host.ask("put-back", **HELLO)["ok"]
        assert (owners(plugins), contents(plugins)) == before
    assert host.ask("forget", id="op-1")["ok"]
    assert host.ask("forget", id="op-1")["ok"]
    assert host.ask("put-back", **HELLO)["error"] == "missing"


def test_plugin_of_a_single_file_is_kept_too(host: Host, tree: Path) -> None:
    plugins = tree / "public" / "wp-content" / "plugins"
    (plugins / "one.php").write_text("<?php // one")
    os.chown(plugins / "one.php", UID, UID)
    one = HELLO | {"slug": "one"}
    assert host.ask("keep", **one)["ok"]
    (plugins / "one.php").unlink()
    assert host.ask("put-back", **one)["ok"]
    assert (plugins / "one.php").read_text() == "<?php // one"


def link_outside(plugins: Path, outside: Path) -> None:
    shutil.rmtree(plugins / "hello")
    (plugins / "hello").symlink_to(outside)


def link_above(plugins: Path, outside: Path) -> None:
    shutil.rmtree(plugins)
    plugins.symlink_to(outside.parent)


def file_of_another(plugins: Path, outside: Path) -> None:
    os.chown(plugins / "hello" / "hello.php", OTHER, OTHER)


@pytest.mark.parametrize("trick", [link_outside, link_above, file_of_another])
def test_nothing_of_another_owner_is_kept_whatever_a_site_builds(
    host: Host, tree: Path, tmp_path: Path, trick: Callable[[Path, Path], None]
) -> None:
    outside = tmp_path / "hello"
    outside.mkdir()
    (outside / "secret.php").write_text("theirs")
    trick(tree / "public" / "wp-content" / "plugins", outside)
    assert host.ask("keep", **HELLO)["error"] in ("missing", "unsafe")
    assert not [content for content in contents(tree / "kept").values() if b"theirs" in content]


def test_fifo_in_a_plugin_keeps_nobody_waiting(host: Host, tree: Path) -> None:
    os.mkfifo(tree / "public" / "wp-content" / "plugins" / "hello" / "pipe")
    assert host.ask("keep", **HELLO)["ok"]


@pytest.mark.slow
def test_killed_anywhere_while_putting_back_the_next_try_brings_it_back(host: Host, tree: Path) -> None:
    plugins = tree / "public" / "wp-content" / "plugins"
    before = contents(plugins)
    host.ask("keep", **HELLO)
    steps = 0
    while host.killed(steps, "put-back", **HELLO):
        assert host.ask("put-back", **HELLO)["ok"]
        assert contents(plugins) == before
        steps += 1
    assert steps > 5


# -- import -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.zst"])
@pytest.mark.parametrize("is_made", [True, False], ids=["into a new site", "alone"])
def test_archive_becomes_the_site(host: Host, name: str, is_made: bool) -> None:
    if is_made:
        host.ask("create", secrets=given_secrets())
    plain = host.archive("a.tar.gz" if name.endswith("gz") else "a.tar", lambda to: whole_site(to, "./backup/html/"))
    if name.endswith(".zst"):
        subprocess.run(["zstd", "--quiet", "-f", str(host.imports / plain)], check=True)
    answer = host.ask("import", archive=name, secrets=given_secrets())
    assert answer == {"ok": True, "files": 3, "bytes": answer["bytes"], "skipped": [], "table_prefix": "old_"}
    tree = host.sites / "anna"
    found = owners(tree)
    assert found["public"] == (UID, 33, "2750")
    assert found["public/wp-content/uploads/a.txt"] == (UID, UID, "644")
    config = (tree / "public" / "wp-config.php").read_text()
    assert "'old_'" in config
    assert "theirs" not in config
    assert b"theirs" in (tree / "private" / "wp-config.imported.php").read_bytes()
    assert host.ask("import", archive=name, secrets=given_secrets())["error"] == "exists"


def test_site_that_somebody_has_used_is_not_replaced(host: Host, tree: Path) -> None:
    (tree / "public" / "wp-content" / "uploads").mkdir()
    host.archive("a.tar", whole_site)
    before = contents(tree)
    assert host.ask("import", archive="a.tar", secrets=given_secrets())["error"] == "exists"
    assert contents(tree) == before


HOSTILE: dict[str, Callable[[tarfile.TarFile], None]] = {
    "absolute": lambda to: put(to, "/etc/x"),
    "above": lambda to: put(to, "a/../../x"),
    "above, hidden": lambda to: put(to, "./wp-content/./../../../x"),
    "a long name": lambda to: put(to, "x" * 300),
    "too deep": lambda to: put(to, "d/" * 100 + "x"),
    "a file that is a directory too": lambda to: put_all(to, "a", "a/b"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_archive_that_leads_out_is_refused_whole(host: Host, tree: Path, tmp_path: Path, case: str) -> None:
    def fill(to: tarfile.TarFile) -> None:
        whole_site(to)
        HOSTILE[case](to)

    host.archive("a.tar", fill)
    before = contents(tmp_path / "sites")
    assert host.ask("import", archive="a.tar", secrets=given_secrets())["error"] == "unsafe"
    assert {name: content for name, content in contents(host.sites).items() if "/.import/" not in name} == before
    assert not (tmp_path / "x").exists()


LINKS: dict[str, dict[str, Any]] = {
    "link": {"type": tarfile.SYMTYPE, "linkname": "/etc"},
    "hard link": {"type": tarfile.LNKTYPE, "linkname": "../../../etc/passwd"},
    "device": {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
    "fifo": {"type": tarfile.FIFOTYPE},
}


@pytest.mark.parametrize("case", LINKS)
def test_link_or_device_of_an_archive_is_skipped_and_named(host: Host, tree: Path, case: str) -> None:
    def fill(to: tarfile.TarFile) -> None:
        whole_site(to)
        put(to, "wp-content/trick\x1b[31m", b"", **LINKS[case])
        if case == "link":
            put(to, "wp-content/trick\x1b[31m/below", b"through it")

    host.archive("a.tar", fill)
    answer = host.ask("import", archive="a.tar", secrets=given_secrets())
    assert answer["ok"]
    assert answer["skipped"] == ["wp-content/trick\\x1b[31m"]
    assert all(path.is_file() or path.is_dir() for path in tree.rglob("*"))
    assert not [path for path in tree.rglob("*") if path.is_symlink()]
    assert not Path("/etc/below").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.tar", b"no archive at all" * 100), ("a.tar.gz", b"\x1f\x8b no"), ("a.tar.zst", b"no"), ("a.tar", b"")],
)
def test_what_is_no_archive_is_unreadable(host: Host, tree: Path, name: str, content: bytes) -> None:
    (host.imports / name).write_bytes(content)
    before = contents(tree / "public")
    assert host.ask("import", archive=name, secrets=given_secrets())["error"] == "unreadable"
    assert contents(tree / "public") == before


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_archive_that_was_cut_off_is_unreadable(host: Host, tree: Path, name: str) -> None:
    def fill(to: tarfile.TarFile) -> None:
        whole_site(to)
        put(to, "big", os.urandom(200_000))

    host.archive(name, fill)
    os.truncate(host.imports / name, (host.imports / name).stat().st_size // 2)
    assert host.ask("import", archive=name, secrets=given_secrets())["error"] == "unreadable"


def test_archive_without_wordpress_is_unreadable(host: Host, tree: Path) -> None:
    host.archive("a.tar", lambda to: put(to, "index.html"))
    assert host.ask("import", archive="a.tar", secrets=given_secrets())["error"] == "unreadable"


def test_archive_that_is_a_link_is_not_read(host: Host, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.tar").write_bytes(b"")
    (host.imports / "a.tar").symlink_to(tmp_path / "elsewhere.tar")
    assert host.ask("import", archive="a.tar", secrets=given_secrets())["error"] == "missing"


@pytest.mark.slow
def test_killed_anywhere_while_importing_the_next_try_ends_it(host: Host) -> None:
    host.archive("a.tar", whole_site)
    steps = 0
    while True:
        host.ask("create", secrets=given_secrets())
        came_so_far = host.killed(steps, "import", archive="a.tar", secrets=given_secrets().model_dump())
        answer = host.ask("import", archive="a.tar", secrets=given_secrets())
        assert answer.get("ok") or (answer["error"] == "exists"), answer  # its answer alone got lost
        tree = host.sites / "anna"
        assert "'old_'" in (tree / "public" / "wp-config.php").read_text()
        assert (tree / "public" / "wp-content" / "uploads" / "a.txt").read_bytes() == b"theirs"
        shutil.rmtree(tree)
        if not came_so_far:
            break
        steps += 7
    assert steps > 14


@pytest.fixture
def small_disk(host: Host, tmp_path: Path) -> Iterator[Host]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "homeport-test", str(disk)], check=True)
    try:
        yield Host(disk, host.imports, host.wordpress)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_full_disk_is_said_and_leaves_no_site(small_disk: Host) -> None:
    (small_disk.wordpress / "big").write_bytes(bytes(2 * 1024**2))
    assert small_disk.ask("create", secrets=given_secrets())["error"] == "full"
    assert not (small_disk.sites / "anna").exists()
    small_disk.archive("a.tar", whole_site)
    assert small_disk.ask("import", archive="a.tar", secrets=given_secrets())["error"] == "full"
    assert not (small_disk.sites / "anna").exists()
    assert not list(small_disk.sites.glob(".new-*")), "what did not fit takes no room"


def test_archive_that_is_refused_at_its_end_leaves_nothing(host: Host, tree: Path) -> None:
    host.archive("a.tar", lambda archive: put_all(archive, "one/big", "../x"))
    before = owners(host.sites)
    assert host.ask("import", archive="a.tar", secrets=given_secrets())["error"] == "unsafe"
    assert host.ask("import", site="bob", uid=OTHER, archive="a.tar", secrets=given_secrets())["error"] == "unsafe"
    assert owners(host.sites).keys() == before.keys() | {".locks/bob"}


def test_archive_of_directories_alone_has_a_limit_too(host: Host, tree: Path) -> None:
    def fill(archive: tarfile.TarFile) -> None:
        for number in range(40):
            put(archive, f"d{number}", b"", type=tarfile.DIRTYPE)

    host.archive("a.tar", fill)
    fields = {"archive": "a.tar", "secrets": given_secrets().model_dump()}
    assert host.altered("trees.MAX_ENTRIES = 30", "import", **fields)["error"] == "unsafe"
    assert host.altered("trees.MAX_ENTRIES = 50", "import", **fields)["error"] == "unreadable", "holds no WordPress"


# -- remove, measure --------------------------------------------------------------------------------------------------


def test_removed_tree_is_put_aside_whole(host: Host, tree: Path) -> None:
    before = contents(tree)
    name = host.ask("remove", id="01abc")["removed_as"]
    assert not tree.exists()
    assert contents(host.sites / ".removed" / name) == before
    host.ask("create", secrets=given_secrets())
    assert host.ask("remove", id="01abc")["removed_as"] != name


def test_removed_tree_comes_back_by_its_id_as_it_was(host: Host, tree: Path) -> None:
    before = contents(tree)
    assert host.ask("bring-back", id="01abc")["was_removed"] is False  # it never went
    host.ask("remove", id="01abc")
    host.ask("create", secrets=given_secrets())
    assert host.ask("bring-back", id="01abc")["was_removed"] is False  # another one is there by now
    host.ask("remove", id="02def")
    for wrong in ("abc", "01", "-01abc", "03"):
        assert host.ask("bring-back", id=wrong)["error"] == "missing"
    assert host.ask("bring-back", id="01abc", site="anna-2", uid=OTHER)["error"] == "missing"
    assert host.ask("bring-back", id="01abc", uid=OTHER)["error"] == "unsafe"
    assert not tree.exists()
    assert host.ask("bring-back", id="01abc")["was_removed"] is True
    assert contents(tree) == before


def test_tree_whose_return_is_killed_anywhere_is_in_one_of_both_places(host: Host, tree: Path) -> None:
    before = contents(tree)
    for count in range(20):
        host.ask("remove", id="01abc")
        was_killed = host.killed(count, "bring-back", id="01abc")
        host.ask("bring-back", id="01abc")
        assert contents(tree) == before
        if not was_killed:
            return
    raise AssertionError("it has more steps than that")


def test_measure_counts_what_is_there(host: Host, tree: Path) -> None:
    (tree / "public" / "big").write_bytes(bytes(1000))
    (tree / "public" / "away").symlink_to("/")
    answer = host.ask("measure")
    assert answer["files"] == len([path for path in tree.glob("*/**/*") if path.is_file() and not path.is_symlink()])
    assert answer["public_bytes"] == sum(map(len, contents(tree / "public").values()))
    assert answer["is_truncated"] is False


def test_measure_of_a_site_that_is_at_work_counts_the_rest(host: Host, tree: Path) -> None:
    before = host.ask("measure")
    (tree / "tmp" / "gone").write_bytes(bytes(1000))
    assert host.altered(VANISHING, "measure") == before
    assert not (tree / "tmp" / "gone").exists()


# -- what is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{" * 5000,
        b'{"action": "remove"}',
        b'{"action": "measure", "site": "../x", "uid": 20007}',
        b'{"action": "measure", "site": "homeport", "uid": 20007}',
        b'{"action": "measure", "site": "global", "uid": 20007}',
        b'{"action": "measure", "site": "anna", "uid": 0}',
        b'{"action": "measure", "site": "anna", "uid": true}',
        b'{"action": "measure", "site": "anna\\n", "uid": 20007}',
        b'{"action": "measure", "site": "anna", "uid": 20007, "more": 1}',
        b'{"action": "import", "site": "anna", "uid": 20007, "archive": "../a.tar", "secrets": {}}',
        b'{"action": "forget", "site": "anna", "uid": 20007, "id": "../x"}',
        b'{"action": "keep", "site": "anna", "uid": 20007, "id": "x", "kind": "plugin", "slug": ".."}',
        b"x" * 100_000,
    ],
)
def test_what_is_not_a_request_is_refused_and_quotes_nothing(host: Host, tree: Path, raw: bytes) -> None:
    before = owners(host.sites)
    ended = subprocess.run(
        [sys.executable, "-I", "-B", str(PROGRAM)],
        input=raw,
        env={"HOMEPORT_SITES_ROOT": str(host.sites)},
        capture_output=True,
        timeout=30,
    )
    answer = json.loads(ended.stdout)
    assert (ended.returncode, answer["error"], ended.stderr) == (1, "failed", b"")
    assert "anna" not in answer["detail"]
    assert owners(host.sites) == before


@given(text=st.text(max_size=200))
def test_no_text_gets_out_of_a_php_string(text: str) -> None:
    sys.path.insert(0, str(PROGRAM))
    try:
        import configuration  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(PROGRAM))
    quoted = configuration.php(text)
    assert quoted[0] == quoted[-1] == "'"
    inner, at = quoted[1:-1], 0
    read = []
    while at < len(inner):
        if inner[at] == "\\" and inner[at + 1 : at + 2] in ("\\", "'"):
            at += 1
        else:
            assert inner[at] != "'"
        read.append(inner[at])
        at += 1
    assert "".join(read) == text
