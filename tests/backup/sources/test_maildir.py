"""Mailboxes copied while Dovecot delivers, flags and moves; layouts; hostile names. In soak: a hundred rounds."""

from __future__ import annotations

import dataclasses
import imaplib
import os
import random
import shutil
import smtplib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backup.exit_codes import SourceFailed
from backup.manifest import Entry
from backup.settings import Maildir
from backup.sources.mailbox import base_name
from backup.sources.maildir import MaildirTree, addresses
from backup.stage import Stage
from backup.state import AssetState
from tests.backup.sources.staging import Notes, files_below, point_with, unprivileged
from tests.services.dovecot import PASSWORD, Dovecot, Mailbox

ANSWER_S = 10.0


def tree(path: Path) -> MaildirTree:
    return MaildirTree(Maildir(path=path))


def copied(stage: Stage, source: MaildirTree, journal: Notes | None = None) -> dict[str, AssetState]:
    return {asset.name: asset for asset in source.stage(stage, None, journal or Notes()).assets}


def base_names(mailbox: Path) -> set[str]:
    """Of every mail below a directory."""
    return {
        os.fsdecode(base_name(os.fsencode(path.name))) for part in ("new", "cur") for path in mailbox.rglob(f"{part}/*")
    }


def make_mailbox(path: Path, **folders: list[str]) -> Path:
    """Given folders as directories, "" by the name `inbox`, with their mails as new/NAME or cur/NAME."""
    for folder, mails in folders.items():
        at = path if folder == "inbox" else path / folder
        for part in ("new", "cur", "tmp"):
            (at / part).mkdir(parents=True, exist_ok=True)
        for mail in mails:
            (at / mail).write_text(f"Subject: {mail}\n")
    return path


# -- with Dovecot


@contextmanager
def busy(mailbox: Mailbox, seed: int) -> Iterator[None]:
    """Deliver, flag and move until the body ends."""
    ended = threading.Event()
    failures: list[BaseException] = []
    workers = [
        threading.Thread(target=_guarded, args=(work, mailbox, random.Random(seed + number), ended, failures))
        for number, work in enumerate((_deliver, _flag, _move))
    ]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        ended.set()
        for worker in workers:
            worker.join()
    assert not failures, failures


def _guarded(
    work: Callable[[Mailbox, random.Random, threading.Event], None],
    mailbox: Mailbox,
    drawn: random.Random,
    ended: threading.Event,
    failures: list[BaseException],
) -> None:
    try:
        work(mailbox, drawn, ended)
    except BaseException as error:
        failures.append(error)


def _deliver(mailbox: Mailbox, drawn: random.Random, ended: threading.Event) -> None:
    with smtplib.LMTP("127.0.0.1", mailbox.dovecot.lmtp_port, timeout=ANSWER_S) as lmtp:
        while not ended.is_set():
            lmtp.sendmail("a@example.org", [mailbox.address], f"Subject: {drawn.random()}\r\n\r\nHello\r\n")


def _flag(mailbox: Mailbox, drawn: random.Random, ended: threading.Event) -> None:
    with _imap(mailbox) as imap:
        imap.select("INBOX")
        while not ended.is_set():
            imap.store("1:*", drawn.choice(["+FLAGS", "-FLAGS"]), drawn.choice([r"(\Seen)", r"(\Flagged)", "(kw)"]))
            imap.noop()


def _move(mailbox: Mailbox, drawn: random.Random, ended: threading.Event) -> None:
    """Between folders; Dovecot gives the mail another base name then."""
    with _imap(mailbox) as imap:
        imap.create("Archive")
        while not ended.is_set():
            for there, here in (("INBOX", "Archive"), ("Archive", "INBOX")):
                imap.select(there)
                imap.uid("MOVE", f"{drawn.randrange(1, 40)}:{drawn.randrange(40, 60)}", here)


@contextmanager
def _imap(mailbox: Mailbox) -> Iterator[imaplib.IMAP4]:
    with imaplib.IMAP4("127.0.0.1", mailbox.dovecot.imap_port, timeout=ANSWER_S) as imap:
        imap.login(mailbox.address, PASSWORD)
        yield imap


