"""MariaDB's own client programs, run as an account of a server.

A program gets its options, and the password among them, as an options file on an inherited descriptor: nothing of it
stands in its arguments, in its environment or on a disk. It reads no other options file, runs no command that stands
in a dump (`--binary-mode`), and sends the server no file of this machine (`local-infile`).
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
from collections.abc import Callable, Iterator

from kit.command import CommandError, CommandTimedOut, run
from portal.databases.failures import DumpFailed
from portal.databases.servers import Server

CONNECT_S = 15
LOCK_WAIT_S = 120  # for the metadata of a table that somebody alters
SESSION = f"SET SESSION max_statement_time = 0, lock_wait_timeout = {LOCK_WAIT_S}"  # the limit is the operation's
OPTIONS = (
    *("--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob", "--order-by-primary"),
    *("--skip-dump-date", "--default-character-set=utf8mb4", "--max-allowed-packet=1G"),
)
LOCKING = tuple("--lock-tables" if option == "--single-transaction" else option for option in OPTIONS)

_VERSION = re.compile(r"(\d+)\.(\d+)\.\d+-MariaDB")
_ERROR = re.compile(r"^ERROR \d+ .*", re.MULTILINE | re.DOTALL)


class ProgramFailed(Exception):
    """A client program did not do it. The text is the server's or the program's own, without the statement."""


def dump(server: Server, database: str, sink: Callable[[bytes], object], *, is_locking: bool, timeout_s: float) -> None:
    """Run the dump program as the admin account; `sink` gets what it prints, and what it raises passes through.

    is_locking  whether other tables than InnoDB's are there: then writers wait
    raises      ProgramFailed
    """
    login = server.admin
    arguments = [*(LOCKING if is_locking else OPTIONS), "--", database]  # "--": a database may be named "-p"
    try:
        with options(server, login.user, login.password()) as (option, descriptor):
            run([_program("mariadb-dump"), option, *arguments], timeout_s=timeout_s, pass_fds=[descriptor], sink=sink)
    except (CommandError, OSError, ValueError) as error:
        raise ProgramFailed(_words(error)) from error


def require_series(version: str) -> None:
    """Raise DumpFailed when the dump program is of an older series than this server: it would leave out what is new.

    version   as the server says it, such as "11.8.2-MariaDB"
    """
    ours, theirs = _series(dump_version()), _series(version)
    if ours is not None and theirs is not None and ours < theirs:
        raise DumpFailed(
            f"mariadb-dump is of the series {ours[0]}.{ours[1]}, older than the server's {theirs[0]}.{theirs[1]}: what"
            " it does not know it would leave out. Install a client of the server's series where the portal runs"
        )


@functools.cache
def dump_version() -> str:
    """What the dump program says of itself. Raise DumpFailed when it is missing."""
    try:
        return run([_program("mariadb-dump"), "--version"], timeout_s=CONNECT_S).stdout.decode("utf-8", "replace")
    except CommandError as error:
        raise DumpFailed(str(error)) from error


def _series(text: str) -> tuple[int, int] | None:
    match = _VERSION.search(text)
    return (int(match[1]), int(match[2])) if match else None


def load(server: Server, user: str, password: str, database: str, stdin: int, *, timeout_s: float) -> None:
    """Give the statements on a descriptor to the client program. Raise ProgramFailed."""
    try:
        with options(server, user, password) as (option, descriptor):
            run(
                [_program("mariadb"), option, "--binary-mode", "--max-allowed-packet=1G", "--", database],
                timeout_s=timeout_s,
                pass_fds=[descriptor],
                stdin=stdin,
                secrets=[password],
            )
    except (CommandError, OSError) as error:
        raise ProgramFailed(_words(error)) from error


@contextlib.contextmanager
def options(server: Server, user: str, password: str) -> Iterator[tuple[str, int]]:
    """Yield the option that must come first, and the descriptor that it speaks of, for `pass_fds`.

    The descriptor is an unnamed file in memory, gone with the last process that holds it.
    """
    descriptor = os.memfd_create("options", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)  # the client ignores a file that others may write, and a new one is 0777
        os.pwrite(descriptor, _options_text(server, user, password).encode(), 0)
        yield f"--defaults-file=/dev/fd/{descriptor}", descriptor
    finally:
        os.close(descriptor)


def _options_text(server: Server, user: str, password: str) -> str:
    values = {"user": user, "password": password, "protocol": "TCP", "host": server.host, "port": str(server.port)}
    lines = [f"{name}={_quoted(value)}" for name, value in values.items()]
    lines += {
        "off": ["skip-ssl"],
        "required": ["ssl", "loose-skip-ssl-verify-server-cert"],
        "verified": [f"ssl-ca={_quoted(str(server.ca_file))}", "ssl-verify-server-cert"],
    }[server.tls]
    return "\n".join(
        [
            *("[client]", "default-character-set=utf8mb4", *lines),
            *("[mariadb-client]", f"connect-timeout={CONNECT_S}", "local-infile=0", f'init-command="{SESSION}"'),
            *("[mariadb-dump]", f'loose-init-command="{SESSION}"', ""),
        ]
    )


def _program(name: str) -> str:
    """Raise DumpFailed when it is not installed."""
    if shutil.which(name) is None:
        raise DumpFailed(f"{name} is not installed where the portal runs (Debian: apt-get install mariadb-client)")
    return name


def _words(error: Exception) -> str:
    """Without the statement, which the client prints before the error: it may hold a row, or a password's hash."""
    if isinstance(error, CommandTimedOut | OSError):
        return str(error)
    found = _ERROR.search(str(error))
    return (found[0] if found else str(error))[:500]


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
