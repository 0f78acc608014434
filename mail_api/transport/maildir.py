"""Delivery into Maildirs, without a mail server: `<root>/<domain>/<local part>/{tmp,new,cur}`.

Domain and local part are one percent-encoded path component each, so that nothing an address says can leave the root,
and no symbolic link below the root is followed. A Maildir is created only for a domain that is ours. The root is never
created: a disk that is not mounted must not be mistaken for an empty one.

A 250 means: the file is in `new/`, or a reader has moved it to `cur/`, and bytes and name are on stable storage. Its
name begins with the message id, so that a repeat finds the first delivery and writes nothing:

    1. write tmp/<name>.<random>, fdatasync it (which covers the size)
    2. link it as new/<name>, which never replaces a file; unlink the name in tmp/
    3. fsync new/; if that fails, unlink the name in new/

The file stays locked (flock) until the third step is done: whoever finds it waits and sees whether it stayed.

An error answers temporarily and leaves nothing. A crash may leave a file in tmp/, which readers remove after 36 hours,
or a message in new/ that was not acknowledged, which the repeat finds. The directories tmp/ and new/, and the names
that lead to them, are durable if `cur/` exists: it is made last, after all that was fsynced.

The bytes are those of `Outgoing`, line ends too; nothing is added.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import secrets
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from kit.logging import get_logger
from mail_api.content import Outgoing
from mail_api.reply import Kind, Reply, Stage, not_sent, unknown

THREADS = 8  # at once: each waits for the disk, which gains little from a longer queue
MAX_NAME_BYTES = 255  # NAME_MAX of ext4, XFS, btrfs
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})

_READ = os.O_RDONLY | os.O_NOFOLLOW
_ACCEPTED = Reply(Kind.ANSWERED, Stage.RCPT, 250, "2.1.5", "OK")
_NOT_OURS = Reply(Kind.ANSWERED, Stage.RCPT, 451, "4.3.5", "the domain is not among ours")
_BAD_NAME = Reply(Kind.ANSWERED, Stage.RCPT, 553, "5.1.3", "the address makes no directory name")

T = TypeVar("T")
log = get_logger()


class _Mailbox(NamedTuple):
    """Descriptors of an open Maildir."""

    tmp: int
    new: int
    cur: int


class MaildirTransport:
    """See mail_api.transport.Transport, and this module.

    root      an existing directory on a file system that has hard links
    domains   lower-case A-labels; a recipient elsewhere is deferred
    hostname  ends the file names, as Maildir has it
    """

    def __init__(self, root: Path, *, domains: Collection[str], hostname: str) -> None:
        self._root = root
        self._domains = frozenset(domains)
        self._hostname = quote(hostname, safe="")[:128]
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="maildir")

    async def deliver(
        self, mail_from: str, rcpt_tos: Sequence[str], message: Outgoing, *, message_id: str, timeout_s: float
    ) -> list[Reply]:
        """See Transport. What a thread is at when time runs out is unknown; nothing is begun after that."""
        late = f"not done within {timeout_s:g} s"
        replies = [not_sent(Stage.DATA, late)] * len(rcpt_tos)
        is_over = threading.Event()

        def deliver_all() -> None:
            for position, rcpt_to in enumerate(rcpt_tos):
                if is_over.is_set():
                    return
                replies[position] = unknown(late)
                replies[position] = self._deliver(rcpt_to, message, message_id)

        source = message.content.source
        if isinstance(source, int):  # the thread may outlive this call, and with it the caller's descriptor
            try:
                source = os.dup(source)
            except OSError as error:
                return [not_sent(Stage.DATA, str(error))] * len(rcpt_tos)
            message = replace(message, content=replace(message.content, source=source))
        job = self._threads.submit(deliver_all)
        if isinstance(source, int):
            job.add_done_callback(lambda _: os.close(source))
        try:
            with contextlib.suppress(TimeoutError):
                await _within(timeout_s, job)
        finally:
            is_over.set()
        return list(replies)  # a copy, which a thread still at work does not change

    async def probe(self, rcpt_to: str, *, timeout_s: float) -> Reply:
        """Every address of our domains has a mailbox, or will have."""
        located = self._locate(rcpt_to)
        return located if isinstance(located, Reply) else _ACCEPTED

    async def check(self, *, timeout_s: float) -> str:
        """Return such as `Maildir /srv/mail`. Raise OSError when the root is missing or cannot be written to."""
        return await _within(timeout_s, self._threads.submit(self._check))

    async def close(self) -> None:
        """Wait for what is being written."""
        await asyncio.to_thread(self._threads.shutdown)

    def _check(self) -> str:
        with _opened(self._root, os.O_RDONLY | os.O_DIRECTORY):
            if not os.access(self._root, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "cannot be written to", str(self._root))
        return f"Maildir {self._root}"

    def _locate(self, rcpt_to: str) -> tuple[str, str] | Reply:
        """Return the names of the domain's and the mailbox's directories, or the reply that refuses the address."""
        local, _, domain = rcpt_to.rpartition("@")
        if domain not in self._domains:
            return _NOT_OURS
        names = _directory_name(domain), _directory_name(local)
        return names if all(0 < len(name) <= MAX_NAME_BYTES for name in names) else _BAD_NAME

    def _deliver(self, rcpt_to: str, message: Outgoing, message_id: str) -> Reply:
        located = self._locate(rcpt_to)
        if isinstance(located, Reply):
            return located
        name = f"{_directory_name(message_id)}.{self._hostname}"
        try:
            with ExitStack() as stack:
                mailbox = self._open_mailbox(stack, *located)
                if not _holds(mailbox, name):
                    _save(mailbox, name, message)
        except OSError as error:
            log.warning("maildir_delivery_failed", message_id=message_id, error=str(error))
            code, enhanced = (452, "4.3.1") if error.errno in NO_SPACE else (451, "4.3.0")
            return Reply(Kind.ANSWERED, Stage.DATA, code, enhanced, error.strerror or "input/output error")
        return Reply(Kind.ANSWERED, Stage.DATA, 250, "2.0.0", f"{name} saved")

    def _open_mailbox(self, stack: ExitStack, domain: str, local: str) -> _Mailbox:
        """Return a Maildir whose directories are durable, for as long as `stack` is open; create it if need be."""
        root = stack.enter_context(_opened(self._root, os.O_RDONLY | os.O_DIRECTORY))
        try:
            return _open_parts(stack, root, domain, local)
        except FileNotFoundError:
            _create(root, domain, local)
            return _open_parts(stack, root, domain, local)


async def _within(timeout_s: float, job: Future[T]) -> T:
    """Return what a thread returns. Raise TimeoutError; a job that has not begun by then never will."""
    async with asyncio.timeout(timeout_s):
        return await asyncio.wrap_future(job)


def _directory_name(text: str) -> str:
    """Return `text` as one path component: ASCII letters, digits and `_.-~+=` stay, but no dot at the beginning."""
    name = quote(text, safe="+=")
    return "%2E" + name[1:] if name.startswith(".") else name


@contextlib.contextmanager
def _opened(path: str | Path, flags: int, *, dir_fd: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(stack: ExitStack, name: str, parent: int) -> int:
    """Return a descriptor of a directory that is no symbolic link."""
    return stack.enter_context(_opened(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent))


def _open_parts(stack: ExitStack, root: int, domain: str, local: str) -> _Mailbox:
    directory = _enter(stack, local, _enter(stack, domain, root))
    cur = _enter(stack, "cur", directory)  # first: if it exists, the others are durable
    return _Mailbox(_enter(stack, "tmp", directory), _enter(stack, "new", directory), cur)


def _create(root: int, domain: str, local: str) -> None:
    """Create what is missing of a Maildir. Several processes may do so at once."""

    def make(name: str, parent: int) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)

    with ExitStack() as stack:
        make(domain, root)
        domain_directory = _enter(stack, domain, root)
        make(local, domain_directory)
        directory = _enter(stack, local, domain_directory)
        make("tmp", directory)
        make("new", directory)
        for descriptor in (root, domain_directory, directory):  # also what somebody else has made, and not yet fsynced
            os.fsync(descriptor)
        make("cur", directory)
        os.fsync(directory)


def _holds(mailbox: _Mailbox, name: str) -> bool:
    """Whether an earlier delivery of `name` stands, durably, in new/ or cur/. Takes time linear in the size of cur/."""
    with ExitStack() as stack:
        try:
            directory, descriptor = mailbox.new, stack.enter_context(_opened(name, _READ, dir_fd=mailbox.new))
        except FileNotFoundError:  # a reader moves it from new/ to cur/, never back: look there second
            names = os.listdir(mailbox.cur)  # noqa: PTH208 - of a descriptor
            moved = next((moved for moved in names if moved.partition(":")[0] == name), None)
            if moved is None:
                return False
            directory, descriptor = mailbox.cur, stack.enter_context(_opened(moved, _READ, dir_fd=mailbox.cur))
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # until whoever is writing it knows whether it stays
        if os.fstat(descriptor).st_nlink == 0:
            return False
        os.fsync(directory)
        return True


def _save(mailbox: _Mailbox, name: str, message: Outgoing) -> None:
    """Write the message to new/<name>. Raise OSError, with nothing left behind."""
    temporary = f"{name}.{secrets.token_hex(4)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with _opened(temporary, flags, dir_fd=mailbox.tmp) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for block in message.blocks():
                rest = memoryview(block)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            os.fdatasync(descriptor)
            os.link(temporary, name, src_dir_fd=mailbox.tmp, dst_dir_fd=mailbox.new, follow_symlinks=False)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=mailbox.tmp)
        try:
            os.fsync(mailbox.new)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=mailbox.new)
            raise