def fill(mailbox: Mailbox, mails: int) -> None:
    with smtplib.LMTP("127.0.0.1", mailbox.dovecot.lmtp_port, timeout=ANSWER_S) as lmtp:
        for number in range(mails):
            lmtp.sendmail("a@example.org", [mailbox.address], f"Subject: {number}\r\n\r\nHello {number}\r\n")


def rounds(dovecot: Dovecot, tmp_path: Path, number: int) -> None:
    mailbox = dovecot.add_user()
    fill(mailbox, 60)
    source = tree(dovecot.directory / "mail")
    for round_ in range(number):
        with busy(mailbox, round_):
            before = base_names(mailbox.directory)
            with Stage(tmp_path / f"stage{round_}") as stage:
                asset = copied(stage, source)[mailbox.address]
            after = base_names(mailbox.directory)
        copy = tmp_path / f"stage{round_}" / asset.paths[0]
        there = base_names(copy)
        assert before & after <= there
        files = [path for part in ("new", "cur") for path in copy.rglob(f"{part}/*")]
        assert asset.counts["messages"] == len(files)
        assert len(files) == len({(path.parent.parent, base_name(os.fsencode(path.name))) for path in files})
        assert all(path.read_bytes().rstrip().endswith(b"Hello") or b"Hello " in path.read_bytes() for path in files)


@pytest.mark.slow
def test_what_was_there_before_and_after_is_in_the_copy_while_dovecot_works(dovecot: Dovecot, tmp_path: Path) -> None:
    rounds(dovecot, tmp_path, 5)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_hundred_rounds_lose_no_mail(dovecot: Dovecot, tmp_path: Path) -> None:
    rounds(dovecot, tmp_path, 100)


def test_a_mailbox_of_dovecot_is_read_back_by_it(own_dovecot: Dovecot, tmp_path: Path) -> None:
    """Folders, flags, keywords and UIDs as they were; without what Dovecot makes anew."""
    mailbox = own_dovecot.add_user("anna@home.test")
    fill(mailbox, 3)
    with _imap(mailbox) as imap:
        imap.create("Sent.2026")
        imap.subscribe("Sent.2026")
        imap.select("INBOX")
        imap.store("1", "+FLAGS", r"(\Seen Important)")
        imap.copy("2", "Sent.2026")
        before = _flags(imap)
    owner = (mailbox.directory.owner(), mailbox.directory.group())
    own_dovecot.stop()
    with Stage(tmp_path / "stage") as stage:
        asset = copied(stage, tree(own_dovecot.directory / "mail"))["anna@home.test"]
    assert asset.counts == {"messages": 4, "folders": 2}
    assert asset.folders == ["", ".Sent.2026"]
    assert asset.facts == {"maildir": ""}
    copy = tmp_path / "stage" / "mail" / "home.test" / "anna"
    names = files_below(copy)
    assert {"dovecot-uidlist", "dovecot-keywords", "subscriptions", ".Sent.2026/dovecot-uidlist"} <= names
    assert not any("dovecot.index" in name or "/tmp/" in name for name in names)
    mailbox.directory.rename(tmp_path / "lost")
    for path in (copy, *copy.rglob("*")):  # a stage's directories are ours; whoever restores gives them their owner
        shutil.chown(path, *owner)
    copy.rename(mailbox.directory)
    own_dovecot.start()
    with _imap(mailbox) as imap:
        imap.select("INBOX")
        assert _flags(imap) == before
        assert b"Sent.2026" in b"".join(line for line in imap.lsub()[1] if isinstance(line, bytes))


def _flags(imap: imaplib.IMAP4) -> list[bytes]:
    r"""UIDs with flags, but for \Recent, which is of a session."""
    lines = [line for line in imap.fetch("1:*", "(UID FLAGS)")[1] if isinstance(line, bytes)]
    return [
        line.replace(rb"\Recent", b"").replace(b"( ", b"(").replace(b"  ", b" ").replace(b" )", b")") for line in lines
    ]


# -- by hand


