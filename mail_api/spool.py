"""The spool: messages that Homeport has promised to keep until they are delivered.

One entry is one directory that holds two files, `message.eml` (the received bytes) and `envelope.json` (`Entry`). It
is complete and fsynced before its single rename into `queue/`, and from then on it is moved by renames alone:

    tmp/  ->  queue/  ->  active/  ->  gone
                ^           |   \\->  hold/ (an operator decides)  ->  queue/ | gone
                +-----------+   \\->  corrupt/ (alarm; never read again by us)

On disk, always: an entry in any directory but `tmp/` has both files, whole. A queue id (= the message id) stands in at
most one of them. What lies in `tmp/` was never acknowledged, or was already delivered or dropped.

Who moves what: ingress creates (`accept`); the one delivery process, which holds the lock, does everything else.

What a crash leaves: before the rename into `queue/`, rubbish in `tmp/` that `sweep` removes after an hour (younger
entries may be an ingress at work). After it, the entry, acknowledged or not: an unacknowledged one is delivered under
the same id as its repeat. An entry left in `active/` goes back to `queue/` when delivery starts, with one more
unsettled claim; docs/design/spool.md lists every step.

All methods block (fsync); callers on an event loop run them in a thread. OSError means: nothing was promised.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from kit.atomic import fsync_dir
from kit.clock import Clock
from mail_api.content import CHUNK_BYTES, Content

MESSAGE = "message.eml"
ENVELOPE = "envelope.json"
TMP_MAX_AGE_S = 3600.0  # mail.md 4.1: younger entries may be an ingress at work
MAX_UNSETTLED_CLAIMS = 5  # times delivery may die while it holds an entry before the entry is taken for the cause
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
IS_THERE = frozenset({errno.ENOTEMPTY, errno.EEXIST})  # of a rename: an entry of that id is there already
NOT_AN_ENTRY = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})  # a file is missing, or is none


class Place(enum.StrEnum):
    QUEUE = "queue"
    ACTIVE = "active"
    HOLD = "hold"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class Entry:
    """What `envelope.json` says. Times are epoch seconds.

    queue_id          the message id: 32 hex characters
    received_at       when ingress had the last byte; retained_at when the edge had it (drain only)
    attempts          deliveries tried and failed
    unsettled_claims  times delivery died while it held this entry; reset by every settled attempt
    verdict           what the scanners said (`Verdict` as a dict); None = not scanned yet: delivery scans first
    reason            why the entry is where it is: last reply, or why it is held
    released_at       when an operator last released it from hold: the days of trying begin anew
    """

    queue_id: str
    mail_from: str
    rcpt_to: str
    size_bytes: int
    sha256: str
    received_at: float
    retained_at: int | None = None
    verdict: dict[str, Any] | None = None
    attempts: int = 0
    unsettled_claims: int = 0
    reason: str = ""
    released_at: float | None = None
    version: int = 1

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def to_json(self) -> bytes:
        return json.dumps(dataclasses.asdict(self), ensure_ascii=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_json(cls, data: bytes) -> Entry:
        """Raise ValueError when `data` is not an entry of a version we know."""
        try:
            fields = json.loads(data)
            if fields["version"] != 1:
                raise ValueError(f"entry version {fields['version']!r} is unknown")
            return _ENTRY.validate_json(data, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{ENVELOPE} is malformed: {where}: {first['msg']}") from error
        except (KeyError, TypeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{ENVELOPE} is malformed: {error}") from error


_ENTRY = TypeAdapter(Entry)


@dataclass(frozen=True, slots=True)
class Census:
    """How many entries lie where, and when the oldest that waits for delivery was received (epoch seconds)."""

    counts: dict[Place, int]
    oldest_at: float | None

    @property
    def waiting(self) -> int:
        return self.counts[Place.QUEUE] + self.counts[Place.ACTIVE]

    def oldest_s(self, now: float) -> float:
        return max(now - self.oldest_at, 0.0) if self.oldest_at is not None else 0.0


class CorruptEntry(Exception):
    """The entry's files do not say the same thing. It has been moved to `corrupt/`."""

    def __init__(self, queue_id: str, why: str) -> None:
        super().__init__(f"{queue_id}: {why}")
        self.queue_id = queue_id
        self.why = why


class SpoolLocked(Exception):
    """Another delivery process holds the spool."""


