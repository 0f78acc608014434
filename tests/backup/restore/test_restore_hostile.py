"""Points and live trees that somebody has made in order to get out of them."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from backup import manifest
from backup.exit_codes import DestinationFailed, RestoreRefused, VerificationFailed
from backup.manifest import Entry
from backup.restore import apply, plan
from backup.restore.model import RestoreReport
from backup.restore.tree import Below, Copier, destination, split
from tests.backup.restore.house import ANNA, MAILBOX, House, entries_of, files, mailbox, request, site, tree

SECRET = b"root:x:0:0"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "passwd").write_bytes(SECRET)
    return directory


@pytest.fixture
def house(tmp_path: Path, outside: Path) -> House:
    return House(tmp_path)


def entry(path: bytes, content: bytes = b"x") -> Entry:
    return Entry(path, "file", len(content), 0o644, os.getuid(), os.getgid(), 1, hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize(
    "path", [b"..", b"../x", b"a/../../x", b"/etc/passwd", b"a//b", b"a/./b", b"", b"a/", b"a\0b", b"a/.."]
)
def test_a_path_that_could_lead_out_is_refused(path: bytes, tmp_path: Path) -> None:
    with pytest.raises(RestoreRefused):
        split(path)
    with Below(tmp_path) as below, pytest.raises(RestoreRefused):
        below.parent(path, make=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [b"sites/blog/files/../../../../passwd", b"../../outside/passwd", b"/etc/passwd"])
def test_a_manifest_with_such_a_path_is_refused_whole(house: House, outside: Path, path: bytes) -> None:
    directory = house.point({"sites/blog/files/a": b"a"}, [site()])
    house.seal(directory, [site()], extra=[entry(path, SECRET)])
    for where in ("beside", "in-place"):
        with pytest.raises((RestoreRefused, VerificationFailed)):
            plan(request("site", "blog", where=where), house.context())
    assert tree(house.live) == {}


def test_a_link_in_place_of_a_directory_of_the_point_is_not_followed(house: House, outside: Path) -> None:
    directory = house.point({"sites/blog/files/up/passwd": SECRET}, [site()])
    planned = plan(request("site", "blog"), house.context())
    (directory / "sites/blog/files/up/passwd").unlink()
    (directory / "sites/blog/files/up").rmdir()
    (directory / "sites/blog/files/up").symlink_to(outside)
    with pytest.raises(RestoreRefused, match="link"):
        apply(planned, house.context())
    assert list((house.root / "restored").iterdir()) == []


def test_a_link_in_place_of_a_file_of_the_point_is_not_followed(house: House, outside: Path) -> None:
    directory = house.point({"sites/blog/files/a": SECRET}, [site()])
    planned = plan(request("site", "blog"), house.context())
    (directory / "sites/blog/files/a").unlink()
    (directory / "sites/blog/files/a").symlink_to(outside / "passwd")
    with pytest.raises(RestoreRefused, match="no file"):
        apply(planned, house.context())


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR])
def test_a_fifo_socket_or_device_in_a_point_is_refused_and_does_not_block(house: House, kind: int) -> None:
    if kind == stat.S_IFCHR and os.geteuid() != 0:
        pytest.skip("making a device needs root")
    directory = house.point({"sites/blog/files/a": b"x"}, [site()])
    planned = plan(request("site", "blog"), house.context())
    (directory / "sites/blog/files/a").unlink()
    os.mknod(directory / "sites/blog/files/a", kind | 0o600, os.makedev(1, 5))  # /dev/zero never ends
    with pytest.raises(RestoreRefused, match="no file"):
        apply(planned, house.context())


def test_a_live_directory_that_became_a_link_is_not_written_through(house: House, outside: Path) -> None:
    house.point({"sites/blog/files/up/passwd": b"evil", f"{MAILBOX}/cur/1.M1.h:2,": b"evil"}, [site(), mailbox()])
    (house.live / "blog" / "up").symlink_to(outside)
    (house.live / "mail" / "home.test").symlink_to(outside)
    for wanted in (request("site", "blog", where="in-place"), request("mailbox", ANNA, where="in-place")):
        with pytest.raises(RestoreRefused, match=r"link|directory"):
            plan(wanted, house.context())
    assert tree(outside) == {"passwd": SECRET}


def test_a_live_directory_that_becomes_a_link_after_the_preview_is_not_written_through(
    house: House, outside: Path
) -> None:
    house.point({"sites/blog/files/up/passwd": b"evil"}, [site()])
    planned = plan(request("site", "blog", where="in-place"), house.context())
    house.on_safety_copy = lambda: (house.live / "blog" / "up").symlink_to(outside)
    with pytest.raises(RestoreRefused):
        apply(planned, house.context())
    assert tree(outside) == {"passwd": SECRET}


def test_a_live_file_that_is_a_link_is_replaced_and_what_it_points_to_stays(house: House, outside: Path) -> None:
    house.point({"sites/blog/files/a": b"new"}, [site()])
    (house.live / "blog" / "a").symlink_to(outside / "passwd")
    house.restore(request("site", "blog", where="in-place"))
    assert not (house.live / "blog" / "a").is_symlink()
    assert (house.live / "blog" / "a").read_bytes() == b"new"
    assert tree(outside) == {"passwd": SECRET}


def test_deleting_what_is_too_much_follows_no_link(house: House, outside: Path) -> None:
    house.point({"sites/blog/files/a": b"new"}, [site()])
    (house.live / "blog" / "up").symlink_to(outside)
    house.restore(request("site", "blog", where="in-place"))
    assert tree(house.live / "blog") == {"a": b"new"}
    assert tree(outside) == {"passwd": SECRET}


def test_links_come_back_as_links_wherever_they_point(house: House, outside: Path) -> None:
    links = {"sites/blog/files/up": str(outside), "sites/blog/files/dead": "../../nowhere"}
    house.point({"sites/blog/files/a": b"a"}, [site()], links=links)
    house.restore(request("site", "blog"))
    house.restore(request("site", "blog", where="in-place"), "in-place")
    for target in (house.root / "restored" / "run-1" / "sites/blog/files", house.live / "blog"):
        assert tree(target) == {"a": b"a", "up": str(outside), "dead": "../../nowhere"}


def test_a_file_below_what_the_manifest_calls_a_link_is_refused(house: House, outside: Path) -> None:
    """A manifest that first makes a link and then writes below it is the oldest way out of an archive."""
    directory = house.point({"sites/blog/files/a": b"a"}, [site()], links={"sites/blog/files/up": str(outside)})
    found = entry(b"sites/blog/files/up/evil", b"evil")
    (directory / "sites/blog/files/up").unlink()
    (directory / "sites/blog/files/up").mkdir()
    (directory / "sites/blog/files/up/evil").write_bytes(b"evil")
    link = Entry(b"sites/blog/files/up", "symlink", 1, 0o777, 0, 0, 1, target=os.fsencode(outside))
    every = [each for each in entries_of(directory) if each.path != b"sites/blog/files/up"]
    manifest.write(directory / "again", [*(each for each in every if each.path != found.path), found, link])
    (directory / "again").replace(directory / "MANIFEST.jsonl")
    manifest.sign(directory, house.signer)
    for where in ("beside", "in-place"):
        with pytest.raises(RestoreRefused):
            house.restore(request("site", "blog", where=where), where)
    assert tree(outside) == {"passwd": SECRET}


NAMES = {
    "newline": b"sites/blog/files/a\nb",
    "not UTF-8": b"sites/blog/files/\xff\xfe",
    "255 bytes": b"sites/blog/files/" + b"x" * 255,
    "dash": b"sites/blog/files/-rf",
    "glob": b"sites/blog/files/[a]*?\\",
    "quotes": b"sites/blog/files/\"'$(id)`",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_odd_names_come_back_as_they_were(house: House, name: bytes) -> None:
    house.point({name: b"content"}, [site()])
    planned, _ = house.restore(request("site", "blog"))
    assert (os.fsencode(house.root / "restored" / "run-1") + b"/" + name,) == tuple(
        os.path.join(above, each)
        for above, _, found in os.walk(os.fsencode(house.root / "restored" / "run-1"))
        for each in found
    )
    house.restore(request("site", "blog", where="in-place"), "in-place")
    assert os.listdir(os.fsencode(house.live / "blog")) == [name.rpartition(b"/")[2]]
    assert planned.document()["changes"]


def test_a_file_longer_than_its_entry_is_damaged_and_not_read_to_its_end(house: House) -> None:
    directory = house.point({"sites/blog/files/a": b"abc"}, [site()])
    planned = plan(request("site", "blog"), house.context())
    with (directory / "sites/blog/files/a").open("r+b") as file:
        file.truncate(1 << 40)  # a hole: reading it would take an hour
    with pytest.raises(VerificationFailed, match="damaged"):
        apply(planned, house.context())


def test_a_point_whose_files_are_set_id_comes_back_so_only_with_its_owner(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "a").write_bytes(b"x")
    found = replace(entry(b"a"), mode=0o4755)
    with Below(source) as below, Below(target) as to:
        directory, name = to.parent(b"a")
        Copier(below).file(found, directory, name)
    assert (target / "a").stat().st_mode & 0o7777 == 0o4755
    assert (target / "a").stat().st_uid == found.uid


def test_files_of_a_set_stay_below_what_the_settings_name(house: House, outside: Path) -> None:
    directory = house.point({f"stacks/etc{house.live}/etc/a": b"a", "stacks/etc/etc/cron.d/evil": b"evil"}, [files()])
    assert directory.is_dir()
    house.restore(request("files", "etc", where="in-place"))
    assert tree(house.live / "etc") == {"a": b"a"}
    assert not Path("/etc/cron.d/evil").exists()


def test_a_source_that_the_settings_do_not_name_any_more_is_restored_beside_only(house: House) -> None:
    gone = mailbox().model_copy(update={"source": "maildir:gone"})
    house.point({f"{MAILBOX}/cur/1.M1.h:2,": b"x"}, [gone])
    with pytest.raises(RestoreRefused, match="maildir:gone"):
        plan(request("mailbox", ANNA, where="in-place"), house.context())
    house.restore(request("mailbox", ANNA))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_point_is_refused(house: House) -> None:
    directory = house.point({"sites/blog/files/a": b"a"}, [site()])
    (directory / "sites/blog/files/a").chmod(0)
    with pytest.raises(RestoreRefused):
        house.restore(request("site", "blog"))


def test_a_live_disk_that_cannot_be_written_is_named_as_such() -> None:
    with (
        pytest.raises(DestinationFailed, match="Read-only file system, while restoring into /srv/live"),
        destination(Path("/srv/live")),
    ):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_a_report_names_what_is_no_text_readably() -> None:
    report = RestoreReport("/srv/\udcff", 1, 1, 0.5, undo="restore /srv/\udcff", damaged=("stacks/\udcff",))
    document = report.document()
    assert (document["target"], document["undo"]) == (r"/srv/\xff", r"restore /srv/\xff")
    assert document["damaged"] == [r"stacks/\xff"]
