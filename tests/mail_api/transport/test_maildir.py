"""The Maildir transport: names, bytes, repeats, and what is left when a call of the operating system fails."""

# ruff: noqa: ASYNC240 - a test may look at the disk
from __future__ import annotations

import asyncio
import errno
import fcntl
import mailbox
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_api.content import Content, Outgoing
from mail_api.reply import Kind, Meaning, Reply, Stage
from mail_api.transport.maildir import THREADS, MaildirTransport, _directory_name
from tests.mail_api.transport.samples import HEADER, HELLO, HOSTILE, MESSAGE_ID, outgoing

HOME = "home.test"
NAME = f"{MESSAGE_ID}.mx.home.test"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "mail"
    root.mkdir()
    return root


@pytest.fixture
async def transport(root: Path) -> AsyncIterator[MaildirTransport]:
    transport = MaildirTransport(root, domains={HOME}, hostname="mx.home.test")
    yield transport
    await transport.close()


async def deliver(
    transport: MaildirTransport,
    *rcpts: str,
    message: Outgoing | bytes = HELLO,
    message_id: str = MESSAGE_ID,
    timeout_s: float = 5.0,
) -> list[Reply]:
    return await transport.deliver(
        "sender@mail.test",
        rcpts or (f"anna@{HOME}",),
        message if isinstance(message, Outgoing) else outgoing(message),
        message_id=message_id,
        timeout_s=timeout_s,
    )


def files(root: Path) -> list[Path]:
    return sorted(path.relative_to(root) for path in root.rglob("*") if not path.is_dir())


class TestNames:
    @pytest.mark.parametrize(
        ("local", "name"),
        [
            ("anna", "anna"),
            ("Anna.B+tag=x", "Anna.B+tag=x"),
            (".", "%2E"),
            ("..", "%2E."),
            (".ssh", "%2Essh"),
            ("a/../b", "a%2F..%2Fb"),
            ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
            ("100%", "100%25"),
            ("%2E", "%252E"),
            ('"a b"', "%22a%20b%22"),
            ("a\0b\n", "a%00b%0A"),
            ("jürgen", "j%C3%BCrgen"),
            ("a:2,S", "a%3A2%2CS"),
        ],
    )
    async def test_maildir_local_part_is_one_directory_inside_the_domain_s(
        self, transport: MaildirTransport, root: Path, local: str, name: str
    ) -> None:
        [reply] = await deliver(transport, f"{local}@{HOME}")
        assert reply.meaning is Meaning.DELIVERED
        assert files(root) == [Path(HOME, name, "new", NAME)]
        assert sorted(path.name for path in (root / HOME / name).iterdir()) == ["cur", "new", "tmp"]

    @given(st.text(), st.text())
    def test_directory_names_stay_inside_and_differ_when_the_addresses_do(self, one: str, other: str) -> None:
        try:
            names = _directory_name(one), _directory_name(other)
        except UnicodeEncodeError:  # a lone surrogate: no address has one
            return
        assert (names[0] == names[1]) == (one == other)
        assert not set(names[0]) & set("/\0:")
        assert not names[0].startswith(".")
        assert names[0].isascii()

    async def test_maildir_other_domain_is_deferred_and_nothing_is_created(
        self, transport: MaildirTransport, root: Path
    ) -> None:
        replies = await deliver(transport, "a@else.test", "a@HOME.TEST", f"a@sub.{HOME}", "else.test", f"a@{HOME}/..")
        assert {(reply.kind, reply.code, reply.enhanced, reply.meaning) for reply in replies} == {
            (Kind.ANSWERED, 451, "4.3.5", Meaning.TEMPORARY)
        }
        assert list(root.iterdir()) == []

    @pytest.mark.parametrize("local", ["", "x" * 256, "ü" * 43])
    async def test_maildir_address_without_a_directory_name_is_deferred(
        self, transport: MaildirTransport, root: Path, local: str
    ) -> None:
        [reply] = await deliver(transport, f"{local}@{HOME}")
        assert (reply.code, reply.meaning) == (553, Meaning.TEMPORARY)
        assert await transport.probe(f"{local}@{HOME}", timeout_s=1) == reply
        assert list(root.iterdir()) == []

    async def test_maildir_longest_name_is_delivered(self, transport: MaildirTransport) -> None:
        [reply] = await deliver(transport, f"{'x' * 255}@{HOME}")
        assert reply.meaning is Meaning.DELIVERED

    @pytest.mark.parametrize("depth", [1, 2, 3])
    async def test_maildir_symbolic_link_below_the_root_is_not_followed(
        self, transport: MaildirTransport, root: Path, tmp_path: Path, depth: int
    ) -> None:
        outside = tmp_path / "outside"
        for part in ("anna/tmp", "anna/new", "anna/cur", "tmp", "new", "cur"):
            (outside / part).mkdir(parents=True)
        link = root.joinpath(*(HOME, "anna", "new")[:depth])
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(outside)
        [reply] = await deliver(transport)
        assert reply.meaning is Meaning.TEMPORARY
        assert files(outside) == []

    async def test_maildir_root_may_be_a_link_but_must_exist(
        self, transport: MaildirTransport, root: Path, tmp_path: Path
    ) -> None:
        assert await transport.check(timeout_s=1) == f"Maildir {root}"
        root.rename(tmp_path / "elsewhere")
        [reply] = await deliver(transport)
        assert (reply.code, reply.enhanced, reply.meaning) == (451, "4.3.0", Meaning.TEMPORARY)
        assert not root.exists()
        with pytest.raises(FileNotFoundError):
            await transport.check(timeout_s=1)
        root.symlink_to(tmp_path / "elsewhere")
        assert (await deliver(transport))[0].meaning is Meaning.DELIVERED

    async def test_maildir_is_private(self, transport: MaildirTransport, root: Path) -> None:
        await deliver(transport)
        assert {path.stat().st_mode & 0o777 for path in root.rglob("*")} == {0o700, 0o600}


