"""A small file system of its own, which can be filled and made read-only, and disappears with the process that uses it.

    with SmallDisk(64 * MIB) as disk:
        ...                     # [*disk.enter, "program", str(disk.inside / "file")]; its file is disk.path / "file"
        disk.fill(leave_bytes=0)
        disk.empty()
        with disk.read_only("state/spool"):
            ...

It is a tmpfs in the mount namespace of a shell, so nothing is mounted where others would see it, and nothing stays
mounted, whatever dies. Programs enter the namespace (SQLite resolves paths by itself, and would leave it again); the
test looks in through /proc. Root needs nothing more; anybody else needs user namespaces, which some kernels forbid.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

MIB = 1024**2
CHUNK_BYTES = 256 * 1024


class NoNamespaces(RuntimeError):
    """This kernel gives us no mount namespace; the message is unshare's own."""


class SmallDisk:
    """A tmpfs of `size_bytes`.

    path    where it is for this process
    inside  where it is for a program started by way of `enter`
    """

    inside = Path("/mnt")

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes

    def __enter__(self) -> Self:
        is_root = os.geteuid() == 0
        self._shell = subprocess.Popen(
            ["unshare", "--mount", *([] if is_root else ["--map-root-user"]), "sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            self._run(f"mount -t tmpfs -o size={self.size_bytes} tmpfs {self.inside}")
        except BaseException:
            self._end()
            raise
        self.path = Path(f"/proc/{self._shell.pid}/root{self.inside}")
        user = [] if is_root else ["--user", "--preserve-credentials"]
        self.enter = ["nsenter", f"--target={self._shell.pid}", "--mount", *user]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def free_bytes(self) -> int:
        state = os.statvfs(self.path)
        return state.f_bavail * state.f_frsize

    def fill(self, *, leave_bytes: int) -> None:
        """Put ballast on the disk until about so much is free."""
        with (self.path / "ballast").open("ab", buffering=0) as ballast:
            while (excess := self.free_bytes - leave_bytes) > 0:
                try:
                    ballast.write(bytes(min(excess, CHUNK_BYTES)))
                except OSError as error:
                    if error.errno == errno.ENOSPC:
                        return
                    raise

    def empty(self) -> None:
        """Take the ballast away."""
        (self.path / "ballast").unlink()

    @contextlib.contextmanager
    def read_only(self, directory: str) -> Iterator[None]:
        """Let a directory be read-only. A file in it that somebody has open for writing stays writable."""
        path = shlex.quote(str(self.inside / directory))
        self._run(f"mount --bind {path} {path} && mount -o remount,bind,ro {path}")
        try:
            yield
        finally:
            self._run(f"umount {path}")

    def _run(self, command: str) -> None:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        try:
            self._shell.stdin.write(f"{command}; echo $?\n")
            self._shell.stdin.flush()
        except BrokenPipeError:
            pass  # it could not start: its output says why
        said = []
        for line in self._shell.stdout:
            if line == "0\n":
                return
            said.append(line)
            if line.strip().isdigit():
                break
        raise NoNamespaces("".join(said))

    def _end(self) -> None:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._shell.stdin.close()
        self._shell.stdout.close()
        self._shell.wait()