def test_a_mail_that_is_renamed_faster_than_it_is_read_is_in_the_copy(tmp_path: Path, stage: Stage) -> None:
    """A thread that does nothing else than change flags, from new to cur and back, in two folders."""
    mails = 400
    mailbox = make_mailbox(
        tmp_path / "mail" / "home.test" / "anna",
        inbox=[f"new/{number}.M{number}.host" for number in range(mails)],
        **{".Sent": [f"cur/{number}.M{number}.sent:2," for number in range(mails)]},
    )
    ended = threading.Event()

    def rename() -> None:
        drawn = random.Random(6)
        at = {number: mailbox / "new" / f"{number}.M{number}.host" for number in range(mails)}
        at |= {mails + number: mailbox / ".Sent" / "cur" / f"{number}.M{number}.sent:2," for number in range(mails)}
        while not ended.is_set():
            number = drawn.randrange(2 * mails)
            here = at[number]
            base = here.name.partition(":2,")[0]
            at[number] = here.rename(here.parents[1] / "cur" / f"{base}:2,{drawn.choice(['', 'S', 'F', 'FS'])}")

    thread = threading.Thread(target=rename)
    thread.start()
    try:
        asset = copied(stage, tree(tmp_path / "mail"))["anna@home.test"]
    finally:
        ended.set()
        thread.join()
    assert asset.counts == {"messages": 2 * mails, "folders": 2}
    assert base_names(stage.root / asset.paths[0]) == base_names(mailbox)


class Meddling(Stage):
    """A stage before whose n-th file somebody changes the mailbox."""

    def __init__(self, root: Path, meddle: Callable[[int], None]) -> None:
        super().__init__(root)
        self.number = 0
        self.meddle = meddle

    def copy_file(self, source: bytes | Path, path: bytes) -> Entry:
        self.number += 1
        self.meddle(self.number)
        return super().copy_file(source, path)


def test_a_mail_that_moves_to_another_folder_before_its_turn_is_found_there(tmp_path: Path) -> None:
    mailbox = make_mailbox(
        tmp_path / "mail" / "home.test" / "anna", inbox=["cur/1:2,"], **{".Archive": ["cur/a:2,"], ".Zoo": ["cur/2:2,"]}
    )

    def meddle(number: int) -> None:
        if number == 2:  # .Archive has been walked
            (mailbox / ".Zoo" / "cur" / "2:2,").rename(mailbox / ".Archive" / "cur" / "2:2,S")

    with Meddling(tmp_path / "stage", meddle) as stage:
        assert copied(stage, tree(tmp_path / "mail"))["anna@home.test"].counts["messages"] == 3
        assert (stage.root / "mail/home.test/anna/.Archive/cur/2:2,S").is_file()


def test_a_mail_that_is_deleted_before_its_turn_is_not_in_the_copy(tmp_path: Path) -> None:
    mailbox = make_mailbox(tmp_path / "mail" / "home.test" / "anna", inbox=["new/1", "new/2"])

    def meddle(number: int) -> None:
        if number == 1:
            (mailbox / "new" / "1").unlink()
            (mailbox / "new" / "2").unlink()

    with Meddling(tmp_path / "stage", meddle) as stage:
        assert copied(stage, tree(tmp_path / "mail"))["anna@home.test"].counts["messages"] == 0


def test_mails_that_always_vanish_fail_the_source(tmp_path: Path) -> None:
    mailbox = make_mailbox(tmp_path / "mail" / "home.test" / "anna", inbox=["new/0"])

    def meddle(number: int) -> None:
        (mailbox / "new" / str(number - 1)).rename(mailbox / "new" / str(number))

    with (
        Meddling(tmp_path / "stage", meddle) as stage,
        pytest.raises(SourceFailed, match="anna: mails are renamed faster than they can be copied"),
    ):
        copied(stage, tree(tmp_path / "mail"))


def test_a_mailbox_that_is_removed_meanwhile_is_left_out(tmp_path: Path) -> None:
    mailbox = make_mailbox(tmp_path / "mail" / "home.test" / "bob", inbox=["new/1"])
    make_mailbox(tmp_path / "mail" / "home.test" / "anna", inbox=["new/1"])

    def meddle(number: int) -> None:
        if mailbox.exists():
            mailbox.rename(tmp_path / "away")

    with Meddling(tmp_path / "stage", meddle) as stage:
        assert copied(stage, tree(tmp_path / "mail")).keys() == {"anna@home.test"}


