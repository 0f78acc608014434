"""Run `homeport` so that it dies, or meets an error, at a chosen step: `python fault.py DIRECTORY mail delivery`.

A step is one call that changes the spool, the ledger or a Maildir, the reading of an entry's message, or one end of an
LMTP body. It is named by its call and the paths below the spool or `maildir`; one name twice in a row is one step:

    mkdir tmp/ID.RANDOM                          rename tmp/ID.RANDOM queue/ID           fsync queue
    write tmp/ID.RANDOM/message.eml              read active/ID/message.eml              ledger BEGIN, ledger COMMIT
    link maildir/home.test/anna/new/ID.HOST      fsync maildir/home.test/anna/new
    lmtp body (what holds the message's head, and all up to its reply)                   lmtp reply (the reply to it)

Steps are counted from 0 while DIRECTORY/ROLE.plan exists (ROLE is ingress or delivery), anew for each plan, and noted
in DIRECTORY/ROLE.steps. A plan says what happens `at` the step of that number or name:

    kill-before, kill-after   SIGKILL
    EIO                       that one write, fsync or COMMIT fails, and none after it
    ENOSPC, EDQUOT            it and all that would grow something fail, until the plan is removed
    EROFS                     it and all steps but reading fail, until the plan is removed

The product has no hooks for this (docs/adr/0004): it calls the attributes of `os`, which are replaced here, and opens
its ledger through `sqlite3.connect`. uvloop writes to sockets in C, so for LMTP the session's two methods are wrapped.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import signal
import sqlite3
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kit import cli

GROWING = frozenset({"mkdir", "create", "write", "link", "rename", "fsync", "fdatasync", "ledger"})
REACH = {  # which steps an error strikes
    "EIO": frozenset({"write", "fsync", "fdatasync", "ledger"}),
    "ENOSPC": GROWING,
    "EDQUOT": GROWING,
    "EROFS": GROWING | {"unlink", "rmdir", "utime"},
}
SQLITE_ERRORS = {"EIO": sqlite3.SQLITE_IOERR_WRITE, "ENOSPC": sqlite3.SQLITE_FULL, "EROFS": sqlite3.SQLITE_READONLY}

_stat, _read, _open, _write, _close = os.stat, os.read, os.open, os.write, os.close  # as they were before `install`


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens at which step; None = nothing, the steps are noted."""

    act: str | None = None
    at: int | str = -1

    def write(self, path: Path) -> None:
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self)))
        new.rename(path)