class TestBytes:
    @pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
    async def test_maildir_bytes_are_exact(self, transport: MaildirTransport, root: Path, body: bytes) -> None:
        await deliver(transport, message=HEADER + body)
        assert (root / HOME / "anna/new" / NAME).read_bytes() == b"X-Homeport-Id: 0123\r\n" + HEADER + body

    async def test_maildir_large_file_with_cuts_is_exact(
        self, transport: MaildirTransport, root: Path, tmp_path: Path
    ) -> None:
        message = bytes(range(256)) * 4096 * 3
        (tmp_path / "message").write_bytes(message)
        descriptor = os.open(tmp_path / "message", os.O_RDONLY)
        try:
            content = Content(descriptor, len(message), "")
            [reply] = await deliver(
                transport, message=Outgoing(b"A: b\r\n", content, cuts=((0, 10), (500_000, 600_000)))
            )
        finally:
            os.close(descriptor)
        assert reply.meaning is Meaning.DELIVERED
        expected = b"A: b\r\n" + message[10:500_000] + message[600_000:]
        assert (root / HOME / "anna/new" / NAME).read_bytes() == expected

    async def test_maildir_is_what_a_mail_reader_reads(self, transport: MaildirTransport, root: Path) -> None:
        await deliver(transport)
        [message] = mailbox.Maildir(root / HOME / "anna", create=False)
        assert message["subject"] == "hello"


