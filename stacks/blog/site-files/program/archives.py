"""Archives of other machines' sites, unpacked into a directory that nobody else can enter.

Files and directories are made, nothing else: links, devices and the like are skipped, and named. A name that is
absolute or has `..` in it ends the whole import; so does an archive that cannot be read to its end.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess  # noqa: TID251  # kit is not in this image; one fixed argv, and the caller sets the deadline
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO

import trees
from failures import Failure

RESERVE = 512 * 1024**2  # bytes that an import leaves free, for everybody else on that disk
_PIECE = 1024 * 1024
_MAX_PART = 255  # NAME_MAX
_END_S = 10.0
_MAX_TOLD, _MAX_SHOWN = 20, 200


def unpack(name: str, imports: int, target: int, *, uid: int, count: trees.Count) -> list[str]:
    """Unpack a file of the import directory; return the first names that were skipped.

    Everything is uid's, with modes 0644 and 0755, whatever the archive says.
    """
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=imports)
    except OSError:
        raise Failure("missing", f"there is no {name} in the import directory, or it cannot be read") from None
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise Failure("unsafe", f"{name} is not a file")
        with _plain(name, file) as plain:
            try:
                with tarfile.open(fileobj=plain, mode="r|gz" if name.endswith(".gz") else "r|") as archive:
                    skipped = list(_members(archive, target, uid, count))
                return [ascii(each)[1:-1][:_MAX_SHOWN] for each in skipped]
            except (tarfile.TarError, EOFError, zlib.error, UnicodeError, OverflowError) as error:
                raise Failure("unreadable", f"{name} is not a whole archive") from error


@contextlib.contextmanager
def _plain(name: str, file: IO[bytes]) -> Iterator[IO[bytes]]:
    """What tarfile reads itself, or for .zst the output of zstd."""
    if not name.endswith(".zst"):
        yield file
        return
    argv = ["zstd", "--decompress", "--stdout", "--quiet", "--memory=256MiB"]
    with subprocess.Popen(argv, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:  # noqa: S603
        assert child.stdout is not None
        try:
            yield child.stdout
            while child.stdout.read(_PIECE):  # what lies behind the archive's end
                pass
        except BaseException:
            child.kill()
            raise
        if child.wait(_END_S) != 0:
            raise Failure("unreadable", f"{name} is not a whole zstd file")


def _members(archive: tarfile.TarFile, target: int, uid: int, count: trees.Count) -> Iterator[str]:
    """Unpack an archive member by member; yield the first names of those that are neither file nor directory."""
    told = 0
    for member in archive:
        parts = _parts(member.name)
        if member.isdir():
            with _inside(parts, target, uid, count):
                pass
        elif member.isreg() and parts:
            count.entry()
            status = os.fstatvfs(target)
            if member.size + RESERVE > status.f_bavail * status.f_frsize:
                raise Failure("full", "the disk has no room for what the archive holds")
            content = archive.extractfile(member)
            if content is None:
                raise Failure("unreadable", "the archive names a file that it does not hold")
            with _inside(parts[:-1], target, uid, count) as place:
                trees.remove(parts[-1], place)  # of two with one name the last counts, as with tar
                count.bytes += trees.new_file(parts[-1], place, trees.pieces(content), uid=uid)
        elif told < _MAX_TOLD:
            told += 1
            yield member.name


def _parts(name: str) -> list[str]:
    """Given a member's name, return its parts. Raise Failure where it would lead out of the directory."""
    if name.startswith("/") or "\0" in name:
        raise Failure("unsafe", "the archive names an absolute path")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or len(parts) > trees.MAX_DEPTH or any(len(os.fsencode(part)) > _MAX_PART for part in parts):
        raise Failure("unsafe", "the archive names a path outside of itself, or one that is too long")
    return parts


@contextlib.contextmanager
def _inside(parts: list[str], target: int, uid: int, count: trees.Count) -> Iterator[int]:
    """Open a directory below target, making it and those above it; there are no more of them than files may be."""
    with contextlib.ExitStack() as stack:
        place = target
        for part in parts:
            if trees.kind(part, place) == 0:
                count.directory()
                os.mkdir(part, 0o700, dir_fd=place)
                with trees.directory(part, place) as made:
                    trees.give(made, uid, uid, trees.DIRECTORY_MODE)
            place = stack.enter_context(trees.directory(part, place))
        yield place
