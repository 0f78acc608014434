"""A MariaDB server for one drill: its own data, its own socket, no network; gone with everything in it.

It lives in the drill's scratch, next to nothing live: another data directory, a socket in a private directory of its
own, a root password that exists for this drill alone. It ends with us, also when we are killed (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from backup.exit_codes import SourceFailed, WrongUsage
from backup.settings import Server
from backup.sources import client
from kit.command import CommandError, run, running

INSTALL_S, START_S, POLL_S = 180.0, 120.0, 0.05
SHOWN_CHARACTERS = 500
_PROGRAMS = ("mariadbd", "mysqld")
_INSTALLERS = ("mariadb-install-db", "mysql_install_db")
_OPTIONS = (
    *(
        "--skip-networking",
        "--skip-log-bin",
        "--skip-name-resolve",
        "--performance-schema=OFF",
        "--event-scheduler=OFF",
    ),
    *("--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--innodb-buffer-pool-size=256M"),
)


@contextlib.contextmanager
def server(scratch: Path) -> Iterator[Server]:
    """Yield a running server whose data lie below a scratch directory.

    raises  WrongUsage when there is no MariaDB server here; SourceFailed when it does not start, in its own words
    """
    data, password_file = scratch / "data", scratch / "password"
    private = Path(tempfile.mkdtemp(prefix="homeport-drill-"))  # 0700; the path of a socket has 107 bytes at most
    try:
        scratch.mkdir(mode=0o700)
        password = secrets.token_hex(16)
        _write(password_file, f"{password}\n")
        _write(scratch / "init.sql", f"ALTER USER root@localhost IDENTIFIED BY '{password}';\n")
        account = ("--user=root",) if os.geteuid() == 0 else ()  # the scratch is closed to every other account
        places = (f"--datadir={data}", f"--tmpdir={scratch}", *account)
        _install(places)
        ours = Server(
            name="drill",
            socket=private / "socket",
            user="root",
            password_file=password_file,
            restore_user="root",
            restore_password_file=password_file,
        )
        daemon = (_program(_PROGRAMS), "--no-defaults", *places, f"--socket={ours.socket}", *_OPTIONS)
        log = scratch / "log"
        argv = (
            "setpriv",
            "--pdeathsig",
            "KILL",
            *daemon,
            f"--pid-file={private}/pid",
            f"--init-file={scratch}/init.sql",
        )
        with running(argv, log=log) as is_running:
            _wait(ours, is_running, log)
            yield ours
    except CommandError as error:
        raise SourceFailed(f"the drill's server: {error}") from error
    finally:
        shutil.rmtree(private, ignore_errors=True)
        shutil.rmtree(scratch, ignore_errors=True)


def _install(places: tuple[str, ...]) -> None:
    options = ("--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal", "--skip-name-resolve")
    run([_program(_INSTALLERS), *options, *places], timeout_s=INSTALL_S)


def _wait(ours: Server, is_running: Callable[[], bool], log: Path) -> None:
    give_up = time.monotonic() + START_S
    while True:
        try:
            client.query(ours, "SELECT 1", timeout_s=START_S)
            return
        except SourceFailed as error:
            if not is_running() or time.monotonic() > give_up:
                said = log.read_text("utf-8", "replace")[-SHOWN_CHARACTERS:]
                raise SourceFailed(f"the drill's server does not answer: {error}\n{said}") from error
        time.sleep(POLL_S)


def _program(names: tuple[str, ...]) -> str:
    """Where it is; Debian has the server in sbin, which a short PATH leaves out."""
    for name in names:
        if found := shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
            return found
    raise WrongUsage(f"a drill of a database needs {names[0]}, which is not installed (Debian: mariadb-server)")


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
