"""The MariaDB client programs, run as the account of a server in backup.toml.

A program gets its options, and the password among them, as an options file on an inherited descriptor: nothing of it
stands in its arguments, in its environment or on a disk. `--defaults-file`, not `--defaults-extra-file`: the latter
lets `~/.my.cnf`, which is read after it, override what was given.

Without `ca_file` a connection by TCP is left to the client's own rules: a client of 11.4 or later insists on TLS and
checks the server by the password, an older one speaks in the clear.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from backup.exit_codes import SourceFailed
from backup.settings import Server, read_secret
from kit.command import CommandError, run

CONNECT_S = 15
QUERY_S = 600.0  # a look at the catalog of a busy server; most take milliseconds

DUMP = ("mariadb-dump", "mysqldump")
CLIENT = ("mariadb", "mysql")

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)-MariaDB")
_ERROR = re.compile(r"^ERROR \d+ .*", re.MULTILINE | re.DOTALL)
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}  # of `mariadb --batch`


@dataclass(frozen=True, slots=True, order=True)
class Version:
    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """Given what a client or a server says of itself, such as "10.11.19-MariaDB-0+deb12u1". Raise SourceFailed."""
        match = _VERSION.search(text)
        if match is None:
            raise SourceFailed(f"not a version of MariaDB: {text.strip()[:100]!r}")
        return cls(*map(int, match.groups()))

    @property
    def series(self) -> tuple[int, int]:
        """What must not be older in a client than in its server; a patch level may."""
        return self.major, self.minor

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def program(names: Sequence[str]) -> str:
    """The first of these that is installed. Raise SourceFailed."""
    for name in names:
        if shutil.which(name):
            return name
    raise SourceFailed(f"{names[0]} is not installed (Debian: apt-get install mariadb-client)")


def dump_version() -> Version:
    """Of the dump program. Raise SourceFailed when it is missing, or is not MariaDB's."""
    try:
        completed = run([program(DUMP), "--version"], timeout_s=QUERY_S)
    except CommandError as error:
        raise SourceFailed(str(error)) from error
    return Version.parse(completed.stdout.decode("utf-8", "replace"))


def query(server: Server, sql: str, *, restore: bool = False, timeout_s: float = QUERY_S) -> list[list[str]]:
    """Run statements and return their rows, all values as text; NULL is "NULL".

    restore  as `restore_user` instead of `user`
    raises   SourceFailed with the server's own words
    """
    completed = execute(server, sql.encode(), "--batch", "--skip-column-names", restore=restore, timeout_s=timeout_s)
    rows = completed.removesuffix(b"\n").split(b"\n") if completed else []
    return [[_unescape(value) for value in row.split(b"\t")] for row in rows]


def execute(
    server: Server,
    statements: bytes | int,
    *arguments: str,
    restore: bool = False,
    timeout_s: float = QUERY_S,
) -> bytes:
    """Give statements to the client program and return what it printed.

    statements  bytes, or the descriptor of a file of them, read from where it stands: a dump
    arguments   of the client, such as the name of a database; one that begins with "-" is an option
    raises      SourceFailed with the server's own words
    """
    try:
        with options(server, restore=restore) as (option, descriptor):
            return run(
                [program(CLIENT), option, *arguments], timeout_s=timeout_s, stdin=statements, pass_fds=[descriptor]
            ).stdout
    except CommandError as error:
        raise SourceFailed(f"server {server.name}: {_words(error)}") from error


def dump(
    server: Server,
    arguments: Sequence[str],
    sink: Callable[[bytes], object],
    *,
    timeout_s: float,
    restore: bool = False,
) -> None:
    """Run the dump program and give what it prints to `sink`. Raise SourceFailed with the program's own words."""
    try:
        with options(server, restore=restore) as (option, descriptor):
            run([program(DUMP), option, *arguments], timeout_s=timeout_s, pass_fds=[descriptor], sink=sink)
    except CommandError as error:
        raise SourceFailed(f"server {server.name}: {_words(error)}") from error


@contextlib.contextmanager
def options(server: Server, *, restore: bool = False) -> Iterator[tuple[str, int]]:
    """Yield the option that must come first, and the descriptor that it speaks of, for `pass_fds`.

    The descriptor is an unnamed file in memory, gone with the last process that holds it.

    raises  WrongUsage when the password file cannot be read
    """
    descriptor = os.memfd_create("options", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)  # the client ignores a file that others may write, and a new one is 0777
        os.pwrite(descriptor, options_text(server, restore=restore).encode(), 0)
        yield f"--defaults-file=/dev/fd/{descriptor}", descriptor
    finally:
        os.close(descriptor)


def options_text(server: Server, *, restore: bool = False) -> str:
    """The options file. Raise SourceFailed when `restore` is asked of a server without an account for it."""
    user, password_file = server.user, server.password_file
    if restore:
        if server.restore_user is None or server.restore_password_file is None:
            raise SourceFailed(f"server {server.name} has no restore_user and restore_password_file in backup.toml")
        user, password_file = server.restore_user, server.restore_password_file
    lines = {"user": user, "password": read_secret(password_file)}
    if server.socket is not None:
        lines |= {"protocol": "SOCKET", "socket": str(server.socket)}
    else:
        lines |= {"protocol": "TCP", "host": server.host or "", "port": str(server.port)}
        if server.ca_file is not None:
            lines |= {"ssl-ca": str(server.ca_file), "ssl-verify-server-cert": "1"}
    written = "".join(f"{name}={_quoted(value)}\n" for name, value in lines.items())
    client = f"[mariadb-client]\nconnect-timeout={CONNECT_S}\n"
    return f"[client]\ndefault-character-set=utf8mb4\n{written}{client}"


def identifier(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A string for SQL that holds in every sql_mode: nothing in it can end it."""
    return f"CONVERT(x'{text.encode().hex()}' USING utf8mb4)"


def _words(error: CommandError) -> str:
    """Without the statement, which the client prints before the error: it may hold a row, or a password's hash."""
    found = _ERROR.search(str(error))
    return found[0] if found else str(error)


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unescape(value: bytes) -> str:
    return re.sub(rb"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), value).decode("utf-8", "replace")
