"""MANIFEST.jsonl: one line for each entry of a point, sorted by path bytes; MANIFEST.sig vouches for it and for
STATE.json. docs/design/backup.md describes the format for a reader who has nothing else.

A line's keys stand in one fixed order and without blanks, so that a line can be compared and reused as bytes: that is
what makes a night cheap in which little has changed. Nothing here holds a whole manifest: a million entries are about
350 MB. A path is any bytes but NUL; what is not UTF-8 stands as `path_b64`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import heapq
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from json.encoder import encode_basestring
from pathlib import Path
from typing import IO, Any, Literal, Self

from pydantic import ValidationError

from backup.exit_codes import VerificationFailed
from backup.layout import MANIFEST, SIGNATURE, STATE
from backup.signing import Purpose, Signer, Verifier
from backup.state import PointState
from kit.atomic import write_durably

CHUNK_BYTES = 1 << 20
RUN_LINES = 1 << 16  # of the external sort: about 25 MB of lines in memory
READ_ONLY = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a fifo put in its place must not block

_SIGNED: tuple[tuple[str, Purpose], ...] = ((MANIFEST, "manifest"), (STATE, "state"))
_SIGNATURE = re.compile(
    rb"".join(
        rb"([0-9a-f]{64})  %b  (ed25519 [0-9a-f]{16} [A-Za-z0-9+/]{86}==)\n" % re.escape(name.encode())
        for name, _ in _SIGNED
    )
)
_NUMBERS = ("size", "mode", "uid", "gid", "mtime_ns", "dev", "ino", "ctime_ns")


@dataclass(frozen=True, slots=True)
class Entry:
    """
    path      below the point, "/" between parts
    size      bytes that were read; of a symlink the length of its target, of a directory 0
    mode      permission bits, as the source had them
    sha256    hex, of files
    target    of symlinks
    dev, ino, ctime_ns   of the source; 0 for what was streamed. ctime_ns is 0 too when the source was so young that a
              later write could have left it the same
    """

    path: bytes
    type: Literal["file", "dir", "symlink"]
    size: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    sha256: str | None = None
    target: bytes | None = None
    dev: int = 0
    ino: int = 0
    ctime_ns: int = 0

    @classmethod
    def of(cls, path: bytes, found: os.stat_result, *, target: bytes | None = None) -> Entry:
        """Given what lstat said of a directory or a symlink."""
        kind: Literal["dir", "symlink"] = "symlink" if target is not None else "dir"
        mode = stat.S_IMODE(found.st_mode)
        size = len(target) if target is not None else 0
        source = (found.st_dev, found.st_ino, found.st_ctime_ns)
        return cls(path, kind, size, mode, found.st_uid, found.st_gid, found.st_mtime_ns, None, target, *source)

    def line(self) -> bytes:
        about = b'"size":%d,"mode":%d,"uid":%d,"gid":%d,"mtime_ns":%d' % (
            *(self.size, self.mode, self.uid, self.gid, self.mtime_ns),
        )
        digest = b',"sha256":"%b"' % self.sha256.encode() if self.sha256 is not None else b""
        target = b"," + quoted(b"target", self.target) if self.target is not None else b""
        source = b',"dev":%d,"ino":%d,"ctime_ns":%d}\n' % (self.dev, self.ino, self.ctime_ns)
        return b'{%b,"type":"%b",%b%b%b%b' % (
            *(quoted(b"path", self.path), self.type.encode(), about, digest, target, source),
        )


def quoted(name: bytes, value: bytes) -> bytes:
    """Given bytes, return `"name":"text"`, or `"name_b64":"..."` when they are not UTF-8."""
    try:
        return b'"%b":%b' % (name, encode_basestring(value.decode()).encode())
    except UnicodeDecodeError:
        return b'"%b_b64":"%b"' % (name, base64.b64encode(value))


def file_line(path: bytes, size: int, found: os.stat_result, ctime_ns: int) -> tuple[bytes, bytes]:
    """Given a source file's path in the point and its stat, return its line in two halves: the hash stands between."""
    head = b'{%b,"type":"file","size":%d,"mode":%d,"uid":%d,"gid":%d,"mtime_ns":%d,"sha256":"' % (
        *(quoted(b"path", path), size, found.st_mode & 0o7777, found.st_uid, found.st_gid, found.st_mtime_ns),
    )
    return head, b'","dev":%d,"ino":%d,"ctime_ns":%d}\n' % (found.st_dev, found.st_ino, ctime_ns)