class BodyFile:
    """A large body on its way in: an unnamed file on the spool's file system, so a crash leaves nothing to clean up.

    `content` is valid after the last `append` and until `close`.
    """

    def __init__(self, directory: Path) -> None:
        self.fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def append(self, data: bytes | bytearray) -> None:
        _write_all(self.fd, data)
        self._hash.update(data)
        self.size_bytes += len(data)

    def content(self) -> Content:
        return Content(self.fd, self.size_bytes, self._hash.hexdigest())

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Claimed:
    """An entry in `active/` that the caller must settle: `done`, `defer`, `hold` or `unclaim`."""

    def __init__(self, entry: Entry, content: Content) -> None:
        self.entry = entry
        self.content = content
        self._is_open = True

    def close(self) -> None:
        """Close the message's file; may be called twice."""
        if self._is_open and isinstance(self.content.source, int):
            os.close(self.content.source)
        self._is_open = False


class Spool:
    def __init__(self, root: Path, *, clock: Clock) -> None:
        self.root = root
        self.tmp = root / "tmp"
        self._clock = clock

    # -- for both processes ---------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Create the spool's directories durably. Idempotent; several processes may do it at once."""
        created = False
        self.root.parent.mkdir(parents=True, exist_ok=True)
        for directory in (self.root, self.tmp, *(self.root / place for place in Place)):
            try:
                os.mkdir(directory, 0o700)
                created = True
            except FileExistsError:
                pass
        if created:
            fsync_dir(self.root)
            fsync_dir(self.root.parent)

    def free_bytes(self) -> int:
        """Bytes an unprivileged process may still write; 0 when no file can be created any more."""
        state = os.statvfs(self.root)
        out_of_inodes = state.f_files > 0 and state.f_favail == 0
        return 0 if out_of_inodes else state.f_bavail * state.f_frsize

    def try_write(self) -> None:
        """Write and fsync a small unnamed file. Raise OSError when the spool could not take a message."""
        probe = self.body_file()
        try:
            probe.append(b"probe")
            os.fsync(probe.fd)
        finally:
            probe.close()

    def body_file(self) -> BodyFile:
        return BodyFile(self.tmp)

    def path(self, place: Place, queue_id: str) -> Path:
        return self.root / place / queue_id

    def find(self, queue_id: str) -> Place | None:
        """Where the entry is, if anywhere. Looks twice, because delivery may move it while we look."""
        for place in [*Place, *Place]:
            if self.path(place, queue_id).is_dir():
                return Place(place)
        return None

    def read(self, place: Place, queue_id: str) -> Entry:
        """Raise FileNotFoundError when it is not there, ValueError when it is malformed."""
        entry = Entry.from_json((self.path(place, queue_id) / ENVELOPE).read_bytes())
        if entry.queue_id != queue_id:
            raise ValueError(f"{ENVELOPE} is that of {entry.queue_id}")
        return entry

    def accept(self, entry: Entry, content: Content, place: Place = Place.QUEUE) -> None:
        """Make the entry durable in `queue/` (due at once) or `hold/`. After this the message may be acknowledged.

        An entry of the same queue id that is there already is kept: it is the same message.
        On any error nothing is left behind and OSError is raised: the message must not be acknowledged.
        """
        work = self._work_dir(entry.queue_id)
        target = self.path(place, entry.queue_id)
        try:
            os.mkdir(work, 0o700)
            _store_body(work, content)
            _store_envelope(work / ENVELOPE, entry)
            fsync_dir(work)
            try:
                os.rename(work, target)
                is_ours = True
            except OSError as error:
                if error.errno not in IS_THERE:
                    raise
                is_ours = False
                shutil.rmtree(work)
            try:
                fsync_dir(target.parent)
            except OSError:
                if is_ours:
                    with contextlib.suppress(FileNotFoundError):  # delivery has it: it will be delivered under its id
                        os.rename(target, work)
                raise
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise

    def _work_dir(self, queue_id: str) -> Path:
        return self.tmp / f"{queue_id}.{os.urandom(6).hex()}"

    # -- for the delivery process ---------------------------------------------------------------------------------

    def lock(self) -> int:
        """Take the spool for this process until it ends; the kernel releases it on a crash. Raise SpoolLocked."""
        fd = os.open(self.root / "delivery.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise SpoolLocked(f"another delivery process holds {self.root}") from error
        return fd

    def recover(self) -> list[str]:
        """Put what a dead delivery left in `active/` back into `queue/`, and return those queue ids.

        An entry that was held at MAX_UNSETTLED_CLAIMS deaths goes to `corrupt/` instead: it may be the cause.
        """
        recovered = []
        for queue_id in self.names(Place.ACTIVE):
            try:
                entry = self.read(Place.ACTIVE, queue_id)
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno not in NOT_AN_ENTRY:
                    raise
                self._exile(queue_id, str(error))
                continue
            claims = entry.unsettled_claims + 1
            if claims >= MAX_UNSETTLED_CLAIMS:
                why = f"delivery died {claims} times while it held this entry"
                _replace_envelope(self.path(Place.ACTIVE, queue_id), dataclasses.replace(entry, reason=why))
                self._exile(queue_id, why)
                continue
            try:
                _replace_envelope(
                    self.path(Place.ACTIVE, queue_id), dataclasses.replace(entry, unsettled_claims=claims)
                )
            except OSError as error:
                if error.errno not in NO_SPACE:
                    raise  # on a full disk it goes uncounted this time
            self.requeue(queue_id)
            recovered.append(queue_id)
        return recovered

    def sweep(self) -> int:
        """Remove what is older than an hour in `tmp/`; return how much was removed."""
        removed = 0
        for path in list(self.tmp.iterdir()):
            try:
                # ctime: an entry's mtime is its schedule, which may lie in the past
                if self._clock.now() - path.lstat().st_ctime <= TMP_MAX_AGE_S:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
                removed += 1
            except FileNotFoundError:
                continue
        return removed

    def names(self, place: Place) -> list[str]:
        """The queue ids in a place. What is no directory is not ours and is passed over, here and in `schedule`."""
        with os.scandir(self.root / place) as items:
            return [item.name for item in items if item.is_dir(follow_symlinks=False)]

    def schedule(self, place: Place) -> Iterator[tuple[float, str]]:
        """Yield (next attempt, queue id) of every entry, without opening one: the directory's mtime is its schedule."""
        with os.scandir(self.root / place) as items:
            for item in items:
                try:
                    if item.is_dir(follow_symlinks=False):
                        yield item.stat(follow_symlinks=False).st_mtime, item.name
                except FileNotFoundError:
                    continue

    def census(self) -> Census:
        """Count the entries and find the oldest that waits. Opens none; some 3 microseconds an entry."""
        counts = {place: len(self.names(place)) for place in Place}
        oldest_at = None
        for place in (Place.QUEUE, Place.ACTIVE):
            for name in self.names(place):
                try:  # the body is never rewritten, so its mtime is when it was received
                    at = os.stat(self.root / place / name / MESSAGE).st_mtime
                except FileNotFoundError:
                    continue
                oldest_at = at if oldest_at is None else min(oldest_at, at)
        return Census(counts, oldest_at)

    def queue_version(self) -> int:
        """A number that changes whenever an entry comes to or leaves `queue/`."""
        return os.stat(self.root / Place.QUEUE).st_mtime_ns

    def claim(self, queue_id: str) -> Claimed | None:
        """Take the entry for delivery; None when it is no longer queued. Raise CorruptEntry when it is not whole."""
        active = self.path(Place.ACTIVE, queue_id)
        try:
            os.rename(self.path(Place.QUEUE, queue_id), active)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in IS_THERE:
                return None  # the same message is being delivered, and was spooled anew meanwhile
            raise
        try:
            entry = self.read(Place.ACTIVE, queue_id)
            return Claimed(entry, _verified_content(active / MESSAGE, entry))
        except (ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in NOT_AN_ENTRY:
                self.requeue(queue_id)  # the disk failed, not the entry
                raise
            self._exile(queue_id, str(error))
            raise CorruptEntry(queue_id, str(error)) from error

    def done(self, claimed: Claimed) -> None:
        """The message is in the mailbox, or dropped: remove its entry."""
        claimed.close()
        self.remove(Place.ACTIVE, claimed.entry.queue_id)

    def defer(self, claimed: Claimed, entry: Entry, *, due: float) -> None:
        """Put the entry back into `queue/` as it is now; not before `due` (epoch seconds) is it tried again."""
        claimed.close()
        self._publish(entry, Place.QUEUE, due)

    def hold(self, claimed: Claimed, entry: Entry) -> None:
        """Put the entry into `hold/`, where only an operator moves it."""
        claimed.close()
        self._publish(entry, Place.HOLD, 0.0)

    def unclaim(self, claimed: Claimed, due: float) -> None:
        """Put the entry back as it was: nothing was tried."""
        claimed.close()
        queue_id = claimed.entry.queue_id
        active = self.path(Place.ACTIVE, queue_id)
        os.utime(active, (due, due))
        self.requeue(queue_id)

    def requeue(self, queue_id: str) -> None:
        """Move an entry that nobody holds any more from `active/` back to `queue/`."""
        self._leave_active(queue_id, Place.QUEUE)

    def move(self, source: Place, target: Place, entry: Entry) -> None:
        """An operator's move between `queue/` and `hold/`; due at once. Raise FileNotFoundError when it is not there.

        It goes by way of `active/`, so that a delivery that claims the entry at the same moment loses or wins whole.
        """
        active = self.path(Place.ACTIVE, entry.queue_id)
        os.rename(self.path(source, entry.queue_id), active)
        try:
            self._publish(entry, target, 0.0)
        except OSError:
            with contextlib.suppress(FileNotFoundError):  # it was published, only not fsynced
                os.rename(active, self.path(source, entry.queue_id))
            raise

    def reschedule(self, queue_id: str, due: float) -> None:
        """Make a queued entry due at `due`. Raise FileNotFoundError when it is not queued."""
        os.utime(self.path(Place.QUEUE, queue_id), (due, due))

    def remove(self, place: Place, queue_id: str) -> None:
        """Remove an entry: one rename takes it out of sight, so a crash never leaves half an entry in `place`."""
        work = self._work_dir(queue_id)
        os.rename(self.path(place, queue_id), work)
        shutil.rmtree(work, ignore_errors=True)  # what is left goes with the next sweep

    def _publish(self, entry: Entry, target: Place, due: float) -> None:
        active = self.path(Place.ACTIVE, entry.queue_id)
        _replace_envelope(active, entry)
        os.utime(active, (due, due))
        self._leave_active(entry.queue_id, target)
        fsync_dir(self.root / target)

    def _leave_active(self, queue_id: str, target: Place) -> None:
        """Move an entry out of `active/`. One of that id there is the same message, spooled anew: that one stays."""
        try:
            os.rename(self.path(Place.ACTIVE, queue_id), self.path(target, queue_id))
        except OSError as error:
            if error.errno not in IS_THERE:
                raise
            self.remove(Place.ACTIVE, queue_id)

    def _exile(self, queue_id: str, why: str) -> None:
        path = self.path(Place.ACTIVE, queue_id)
        (path / "why.txt").write_text(why + "\n", encoding="utf-8")
        try:
            os.rename(path, self.path(Place.CORRUPT, queue_id))
        except OSError as error:
            if error.errno not in IS_THERE:
                raise
            os.rename(path, self.path(Place.CORRUPT, f"{queue_id}.{os.urandom(6).hex()}"))
        fsync_dir(self.root / Place.CORRUPT)


def _write_all(fd: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _store_body(work: Path, content: Content) -> None:
    """Link the unnamed file in, or write the bytes; durable except for the directory."""
    if isinstance(content.source, int):
        directory = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Python links an unnamed file only with a directory descriptor; without one: EXDEV (mail.md 4.1)
            os.link(f"/proc/self/fd/{content.source}", MESSAGE, dst_dir_fd=directory)
        finally:
            os.close(directory)
        os.fdatasync(content.source)
    else:
        _store(work / MESSAGE, content.source)


def _store_envelope(path: Path, entry: Entry) -> None:
    _store(path, entry.to_json())


def _store(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(fd, data)
        os.fdatasync(fd)
    finally:
        os.close(fd)


def _replace_envelope(directory: Path, entry: Entry) -> None:
    """Replace envelope.json whole; the body is never rewritten."""
    new = directory / f".{ENVELOPE}.new"
    new.unlink(missing_ok=True)
    try:
        _store(new, entry.to_json())
        os.rename(new, directory / ENVELOPE)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _verified_content(path: Path, entry: Entry) -> Content:
    """Open the entry's message and check it. Raise ValueError when it is not what was acknowledged."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        size = os.fstat(fd).st_size
        if size != entry.size_bytes:
            raise ValueError(f"{MESSAGE} has {size} bytes, {entry.size_bytes} were received")
        digest = hashlib.sha256()
        while block := os.read(fd, CHUNK_BYTES):
            digest.update(block)
        if digest.hexdigest() != entry.sha256:
            raise ValueError(f"{MESSAGE} has another digest than was received")
    except BaseException:
        os.close(fd)
        raise
    return Content(fd, size, entry.sha256)