class TestRepeats:
    async def test_maildir_same_id_is_written_once(self, transport: MaildirTransport, root: Path) -> None:
        replies = [await deliver(transport) for _ in range(3)] + [
            await deliver(transport, f"anna@{HOME}", f"anna@{HOME}")
        ]
        assert all(reply.meaning is Meaning.DELIVERED for each in replies for reply in each)
        assert len(files(root)) == 1

    @pytest.mark.parametrize("flags", ["", ":2,", ":2,S", ":2,FRSab"])
    async def test_maildir_same_id_already_read_is_recognised(
        self, transport: MaildirTransport, root: Path, flags: str
    ) -> None:
        await deliver(transport)
        (root / HOME / "anna/new" / NAME).rename(root / HOME / "anna/cur" / (NAME + flags))
        assert (await deliver(transport))[0].meaning is Meaning.DELIVERED
        assert files(root) == [Path(HOME, "anna/cur", NAME + flags)]

    async def test_maildir_other_id_and_other_mailbox_are_written(
        self, transport: MaildirTransport, root: Path
    ) -> None:
        await deliver(transport, f"anna@{HOME}", f"bert@{HOME}")
        await deliver(transport, message_id="f" * 32)
        assert len(files(root)) == 3

    async def test_maildir_hostile_id_stays_a_name(self, transport: MaildirTransport, root: Path) -> None:
        await deliver(transport, message_id="../../x")
        assert files(root) == [Path(HOME, "anna/new/%2E.%2F..%2Fx.mx.home.test")]

    async def test_maildir_many_at_once_each_arrive(self, transport: MaildirTransport, root: Path) -> None:
        replies = await asyncio.gather(*(deliver(transport, message_id=f"{number:032x}") for number in range(50)))
        assert {reply.meaning for [reply] in replies} == {Meaning.DELIVERED}
        assert len(files(root)) == 50

    async def test_maildir_same_id_at_once_is_written_once(self, transport: MaildirTransport, root: Path) -> None:
        replies = await asyncio.gather(*(deliver(transport) for _ in range(20)))
        assert {reply.meaning for [reply] in replies} <= {Meaning.DELIVERED, Meaning.TEMPORARY}
        assert (await deliver(transport))[0].meaning is Meaning.DELIVERED
        assert len(files(root)) == 1

    async def test_maildir_repeat_waits_until_the_first_delivery_is_settled(
        self, transport: MaildirTransport, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first one's fsync fails after its file was seen in new/: the repeat must not have relied on it."""
        fsync = os.fsync
        await deliver(transport, message_id="f" * 32)  # the mailbox exists
        linked, repeat_waits = threading.Event(), threading.Event()

        def fail_once(descriptor: int) -> None:
            if not linked.is_set():
                linked.set()
                repeat_waits.wait()
                raise OSError(errno.EIO, "injected")
            fsync(descriptor)

        flock = fcntl.flock

        def announce(descriptor: int, operation: int) -> None:
            if operation == fcntl.LOCK_SH:
                repeat_waits.set()
            flock(descriptor, operation)

        monkeypatch.setattr(os, "fsync", fail_once)
        monkeypatch.setattr(fcntl, "flock", announce)
        first = asyncio.create_task(deliver(transport))
        await asyncio.to_thread(linked.wait)
        second = asyncio.create_task(deliver(transport))
        assert [(await task)[0].meaning for task in (first, second)] == [Meaning.TEMPORARY, Meaning.DELIVERED]
        assert Path(HOME, "anna/new", NAME) in files(root)


def failing(call: Callable[..., Any], code: int, *, at: int) -> Callable[..., Any]:
    """Return `call`, except that its `at`-th use (from 0) fails with `code`."""
    count = iter(range(at, -1, -1))

    def wrapped(*args: Any, **options: Any) -> Any:
        if next(count, None) == 0:
            raise OSError(code, "injected")
        return call(*args, **options)

    return wrapped


class TestFailures:
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE])
    @pytest.mark.parametrize("name", ["open", "mkdir", "write", "fdatasync", "link", "fsync"])
    async def test_maildir_failed_call_defers_leaves_nothing_and_the_repeat_delivers(
        self, transport: MaildirTransport, root: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
    ) -> None:
        """Every use of every call that a first delivery makes, one after the other."""
        for at in range(100):
            message_id = f"{at:032x}"
            rcpt = f"u{at}@{HOME}"
            with monkeypatch.context() as patch:
                patch.setattr(os, name, failing(getattr(os, name), code, at=at))
                [reply] = await deliver(transport, rcpt, message_id=message_id)
            if reply.meaning is Meaning.DELIVERED:  # it is made fewer than `at` times
                assert at > 0
                break
            full = code in (errno.ENOSPC, errno.EDQUOT)
            assert (reply.code, reply.enhanced) == ((452, "4.3.1") if full else (451, "4.3.0"))
            assert reply.meaning is Meaning.TEMPORARY
            assert files(root / HOME / f"u{at}") == []
            [reply] = await deliver(transport, rcpt, message_id=message_id)
            assert reply.meaning is Meaning.DELIVERED
            assert files(root / HOME / f"u{at}") == [Path(f"new/{message_id}.mx.home.test")]
        else:
            pytest.fail(f"{name} never stopped failing")

    async def test_maildir_failed_fsync_of_the_mailbox_removes_the_file(
        self, transport: MaildirTransport, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await deliver(transport, message_id="f" * 32)
        before = files(root)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(os.fsync, errno.EIO, at=0))
            [reply] = await deliver(transport)
        assert (reply.code, reply.text) == (451, "injected")
        assert files(root) == before

    async def test_maildir_short_writes_are_completed(
        self, transport: MaildirTransport, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
        await deliver(transport)
        assert (root / HOME / "anna/new" / NAME).read_bytes() == b"X-Homeport-Id: 0123\r\n" + HELLO

    async def test_maildir_order_is_data_then_name_then_directory(
        self, transport: MaildirTransport, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[str] = []

        def recorded(name: str) -> Callable[..., Any]:
            call = getattr(os, name)

            def wrapped(target: Any, *args: Any, **options: Any) -> Any:
                shown = Path(f"/proc/self/fd/{target}").readlink().name if isinstance(target, int) else target
                calls.append(f"{name} {shown}".replace(root.name + "/", ""))
                return call(target, *args, **options)

            return wrapped

        for name in ("mkdir", "fsync", "fdatasync", "link"):
            monkeypatch.setattr(os, name, recorded(name))
        await deliver(transport)
        [link] = [call for call in calls if call.startswith("link")]
        temporary = link.removeprefix("link ")
        assert calls == [
            *("mkdir home.test", "mkdir anna", "mkdir tmp", "mkdir new"),
            *("fsync mail", "fsync home.test", "fsync anna", "mkdir cur", "fsync anna"),
            *(f"fdatasync {temporary}", f"link {temporary}", "fsync new"),
        ]

    async def test_maildir_short_file_leaves_nothing(
        self, transport: MaildirTransport, root: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "message").write_bytes(b"short")
        descriptor = os.open(tmp_path / "message", os.O_RDONLY)
        try:
            [reply] = await deliver(transport, message=Outgoing(b"", Content(descriptor, 6, "")))
        finally:
            os.close(descriptor)
        assert (reply.code, reply.meaning) == (451, Meaning.TEMPORARY)
        assert files(root) == []

    async def test_maildir_unwritable_root_is_not_ready(
        self, transport: MaildirTransport, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
        with pytest.raises(PermissionError):
            await transport.check(timeout_s=1)


class TestDeadlines:
    async def test_maildir_slow_disk_is_unknown_and_the_rest_not_sent(
        self, transport: MaildirTransport, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The thread goes on with what it has begun, on a descriptor of its own, and begins nothing more."""
        message = bytes(range(256)) * 4096
        (tmp_path / "message").write_bytes(message)
        descriptor = os.open(tmp_path / "message", os.O_RDONLY)
        fdatasync, go_on = os.fdatasync, threading.Event()
        monkeypatch.setattr(os, "open", blocking(os.open, go_on))
        try:
            content = Content(descriptor, len(message), "")
            replies = await deliver(transport, f"a@{HOME}", f"b@{HOME}", message=Outgoing(b"", content), timeout_s=0.1)
        finally:
            os.close(descriptor)
        assert [(reply.kind, reply.stage) for reply in replies] == [
            (Kind.UNKNOWN, Stage.DATA),
            (Kind.NOT_SENT, Stage.DATA),
        ]
        assert os.fdatasync is fdatasync
        go_on.set()
        await transport.close()
        assert [path.parts[1] for path in files(root)] == ["a"]
        assert (root / HOME / "a/new" / NAME).read_bytes() == message

    async def test_maildir_waiting_for_a_thread_counts(
        self, transport: MaildirTransport, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go_on = threading.Event()
        monkeypatch.setattr(os, "open", blocking(os.open, go_on))
        busy = [asyncio.create_task(deliver(transport, message_id=f"{n:032x}")) for n in range(THREADS)]
        await asyncio.sleep(0)
        [reply] = await deliver(transport, timeout_s=0.1)
        assert (reply.kind, reply.meaning) == (Kind.NOT_SENT, Meaning.TEMPORARY)
        go_on.set()
        assert {reply.meaning for task in busy for reply in await task} == {Meaning.DELIVERED}
        assert len(files(root)) == THREADS

    async def test_maildir_cancelled_passes_through_and_begins_nothing_more(
        self, transport: MaildirTransport, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go_on = threading.Event()
        monkeypatch.setattr(os, "open", blocking(os.open, go_on))
        task = asyncio.create_task(deliver(transport, f"a@{HOME}", f"b@{HOME}"))
        await asyncio.sleep(0.05)  # a thread has it
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        await transport.close()
        assert [path.parts[1] for path in files(root)] == ["a"]


def blocking(call: Callable[..., Any], go_on: threading.Event) -> Callable[..., Any]:
    """Return `call`, waiting first: a disk that hangs."""

    def wrapped(*args: Any, **options: Any) -> Any:
        go_on.wait()
        return call(*args, **options)

    return wrapped