def test_a_home_with_nested_folders_is_understood(tmp_path: Path, stage: Stage) -> None:
    """The mail server's layout: ~/Maildir, folders by directories, Sieve beside it."""
    home = tmp_path / "mail" / "home.test" / "anna"
    make_mailbox(home / "Maildir", inbox=["new/1", "cur/.hidden"], Sent=["cur/2:2,S"], **{"Archive/2026": ["cur/3:2,"]})
    (home / "Maildir" / "tmp" / "half").write_text("half a mail")
    (home / "Maildir" / "Sent" / "dovecot-uidlist").write_text("3 V1 N2\n")
    (home / "Maildir" / "dovecot-uidlist.lock").touch()
    (home / "Maildir" / "dovecot.list.index.log").touch()
    (home / "Maildir" / "fts-flatcurve").mkdir()
    (home / "Maildir" / "fts-flatcurve" / "large").touch()
    (home / "sieve").mkdir()
    (home / "sieve" / "rules.sieve").write_text("keep;")
    (home / ".dovecot.sieve").symlink_to("sieve/rules.sieve")
    asset = copied(stage, tree(tmp_path / "mail"))["anna@home.test"]
    assert asset.counts == {"messages": 3, "folders": 3}
    assert asset.folders == ["", "Archive/2026", "Sent"]
    assert asset.facts == {"maildir": "Maildir"}
    copy = stage.root / asset.paths[0]
    assert files_below(copy) == {
        *("Maildir/new/1", "Maildir/cur/.hidden", "Maildir/Sent/cur/2:2,S", "Maildir/Archive/2026/cur/3:2,"),
        *("Maildir/Sent/dovecot-uidlist", "sieve/rules.sieve", ".dovecot.sieve"),
    }
    assert (copy / ".dovecot.sieve").readlink() == Path("sieve/rules.sieve")
    assert (copy / "Maildir" / "tmp").is_dir()
    assert asset.bytes == sum(
        path.stat().st_size for path in copy.rglob("*") if path.is_file() and not path.is_symlink()
    )


def test_a_mailbox_without_mail_is_one(tmp_path: Path, stage: Stage) -> None:
    (tmp_path / "mail" / "home.test" / "anna" / "sieve").mkdir(parents=True)
    asset = copied(stage, tree(tmp_path / "mail"))["anna@home.test"]
    assert (asset.counts, asset.folders) == ({"messages": 0, "folders": 0}, [])


def test_hostile_names_are_copied_as_they_are(tmp_path: Path, stage: Stage) -> None:
    names = [b"-rf", b"a\nb:2,S", b"\xff\xfe:2,", b"x" * 255, b"..:2,", b"'$(id)`"]
    mailbox = make_mailbox(tmp_path / "mail" / "home.test" / "anna", inbox=[])
    for name in names:
        (mailbox / "cur" / os.fsdecode(name)).write_bytes(name)
    make_mailbox(mailbox, **{os.fsdecode(b".\xff"): ["cur/1:2,"]})
    asset = copied(stage, tree(tmp_path / "mail"))["anna@home.test"]
    copy = stage.root / asset.paths[0]
    for name in names:
        assert (copy / "cur" / os.fsdecode(name)).read_bytes() == name
    assert asset.counts == {"messages": len(names), "folders": 2}  # "..:2," begins with a dot, and one is in the other
    assert asset.folders == [""]


def test_links_are_kept_as_links_and_special_files_are_named(tmp_path: Path, stage: Stage) -> None:
    mailbox = make_mailbox(tmp_path / "mail" / "home.test" / "anna", inbox=["cur/1:2,"])
    (mailbox / "cur" / "2:2,").symlink_to("/etc/passwd")
    (mailbox / ".Shared").symlink_to(tmp_path)
    os.mkfifo(mailbox / "pipe")
    (tmp_path / "mail" / "home.test" / "moved").symlink_to(tmp_path)
    (tmp_path / "mail" / "note.txt").write_text("of the operator")
    staged = tree(tmp_path / "mail").stage(stage, None, Notes())
    assert [asset.counts["messages"] for asset in staged.assets] == [1]
    assert files_below(stage.root / "mail") == {
        *(
            "home.test/anna/cur/1:2,",
            "home.test/anna/cur/2:2,",
            "home.test/anna/.Shared",
            "home.test/moved",
            "note.txt",
        ),
    }
    assert (stage.root / "mail/home.test/anna/cur/2:2,").readlink() == Path("/etc/passwd")
    assert [warning.partition(": ")[0] for warning in staged.warnings] == [str(mailbox / "pipe")]