class Faults:
    """The steps of this process, and what becomes of them. Called by any thread."""

    def __init__(self, directory: Path, role: str) -> None:
        self._plan_path, self._log_path = directory / f"{role}.plan", directory / f"{role}.steps"
        self._lock = threading.Lock()
        self._plan, self._version = Plan(), (0, 0)
        self._number, self._name = -1, ""
        self._is_struck = False

    @contextlib.contextmanager
    def step(self, verb: str, *objects: str, error: Callable[[str], Exception] | None = None) -> Iterator[None]:
        """Around the call: count it, and die before or after it or raise instead of it when the plan says so."""
        plan, is_hit, is_struck = self._count(verb, " ".join((verb, *objects)))
        if is_hit and plan.act == "kill-before":
            os.kill(os.getpid(), signal.SIGKILL)
        if is_struck and error is not None:
            assert plan.act is not None
            raise error(plan.act)
        try:
            yield
        finally:  # also when the call failed by itself
            if is_hit and plan.act == "kill-after":
                os.kill(os.getpid(), signal.SIGKILL)

    def _count(self, verb: str, name: str) -> tuple[Plan, bool, bool]:
        """Return the plan, whether this is its step, and whether an error strikes it."""
        with self._lock:
            if not self._is_armed():
                return Plan(), False, False
            if name != self._name:
                self._name = name
                self._number += 1
                self._note(f"{name}\n")
            is_hit = self._plan.at in (self._number, name)
            was_struck = self._is_struck
            is_struck = verb in REACH.get(self._plan.act or "", ()) and (is_hit or was_struck)
            self._is_struck |= is_struck
            return self._plan, is_hit, is_struck and not (was_struck and self._plan.act == "EIO")

    def _is_armed(self) -> bool:
        """Look whether there is a plan, and begin anew when it is another one."""
        try:
            found = _stat(self._plan_path)
        except FileNotFoundError:
            self._version = (0, 0)
            return False
        version = (found.st_ino, found.st_mtime_ns)
        if version != self._version:
            descriptor = _open(self._plan_path, os.O_RDONLY)
            self._plan = Plan(**json.loads(_read(descriptor, 4096)))
            _close(descriptor)
            self._version = version
            self._number, self._name, self._is_struck = -1, "", False
        return True

    def _note(self, line: str) -> None:
        descriptor = _open(self._log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        _write(descriptor, line.encode())
        _close(descriptor)


def install(faults: Faults, state_dir: Path, transport: str) -> None:
    """Wrap what changes the disk, for this process and until it ends."""
    roots = {state_dir / "spool": Path()}
    if transport.startswith("maildir://"):
        roots[Path(transport.removeprefix("maildir://"))] = Path("maildir")
    _wrap_os(faults, roots)
    _wrap_sqlite(faults)
    _wrap_lmtp(faults)


# -- the spool --------------------------------------------------------------------------------------------------------


def _wrap_os(faults: Faults, roots: dict[Path, Path]) -> None:
    """Wrap the calls below each root; how its paths are named is the root's value."""

    def name_of(path: Any, dir_fd: int | None = None) -> str | None:
        """Return a path or a descriptor as a step names it; None when it is elsewhere."""
        if isinstance(path, int):
            path = str(Path(f"/proc/self/fd/{path}").readlink()).removesuffix(" (deleted)")
        elif dir_fd is not None:
            path = Path(f"/proc/self/fd/{dir_fd}").readlink() / path
        for root, name in roots.items():
            with contextlib.suppress(ValueError):
                return str(name / Path(path).relative_to(root))
        return None

    def os_error(act: str) -> OSError:
        number = getattr(errno, act)
        return OSError(number, os.strerror(number))

    def wrap(verb: str) -> None:
        real = getattr(os, verb)

        @functools.wraps(real)
        def call(first: Any, *args: Any, **kwargs: Any) -> Any:
            objects = [name_of(first, kwargs.get("dir_fd"))]
            if verb == "rename":
                objects.append(name_of(args[0]))
            elif verb == "link":
                objects = [name_of(args[0], kwargs.get("dst_dir_fd"))]
            if None in objects:
                return real(first, *args, **kwargs)
            with faults.step(verb, *map(str, objects), error=os_error):
                return real(first, *args, **kwargs)

        setattr(os, verb, call)

    def wrap_open() -> None:
        @functools.wraps(_open)
        def call(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            name = name_of(path, dir_fd)
            is_tmpfile = flags & os.O_TMPFILE == os.O_TMPFILE
            verb = "create" if flags & os.O_CREAT or is_tmpfile else "read"
            if name is None or (verb == "read" and not name.endswith("/message.eml")):
                return _open(path, flags, mode, dir_fd=dir_fd)
            with faults.step(verb, f"{name}/#" if is_tmpfile else name, error=os_error):
                return _open(path, flags, mode, dir_fd=dir_fd)

        os.open = call

    for verb in ("mkdir", "link", "write", "fdatasync", "fsync", "rename", "unlink", "rmdir", "utime"):
        wrap(verb)
    wrap_open()


# -- the ledger -------------------------------------------------------------------------------------------------------


def _wrap_sqlite(faults: Faults) -> None:
    def sqlite_error(act: str) -> sqlite3.OperationalError:
        error = sqlite3.OperationalError(f"injected {act}")
        error.sqlite_errorcode = SQLITE_ERRORS.get(act, sqlite3.SQLITE_IOERR_WRITE)
        return error

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            if sql.partition(" ")[0] not in ("BEGIN", "COMMIT"):
                return super().execute(sql, *args)
            with faults.step("ledger", sql.partition(" ")[0], error=sqlite_error):
                return super().execute(sql, *args)

    sqlite3.connect = functools.partial(sqlite3.connect, factory=Connection)  # type: ignore[assignment]


# -- LMTP -------------------------------------------------------------------------------------------------------------


def _wrap_lmtp(faults: Faults) -> None:
    from mail_api.transport.lmtp_session import Session

    write, data_received = Session.write, Session.data_received
    waiting: weakref.WeakSet[Session] = weakref.WeakSet()  # for the reply to a body

    @functools.wraps(write)
    async def wrapped_write(self: Session, data: bytes) -> None:
        if b"X-Homeport-Id:" in data:
            waiting.add(self)
        if self not in waiting:
            return await write(self, data)
        with faults.step("lmtp", "body"):
            return await write(self, data)

    @functools.wraps(data_received)
    def wrapped_data_received(self: Session, data: bytes) -> None:
        # After the data Dovecot's reply names the recipient, RFC 2033 4.2; those before it do not, if they are positive
        if self not in waiting or b" <" not in data:
            return data_received(self, data)
        waiting.discard(self)
        with faults.step("lmtp", "reply"):
            return data_received(self, data)

    Session.write, Session.data_received = wrapped_write, wrapped_data_received  # type: ignore[method-assign]


def main() -> None:
    directory, *arguments = sys.argv[1:]
    role = arguments[1]
    state_dir, transport = Path(os.environ["HOMEPORT_MAIL_STATE_DIR"]), os.environ["HOMEPORT_MAIL_TRANSPORT"]
    install(Faults(Path(directory), role), state_dir, transport)
    cli.main(arguments)


if __name__ == "__main__":
    main()