def path_of(line: bytes) -> bytes:
    """Given a line, return its path. Raise ValueError, KeyError or TypeError when it is none."""
    if line.startswith(b'{"path":"'):
        path = line[9 : line.index(b'"', 9)]
        if b"\\" not in path:  # else the quote that was found may be an escaped one
            return path
    return _bytes(json.loads(line), "path")


def parse(line: bytes) -> Entry:
    """Given a line, return the entry. Raise ValueError, KeyError or TypeError when it is none."""
    fields = json.loads(line)
    kind, path = fields["type"], _bytes(fields, "path")
    if kind not in ("file", "dir", "symlink") or not is_safe(path):
        raise ValueError("not an entry")
    size, mode, uid, gid, mtime_ns, dev, ino, ctime_ns = (fields[name] for name in _NUMBERS)
    if not all(type(number) is int for number in (size, mode, uid, gid, mtime_ns, dev, ino, ctime_ns)):
        raise ValueError("not a number")
    digest = fields["sha256"] if kind == "file" else None
    if digest is not None and (type(digest) is not str or len(digest) != 64):
        raise ValueError("not a SHA-256")
    target = _bytes(fields, "target") if kind == "symlink" else None
    return Entry(path, kind, size, mode, uid, gid, mtime_ns, digest, target, dev, ino, ctime_ns)


def is_safe(path: bytes) -> bool:
    """Whether a path stays below the point: relative, without empty parts, `.` and `..`."""
    return bool(path) and b"\0" not in path and not {b"", b".", b".."}.intersection(path.split(b"/"))


def _bytes(fields: dict[str, Any], name: str) -> bytes:
    if name in fields:
        text: str = fields[name]
        return text.encode()
    return base64.b64decode(fields[f"{name}_b64"], validate=True)


def entries(path: Path) -> Iterator[Entry]:
    """Given a manifest's path, yield its entries. Raise VerificationFailed, which names the broken line."""
    before = b""
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            try:
                entry = parse(line)
                if entry.path <= before or not line.endswith(b"\n"):
                    raise ValueError("out of order, or cut off")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
                raise VerificationFailed(f"{path}: line {number} is not an entry of a manifest: {error}") from None
            before = entry.path
            yield entry


def write(path: Path, entries: Iterable[Entry]) -> str:
    """Write a manifest of entries in any order, durably; of several with one path the last counts.

    returns  the SHA-256 of the file, hex
    raises   OSError
    """
    with Sorter(path.parent) as sorter, ManifestFile(path) as file:
        for entry in entries:
            sorter.add(entry.path, b"-", entry.line())
        for _, line in sorter:
            file.append(line)
        return file.finish()


class ManifestFile:
    """A manifest that is being written, line by line and in order; until `finish` it may vanish with its machine."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._buffer = bytearray()
        self._hash = hashlib.sha256()
        self.offset = 0  # where the next line will begin

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def append(self, line: bytes) -> None:
        self._buffer += line
        self.offset += len(line)
        if len(self._buffer) >= CHUNK_BYTES:
            self._flush()

    def finish(self) -> str:
        """Make it durable; return its SHA-256, hex."""
        self._flush()
        os.fsync(self._descriptor)
        return self._hash.hexdigest()

    def _flush(self) -> None:
        self._hash.update(self._buffer)
        _write_all(self._descriptor, self._buffer)
        self._buffer = bytearray()


class Sorter:
    """Lines come in any order and go out sorted by path; of several with one path the last counts.

    What does not fit into RUN_LINES waits in unnamed files of `directory`: a crash leaves nothing of them.
    A line carries a mark of one byte; lines marked DROP do not come out.
    """

    DROP = b"x"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lines: list[tuple[bytes, bytes]] = []  # path, mark + line
        self._runs: list[IO[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for run in self._runs:
            run.close()

    def add(self, path: bytes, mark: bytes, line: bytes) -> None:
        self._lines.append((path, mark + line))
        if len(self._lines) >= RUN_LINES:
            self._spill()

    def _spill(self) -> None:
        run = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115 - closed by __exit__
        self._runs.append(run)
        self._lines.sort(key=_path)
        for start in range(0, len(self._lines), 1024):
            _write_all(run.fileno(), b"".join(line for _, line in self._lines[start : start + 1024]))
        self._lines = []

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield mark and line."""
        self._lines.sort(key=_path)  # stable, as heapq.merge is: of one path the last comes last
        streams: list[Iterable[tuple[bytes, bytes]]] = [_read_back(run) for run in self._runs]
        streams.append(self._lines)
        last: tuple[bytes, bytes] | None = None
        for each in streams[0] if len(streams) == 1 else heapq.merge(*streams, key=_path):
            if last is not None and last[0] != each[0] and last[1][:1] != self.DROP:
                yield last[1][:1], last[1][1:]
            last = each
        if last is not None and last[1][:1] != self.DROP:
            yield last[1][:1], last[1][1:]


