"""Whether a point on disk is what was sealed: signature, state, and each entry of the manifest against its file.

The manifest and the tree are read along with each other, both in the manifest's order, so that what is missing and
what was added is found without holding either. Files are read from the disk, not from the page cache.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backup.copier import shown
from backup.exit_codes import SourceFailed, VerificationFailed
from backup.journal import Journal, Silent
from backup.layout import INCOMPLETE, MANIFEST, PARTIAL, SIGNATURE, STATE, TRASH
from backup.manifest import Entry, differences, digest_of, entries, read_state
from backup.points import PointId
from backup.signing import Verifier
from backup.walk import Found, walk

OWN = frozenset(name.encode() for name in (MANIFEST, SIGNATURE, STATE))
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink"}
PROGRESS_FILES = 500


@dataclass(frozen=True, slots=True)
class Damage:
    """
    path             below the point; bytes that are not printable UTF-8 are escaped
    expected, found  hashes, sizes or words
    """

    point: PointId
    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.point}: {self.path}: expected {self.expected}, found {self.found}"


def verify_point(
    point_dir: Path, verifier: Verifier, *, part: tuple[int, int] | None = None, journal: Journal | None = None
) -> list[Damage]:
    """Compare a point with its manifest; return what differs.

    part     (i, n) with 0 <= i < n: names and types of all entries, but only the contents of the i-th of n parts of
             the files; a file's part is given by its path and the same in every point
    returns  when manifest, state or signature are damaged only these: files cannot be judged by a damaged manifest
    """
    point = point_of(point_dir)
    damaged = [Damage(point, *each) for each in differences(point_dir, verifier)] or _wrong_state(point_dir, point)
    return damaged or list(_compare(point_dir, point, part or (0, 1), journal or Silent()))


def point_of(directory: Path) -> PointId:
    """Given the directory of a point, sealed or not, return its id. Raise ValueError."""
    name = directory.name
    for prefix in (PARTIAL, INCOMPLETE, TRASH):
        name = name.removeprefix(prefix)
    return PointId.parse(f"{directory.parent.name}/{name}")


def _wrong_state(point_dir: Path, point: PointId) -> list[Damage]:
    """A state that is signed, but is another point's or belongs to another manifest."""
    try:
        state = read_state(point_dir)
        manifest, _ = digest_of(point_dir / MANIFEST)
    except (VerificationFailed, OSError) as error:
        return [Damage(point, STATE, "a state", str(error))]
    if (state.point, state.manifest_sha256) != (str(point), manifest):
        return [Damage(point, STATE, f"{point}, {manifest}", f"{state.point}, {state.manifest_sha256}")]
    return []


def _compare(point_dir: Path, point: PointId, part: tuple[int, int], journal: Journal) -> Iterator[Damage]:
    index, parts = part
    files = done = 0
    total = read_state(point_dir).bytes / parts
    root = os.fsencode(point_dir)
    with contextlib.ExitStack() as stack:
        found: Iterator[Found] = stack.enter_context(contextlib.closing(walk(root, lambda _path, _is_dir: False)))
        listed = entries(point_dir / MANIFEST)
        next(found)  # the point's directory
        there, entry = next(found, None), next(listed, None)
        try:
            while there is not None or entry is not None:
                if entry is None or (there is not None and there.path < entry.path):
                    assert there is not None
                    if there.path not in OWN:
                        yield Damage(point, shown(there.path), "nothing", "something that is not in the manifest")
                    there = next(found, None)
                    continue
                if there is None or entry.path < there.path or there.stat is None:
                    yield Damage(point, shown(entry.path), f"a {entry.type}", "nothing")
                else:
                    is_due = zlib.crc32(entry.path) % parts == index
                    difference = _difference(root, entry, there, there.stat, read=is_due)
                    if difference is not None:
                        yield Damage(point, shown(entry.path), *difference)
                    if entry.type == "file" and is_due:
                        files, done = files + 1, done + entry.size
                        if files % PROGRESS_FILES == 0:
                            journal.progress(done, total)
                if there is not None and there.path == entry.path:
                    there = next(found, None)
                entry = next(listed, None)
        except SourceFailed as error:  # a directory that the disk does not give
            yield Damage(point, shown(there.path if there is not None else b"."), "readable", str(error))


def _difference(
    root: bytes, entry: Entry, there: Found, found: os.stat_result, *, read: bool
) -> tuple[str, str] | None:
    """Return expected and found of one entry; `read`: whether a file's content is looked at."""
    kind = KINDS.get(stat.S_IFMT(found.st_mode), "device, fifo or socket")
    if kind != entry.type:
        return f"a {entry.type}", f"a {kind}"
    try:
        if entry.target is not None:
            target = os.readlink(there.name, dir_fd=there.dir_fd)
            return (shown(entry.target), shown(target)) if target != entry.target else None
        if entry.sha256 is None:
            return None
        if found.st_size != entry.size:
            return f"{entry.size} bytes", f"{found.st_size} bytes"
        digest = digest_of(there.name, dir_fd=there.dir_fd)[0] if read else entry.sha256
        return (entry.sha256, digest) if digest != entry.sha256 else None
    except OSError as error:
        return entry.sha256 or "readable", error.strerror or str(error)