def test_a_folder_that_turns_into_a_link_fails_the_source(tmp_path: Path) -> None:
    mailbox = make_mailbox(
        tmp_path / "mail" / "home.test" / "anna", inbox=[], **{".A": ["cur/1:2,"], ".Sent": ["cur/2:2,"]}
    )

    def meddle(number: int) -> None:
        if number == 1:
            (mailbox / ".Sent").rename(mailbox / ".Old")
            (mailbox / ".Sent").symlink_to("/etc")

    with (
        Meddling(tmp_path / "stage", meddle) as stage,
        pytest.raises(SourceFailed, match=r"anna/\.Sent is not, or no longer, a readable directory"),
    ):
        copied(stage, tree(tmp_path / "mail"))
    assert "passwd" not in str(files_below(tmp_path / "stage"))


def test_a_mailbox_whose_name_is_not_utf_8_is_copied_and_said(tmp_path: Path, stage: Stage) -> None:
    make_mailbox(tmp_path / "mail" / "home.test" / os.fsdecode(b"\xff"), inbox=["cur/1:2,"])
    staged = tree(tmp_path / "mail").stage(stage, None, Notes())
    assert not staged.assets
    assert "not a name in UTF-8" in staged.warnings[0]
    assert len(files_below(stage.root / "mail")) == 1


def test_an_excluded_mailbox_is_left_out(tmp_path: Path, stage: Stage) -> None:
    for name in ("anna", "bob"):
        make_mailbox(tmp_path / "mail" / "home.test" / name, inbox=["cur/1:2,"])
    source = MaildirTree(Maildir(path=tmp_path / "mail"), frozenset({"bob@home.test"}))
    assert copied(stage, source).keys() == {"anna@home.test"}
    assert not (stage.root / "mail/home.test/bob").exists()
    assert addresses(tmp_path / "mail") == ["anna@home.test", "bob@home.test"]


def test_one_address_in_two_trees_is_refused(tmp_path: Path, stage: Stage) -> None:
    for top in ("one", "two"):
        make_mailbox(tmp_path / top / "home.test" / "anna", inbox=["cur/1:2,"])
    copied(stage, tree(tmp_path / "one"))
    with pytest.raises(SourceFailed, match="two trees hold a mailbox of this address"):
        copied(stage, tree(tmp_path / "two"))


def test_a_mail_that_may_not_be_read_is_named() -> None:
    with unprivileged() as top:
        mailbox = make_mailbox(top / "mail" / "home.test" / "anna", inbox=["cur/1:2,"])
        (mailbox / "cur" / "1:2,").chmod(0)
        with Stage(top / "stage") as stage, pytest.raises(SourceFailed, match=r"anna/cur/1:2,.*: Permission denied"):
            copied(stage, tree(top / "mail"))


def test_a_tree_that_is_not_there_is_named(tmp_path: Path, stage: Stage) -> None:
    with pytest.raises(SourceFailed, match="mail: No such file"):
        copied(stage, tree(tmp_path / "mail"))
    with pytest.raises(SourceFailed, match="mail: No such file"):
        tree(tmp_path / "mail").estimate()


def test_a_tree_that_has_lost_all_its_mail_is_no_good_night(tmp_path: Path) -> None:
    """Its disk is not mounted: an empty point would be green, and rotate a good one out."""
    mailbox = make_mailbox(tmp_path / "mail" / "home.test" / "anna", inbox=["cur/1:2,"])
    source = tree(tmp_path / "mail")
    with Stage(tmp_path / "first") as stage:
        before = point_with(*source.stage(stage, None, Notes()).assets)
    shutil.rmtree(mailbox.parent)
    with Stage(tmp_path / "second") as stage:
        with pytest.raises(SourceFailed, match=r"maildir:mail has nothing at all.*--accept-smaller maildir:mail"):
            source.stage(stage, before, Notes())
        told = dataclasses.replace(source, accept_smaller=frozenset({"maildir:mail"}))
        assert not told.stage(stage, before, Notes()).assets


def test_the_estimate_counts_files_and_bytes(tmp_path: Path) -> None:
    make_mailbox(tmp_path / "mail" / "home.test" / "anna", inbox=["cur/1:2,"])
    assert tree(tmp_path / "mail").estimate().bytes == len("Subject: cur/1:2,\n")