def _path(item: tuple[bytes, bytes]) -> bytes:
    return item[0]


def _read_back(run: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    descriptor = os.dup(run.fileno())
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(descriptor, "rb", 1 << 16) as file:
        for line in file:
            yield path_of(line[1:]), line


# -- signature and state ----------------------------------------------------------------------------------------------


def sign(point_dir: Path, signer: Signer) -> None:
    """Write MANIFEST.sig over the manifest and the state that are there. Raise OSError."""
    lines = []
    for name, purpose in _SIGNED:
        digest, _ = digest_of(point_dir / name)
        lines.append(f"{digest}  {name}  {signer.sign(purpose, bytes.fromhex(digest))}\n")
    write_durably(point_dir / SIGNATURE, "".join(lines).encode("ascii"))


def check_signature(point_dir: Path, verifier: Verifier) -> None:
    """Raise VerificationFailed unless manifest and state are what was signed by this key."""
    for name, expected, found in differences(point_dir, verifier):
        raise VerificationFailed(f"{point_dir / name}: {found}; expected: {expected}")


def differences(point_dir: Path, verifier: Verifier) -> list[tuple[str, str, str]]:
    """Compare manifest and state with their signature; return (file name, expected, found) of each that is damaged."""
    try:
        match = _SIGNATURE.fullmatch((point_dir / SIGNATURE).read_bytes())
    except OSError as error:
        return [(SIGNATURE, "a signature", error.strerror or "nothing")]
    if match is None:
        return [(SIGNATURE, "a signature of a manifest and one of a state", "something else")]
    damaged = []
    for (name, purpose), signed, signature in zip(_SIGNED, match.groups()[::2], match.groups()[1::2], strict=True):
        try:
            verifier.verify(purpose, bytes.fromhex(signed.decode()), signature.decode())
        except VerificationFailed as error:  # the digest stands beside it, so it is not the file that differs
            damaged.append((SIGNATURE, f"a signature by {verifier.key_id}", str(error)))
            continue
        try:
            found, _ = digest_of(point_dir / name)
        except OSError as error:
            found = error.strerror or "unreadable"
        if found != signed.decode():
            damaged.append((name, signed.decode(), found))
    return damaged


def read_state(point_dir: Path) -> PointState:
    """Raise VerificationFailed when the state is damaged or not there."""
    try:
        return PointState.model_validate_json((point_dir / STATE).read_bytes())
    except OSError as error:
        raise VerificationFailed(f"{point_dir / STATE}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise VerificationFailed(f"{point_dir / STATE} is not the state of a point: {where}: {first['msg']}") from None


def digest_of(path: Path | bytes, dir_fd: int | None = None) -> tuple[str, int]:
    """Read a file from its disk, not from the cache; return its SHA-256 (hex) and its size.

    raises  OSError; ELOOP for a symlink, EINVAL for what is no regular file
    """
    descriptor = os.open(path, READ_ONLY, dir_fd=dir_fd)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(22, "not a regular file")
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # clean pages only: what is not synced stays
        digest, size = hashlib.sha256(), 0
        while chunk := os.read(descriptor, min(CHUNK_BYTES, max(found.st_size - size, 0) + 1)):
            digest.update(chunk)
            size += len(chunk)
        return digest.hexdigest(), size
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes | bytearray) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb", CHUNK_BYTES)
    except OSError as error:
        raise VerificationFailed(f"{path}: {error.strerror}") from error
